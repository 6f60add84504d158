//! What stands in `/metrics`: every family with its help text, and the values that its labels may have.
//!
//! One table, so that the page, `docs/metrics.md` and the rules in `deploy` cannot name different things.

use tailcast_balance::Reason;
use tailcast_features::OutcomeKind;

/// A metric family as it stands in `/metrics`.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
}

macro_rules! families {
    ($( $konst:ident = $name:literal, $kind:literal, $help:literal; )*) => {
        $( pub(super) const $konst: Family = Family { name: $name, kind: $kind, help: $help }; )*
        #[cfg(test)]
        pub(super) const ALL: &[&Family] = &[$( &$konst ),*];
    };
}

// Names carry the unit; OpenMetrics adds `_total` to the samples of counters.
families! {
    REQUESTS = "tailcast_requests", "counter", "Requests that reached an endpoint's decision, by how they ended.";
    FAILURES = "tailcast_failures", "counter", "Requests that the proxy answered itself, or cut, by reason.";
    DECISIONS = "tailcast_decisions", "counter", "Decisions by the reason of the choice, retries included.";
    PANICS = "tailcast_panic_decisions", "counter", "Decisions among all endpoints because too few were healthy.";
    LATENCY = "tailcast_request_duration_seconds", "histogram", "From the arrival of a request's head to the last byte of its answer.";
    REQUEST_BYTES = "tailcast_request_bytes", "counter", "Bytes of request bodies sent to endpoints.";
    RESPONSE_BYTES = "tailcast_response_bytes", "counter", "Bytes of response bodies sent to clients.";
    RETRIES = "tailcast_retries", "counter", "Requests that were sent to a second endpoint.";
    RETRIES_DENIED = "tailcast_retries_denied", "counter", "Retries that the budget did not allow.";
    SHED = "tailcast_shed_requests", "counter", "Requests that admission turned away, by tenant class and reason.";
    ADMISSION_LIMIT = "tailcast_admission_limit_requests", "gauge", "Most requests that may be in flight, all workers together.";
    ADMISSION_WAITING = "tailcast_admission_waiting_requests", "gauge", "Requests that wait to be let in.";
    PROBES = "tailcast_probes", "counter", "Probes that asked an endpoint for its load.";
    PROBE_FAILURES = "tailcast_probe_failures", "counter", "Probes without a load report in time.";
    CLIENTS = "tailcast_client_connections", "gauge", "Open client connections.";
    REFUSED = "tailcast_client_connections_refused", "counter", "Connections of clients that ended before a request, by reason.";
    CONNECTS = "tailcast_endpoint_connects", "counter", "New connections to endpoints.";
    REUSES = "tailcast_endpoint_connection_reuses", "counter", "Requests sent on a kept connection.";
    IN_FLIGHT = "tailcast_endpoint_in_flight_requests", "gauge", "Requests in flight on an endpoint.";
    ENDPOINT_OPEN = "tailcast_endpoint_open", "gauge", "1 where an endpoint may take requests: neither drained nor failing its active checks.";
    HEALTH_CHECKS = "tailcast_health_checks", "counter", "Active checks of endpoints.";
    HEALTH_CHECK_FAILURES = "tailcast_health_check_failures", "counter", "Active checks that failed.";
    LOG_ROWS = "tailcast_log_rows", "counter", "Rows written to the decision log.";
    LOG_DROPPED = "tailcast_log_dropped_rows", "counter", "Rows of the decision log that were dropped, by reason.";
    LOG_FAILURES = "tailcast_log_failures", "counter", "Errors of the disk that the decision log met.";
    LOG_SEGMENTS = "tailcast_log_segments", "counter", "Segments of the decision log that were rewritten as Parquet.";
    LOG_RECOVERED = "tailcast_log_recovered_rows", "counter", "Rows saved from segments that an earlier run left open.";
    MODEL_LOADS = "tailcast_model_loads", "counter", "Models that were loaded and are or were in use.";
    MODEL_REFUSALS = "tailcast_model_refusals", "counter", "Model files that were refused; the model before keeps serving.";
    MODEL_TAKE_BACKS = "tailcast_model_take_backs", "counter", "Models that stopped serving because their requests did worse than the control's, by what was worse.";
    LIVE_PINBALL = "tailcast_model_live_pinball_loss", "gauge", "Pinball loss of a model on the newest live requests, in natural log of milliseconds, by role and quantile.";
    LIVE_COVERAGE = "tailcast_model_live_coverage_ratio", "gauge", "Share of the newest live requests at or below a model's forecast, by role and quantile.";
    LIVE_SAMPLES = "tailcast_model_live_samples", "counter", "Live requests that a model was scored on, by role; begins anew with another model.";
    LOST_SAMPLES = "tailcast_model_lost_samples", "counter", "Live requests that the judge of models had no time for.";
    ARM_SLOW = "tailcast_arm_slow_ratio", "gauge", "Share of slow or failed requests by arm (predictive, control) since the model was loaded; slow is beyond the control's 95th percentile.";
    CONFIG_RELOADS = "tailcast_config_reloads", "counter", "Configurations that were taken up while running.";
    CONFIG_REFUSALS = "tailcast_config_refusals", "counter", "Configurations that were refused while running; the one before keeps serving.";
    MODEL_INFO = "tailcast_model_info", "gauge", "The model in use, by its id; no sample where there is none.";
}

/// Upper bounds of the latency histogram, microseconds: 1-2-5 steps, from what a loopback answer takes to the
/// point where somebody should have timed out.
pub(super) const LATENCY_BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Outcomes in the order of their counters.
pub(super) const OUTCOMES: [OutcomeKind; 5] = [
    OutcomeKind::Success,
    OutcomeKind::ServerError,
    OutcomeKind::ConnectionError,
    OutcomeKind::Timeout,
    OutcomeKind::ClientAbort,
];

/// Reasons of a decision in the order of their counters.
pub(super) const REASONS: [Reason; 8] = [
    Reason::Rotation,
    Reason::Chance,
    Reason::LeastLoad,
    Reason::PeakEwma,
    Reason::Forecast,
    Reason::Explore,
    Reason::Fallback,
    Reason::OnlyOne,
];

/// Reasons of a failure in the order of their counters: `RequestError::reason`.
pub(super) const FAILURE_REASONS: [&str; 20] = [
    "bad_request",
    "connect_refused",
    "upgrade_refused",
    "no_endpoint",
    "connect_failed",
    "connect_timeout",
    "reset",
    "bad_response",
    "broken_body",
    "first_byte_timeout",
    "total_timeout",
    "client_body",
    "too_large",
    "endpoint_full",
    "pool_forbidden",
    "rate_limited",
    "tenant_concurrency",
    "queue_full",
    "queue_time",
    "deadline",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Role;
    use tailcast_balance::admission::ShedReason;

    /// `TAILCAST_UPDATE_DOCS=1` writes the file anew.
    #[test]
    fn the_documentation_names_every_metric_with_its_help() {
        let mut text = String::from(
            "# Metrics\n\nWhat `/metrics` on the admin listener holds, in OpenMetrics. Samples of counters end in `_total`. Labels \
             are bounded: pools, endpoints and tenant classes come from the configuration, a model is named by its id, everything else is one of a fixed set; \
             tenants and routes are in the decision log. Alert rules are in `deploy/prometheus`, a Grafana dashboard in \
             `deploy/grafana`.\n\nThis page is made from the code; a test compares them.\n\n| metric | kind | what it is |\n| \
             --- | --- | --- |\n",
        );
        for family in ALL {
            text.push_str(&format!("| `{}` | {} | {} |\n", family.name, family.kind, family.help));
        }
        text.push_str(&format!(
            "\n## Labels\n\n- `outcome`: {}\n- `reason` of decisions: {}\n- `reason` of failures: {}\n- `role` of models: {}\n- \
             `reason` of shed requests: {}\n",
            list(OUTCOMES.map(OutcomeKind::name)),
            list(REASONS.map(Reason::name)),
            list(FAILURE_REASONS),
            list(Role::ALL.map(Role::name)),
            list(ShedReason::ALL.map(ShedReason::name)),
        ));
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("TAILCAST_UPDATE_DOCS").is_some() {
            assert!(std::fs::write(&path, &text).is_ok());
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/metrics.md is not what the code says: run the tests with TAILCAST_UPDATE_DOCS=1");
    }

    fn list<const N: usize>(names: [&str; N]) -> String {
        names.map(|name| format!("`{name}`")).join(", ")
    }

    #[test]
    fn names_follow_the_convention() {
        for family in ALL {
            assert!(family.name.starts_with("tailcast_") && !family.name.ends_with("_total"), "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }
}
