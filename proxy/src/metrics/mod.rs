//! Every metric of the data plane, declared here with its help text, and the counters behind them.
//!
//! Counters are atomics that belong to one core and are summed when somebody asks; a request touches no cache line
//! of another core. Labels are bounded: pools and endpoints come from the configuration, outcomes and reasons
//! from closed enums; tenants, routes and statuses are in the log, not here. Rejected: a metrics library with a
//! registry. It hashes labels on every update, and its names would be spread over the code.

mod openmetrics;

pub(crate) use openmetrics::EndpointGauge;

use crate::judge::Harm;
use crate::lineup::LineupStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tailcast_balance::Reason;
use tailcast_balance::admission::ShedReason;
use tailcast_features::OutcomeKind;

/// A metric family as it stands in `/metrics`.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) help: &'static str,
}

macro_rules! families {
    ($( $konst:ident = $name:literal, $kind:literal, $help:literal; )*) => {
        $( pub(crate) const $konst: Family = Family { name: $name, kind: $kind, help: $help }; )*
        #[cfg(test)]
        pub(crate) const ALL: &[&Family] = &[$( &$konst ),*];
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
pub(crate) const LATENCY_BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Outcomes in the order of their counters.
pub(crate) const OUTCOMES: [OutcomeKind; 5] = [
    OutcomeKind::Success,
    OutcomeKind::ServerError,
    OutcomeKind::ConnectionError,
    OutcomeKind::Timeout,
    OutcomeKind::ClientAbort,
];

/// Reasons of a decision in the order of their counters.
pub(crate) const REASONS: [Reason; 8] = [
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
pub(crate) const FAILURE_REASONS: [&str; 20] = [
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

/// A number that only goes up, or a gauge where it is also taken down.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// For gauges.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one pool on one core.
#[derive(Debug, Default)]
pub(crate) struct PoolMetrics {
    outcomes: [Counter; OUTCOMES.len()],
    reasons: [Counter; REASONS.len()],
    latency: [Counter; LATENCY_BOUNDS_US.len() + 1],
    latency_us: Counter,
    pub(crate) panics: Counter,
    pub(crate) request_bytes: Counter,
    pub(crate) response_bytes: Counter,
    pub(crate) retries: Counter,
    pub(crate) retries_denied: Counter,
    pub(crate) probes: Counter,
    pub(crate) probe_failures: Counter,
    pub(crate) connects: Counter,
    pub(crate) reuses: Counter,
    /// Turned away, by class: as many as the configuration names. Locked where a request is refused, by its own core.
    shed: Mutex<Vec<(String, [u64; ShedReason::ALL.len()])>>,
    pub(crate) limit: Counter,
    pub(crate) waiting: Counter,
}

impl PoolMetrics {
    /// One request ended.
    pub(crate) fn ended(&self, kind: OutcomeKind, latency: Duration) {
        count_of(&OUTCOMES, &self.outcomes, kind);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        if let Some(counter) = self.latency.get(bucket) {
            counter.add(1);
        }
        self.latency_us.add(micros);
    }

    /// Admission turned a request of this class away.
    pub(crate) fn shed(&self, class: &str, reason: ShedReason) {
        let mut shed = self.shed.lock().unwrap_or_else(PoisonError::into_inner);
        let place = shed.iter().position(|(name, _)| name == class).unwrap_or_else(|| {
            shed.push((class.to_owned(), [0; ShedReason::ALL.len()]));
            shed.len() - 1
        });
        let counts = shed.get_mut(place).map(|(_, counts)| counts);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(reason as usize)) {
            *count += 1;
        }
    }

    /// One decision was taken.
    pub(crate) fn decided(&self, reason: Reason, is_panic: bool) {
        count_of(&REASONS, &self.reasons, reason);
        self.panics.add(u64::from(is_panic));
    }
}

fn count_of<T: PartialEq>(all: &[T], counters: &[Counter], one: T) {
    if let Some(counter) = all.iter().position(|known| *known == one).and_then(|i| counters.get(i)) {
        counter.add(1);
    }
}

/// Counters of one core.
#[derive(Debug, Default)]
pub(crate) struct CoreMetrics {
    failures: [Counter; FAILURE_REASONS.len()],
    pub(crate) clients: Counter,
    pub(crate) refused_address_limit: Counter,
    pub(crate) refused_proxy_header: Counter,
    pub(crate) refused_tls: Counter,
    pub(crate) log_overflow: Counter,
}

impl CoreMetrics {
    fn refused(&self) -> u64 {
        self.refused_address_limit.get() + self.refused_proxy_header.get() + self.refused_tls.get()
    }

    /// The proxy answered itself, or cut the request.
    pub(crate) fn failed(&self, reason: &str) {
        count_of(&FAILURE_REASONS, &self.failures, reason);
    }
}

/// Counters of the log's threads.
#[derive(Debug, Default)]
pub(crate) struct LogMetrics {
    pub(crate) rows: Counter,
    pub(crate) dropped: Counter,
    pub(crate) failures: Counter,
    pub(crate) segments: Counter,
    pub(crate) recovered: Counter,
}

/// What is known of the models: counters of loading and taking back, and what the judge last said.
#[derive(Debug, Default)]
pub(crate) struct ModelMetrics {
    pub(crate) loads: Counter,
    pub(crate) refusals: Counter,
    pub(crate) lost_samples: Arc<Counter>,
    taken_back: [Counter; Harm::ALL.len()],
    judged: Mutex<LineupStatus>,
}

impl ModelMetrics {
    /// A model was taken back.
    pub(crate) fn taken_back(&self, harm: Harm) {
        count_of(&Harm::ALL, &self.taken_back, harm);
    }

    /// The judge's newest word.
    pub(crate) fn judged(&self, said: &LineupStatus) {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone_from(said);
    }
}

/// Counters of configurations that were taken up or refused while running.
#[derive(Debug, Default)]
pub(crate) struct ReloadMetrics {
    pub(crate) reloads: Counter,
    pub(crate) refusals: Counter,
}

/// Counters of active checks.
#[derive(Debug, Default)]
pub(crate) struct CheckMetrics {
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
}

/// Counters of one pool, one set a core.
#[derive(Debug, Clone)]
pub(crate) struct NamedPool {
    name: String,
    cores: Vec<Arc<PoolMetrics>>,
}

/// All counters of a proxy.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) cores: Vec<Arc<CoreMetrics>>,
    /// Pools by name, also those that a reload removed: a counter never goes back. Locked at reloads and scrapes only.
    pools: Mutex<Vec<NamedPool>>,
    pub(crate) log: Arc<LogMetrics>,
    pub(crate) model: ModelMetrics,
    pub(crate) reload: ReloadMetrics,
    pub(crate) checks: CheckMetrics,
}

/// Sums over all cores and pools at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct MetricsSnapshot {
    /// Requests that were decided and have ended.
    pub requests: u64,
    /// Of them, answers below 500.
    pub successes: u64,
    /// Of them, answers of 500 and above.
    pub server_errors: u64,
    /// Of them, broken or refused connections.
    pub connection_errors: u64,
    /// Of them, time-outs.
    pub timeouts: u64,
    /// Of them, aborted by the client.
    pub client_aborts: u64,
    /// Requests that the proxy answered itself, or cut.
    pub failures: u64,
    /// Second tries.
    pub retries: u64,
    /// Requests that admission turned away.
    pub shed: u64,
    /// Requests that wait to be let in.
    pub waiting: u64,
    /// Probes that asked an endpoint for its load.
    pub probes: u64,
    /// Of them, without a report in time.
    pub probe_failures: u64,
    /// Decisions of the predictive policy without a usable model.
    pub fallbacks: u64,
    /// Decisions that explored.
    pub explorations: u64,
    /// New connections to endpoints.
    pub endpoint_connects: u64,
    /// Requests on kept connections.
    pub endpoint_reuses: u64,
    /// Open client connections.
    pub client_connections: u64,
    /// Connections of clients that were refused: the address has too many, the PROXY header or TLS failed.
    pub client_connections_refused: u64,
    /// Rows in the log.
    pub log_rows: u64,
    /// Rows that did not reach the log.
    pub log_dropped_rows: u64,
    /// Errors of the log's disk.
    pub log_failures: u64,
    /// Segments rewritten as Parquet.
    pub log_segments: u64,
    /// Rows saved from segments of an earlier run.
    pub log_recovered_rows: u64,
    /// Models loaded.
    pub model_loads: u64,
    /// Model files refused.
    pub model_refusals: u64,
    /// Models taken back.
    pub model_take_backs: u64,
    /// Active checks of endpoints.
    pub health_checks: u64,
    /// Of them, those that failed.
    pub health_check_failures: u64,
    /// Configurations taken up while running.
    pub config_reloads: u64,
    /// Configurations refused while running.
    pub config_refusals: u64,
}

impl Metrics {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            cores: (0..cores).map(|_| Arc::default()).collect(),
            pools: Mutex::default(),
            log: Arc::default(),
            model: ModelMetrics::default(),
            reload: ReloadMetrics::default(),
            checks: CheckMetrics::default(),
        }
    }

    /// The counters of a pool, one set a core; made where the name is new.
    pub(crate) fn of_pool(&self, name: &str) -> Vec<Arc<PoolMetrics>> {
        // Counters cannot be left half changed, so a panic elsewhere does not spoil them.
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.iter().find(|pool| pool.name == name) {
            return pool.cores.clone();
        }
        let cores: Vec<Arc<PoolMetrics>> = self.cores.iter().map(|_| Arc::default()).collect();
        pools.push(NamedPool { name: name.to_owned(), cores: cores.clone() });
        cores
    }

    fn pools(&self) -> Vec<NamedPool> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let pools = self.pools();
        let all_pools = |of: &dyn Fn(&PoolMetrics) -> u64| pools.iter().map(|pool| pool.sum(of)).sum::<u64>();
        let outcome = |kind: OutcomeKind| all_pools(&|pool| value_of(&OUTCOMES, &pool.outcomes, kind));
        let reason = |reason: Reason| all_pools(&|pool| value_of(&REASONS, &pool.reasons, reason));
        let overflow: u64 = self.cores.iter().map(|core| core.log_overflow.get()).sum();
        MetricsSnapshot {
            requests: OUTCOMES.iter().map(|kind| outcome(*kind)).sum(),
            successes: outcome(OutcomeKind::Success),
            server_errors: outcome(OutcomeKind::ServerError),
            connection_errors: outcome(OutcomeKind::ConnectionError),
            timeouts: outcome(OutcomeKind::Timeout),
            client_aborts: outcome(OutcomeKind::ClientAbort),
            failures: self.cores.iter().flat_map(|core| core.failures.iter()).map(Counter::get).sum(),
            retries: all_pools(&|pool| pool.retries.get()),
            shed: pools.iter().flat_map(NamedPool::shed).flat_map(|(_, counts)| counts).sum(),
            waiting: all_pools(&|pool| pool.waiting.get()),
            probes: all_pools(&|pool| pool.probes.get()),
            probe_failures: all_pools(&|pool| pool.probe_failures.get()),
            fallbacks: reason(Reason::Fallback),
            explorations: reason(Reason::Explore),
            endpoint_connects: all_pools(&|pool| pool.connects.get()),
            endpoint_reuses: all_pools(&|pool| pool.reuses.get()),
            client_connections: self.cores.iter().map(|core| core.clients.get()).sum(),
            client_connections_refused: self.cores.iter().map(|core| core.refused()).sum(),
            log_rows: self.log.rows.get(),
            log_dropped_rows: overflow + self.log.dropped.get(),
            log_failures: self.log.failures.get(),
            log_segments: self.log.segments.get(),
            log_recovered_rows: self.log.recovered.get(),
            model_loads: self.model.loads.get(),
            model_refusals: self.model.refusals.get(),
            model_take_backs: self.model.taken_back.iter().map(Counter::get).sum(),
            health_checks: self.checks.done.get(),
            health_check_failures: self.checks.failed.get(),
            config_reloads: self.reload.reloads.get(),
            config_refusals: self.reload.refusals.get(),
        }
    }
}

impl NamedPool {
    /// Turned away by class, summed over cores.
    fn shed(&self) -> Vec<(String, [u64; ShedReason::ALL.len()])> {
        let mut all: Vec<(String, [u64; ShedReason::ALL.len()])> = Vec::new();
        for core in &self.cores {
            for (class, counts) in core.shed.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                match all.iter_mut().find(|(known, _)| known == class) {
                    Some((_, sums)) => sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
                    None => all.push((class.clone(), *counts)),
                }
            }
        }
        all
    }

    /// Sum over cores.
    fn sum(&self, of: impl Fn(&PoolMetrics) -> u64) -> u64 {
        self.cores.iter().map(|core| of(core)).sum()
    }
}

fn value_of<T: PartialEq>(all: &[T], counters: &[Counter], one: T) -> u64 {
    all.iter().position(|known| *known == one).and_then(|i| counters.get(i)).map_or(0, Counter::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RequestError;

    #[test]
    fn every_reason_of_a_failure_has_its_counter() {
        let metrics = Metrics::new(2);
        let errors = [RequestError::Connect, RequestError::FirstByteTimeout, RequestError::BadRequest("x")];
        for error in &errors {
            metrics.cores[1].failed(error.reason());
        }
        assert_eq!(metrics.snapshot().failures, errors.len() as u64);
    }

    #[test]
    fn a_snapshot_sums_over_cores() {
        let metrics = Metrics::new(2);
        metrics.of_pool("a")[0].ended(OutcomeKind::Success, Duration::from_millis(3));
        let pool = metrics.of_pool("b");
        pool[1].ended(OutcomeKind::Timeout, Duration::from_secs(100));
        pool[1].decided(Reason::Fallback, true);
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.requests, snapshot.successes, snapshot.timeouts, snapshot.fallbacks), (2, 1, 1, 1));
    }

    /// `TAILCAST_UPDATE_DOCS=1` writes the file anew.
    #[test]
    fn the_documentation_names_every_metric_with_its_help() {
        let mut text = String::from(
            "# Metrics\n\nWhat `/metrics` on the admin listener holds, in OpenMetrics. Samples of counters end in `_total`. Labels \
             are bounded: pools, endpoints and models come from the configuration, everything else is one of a fixed set; \
             tenants and routes are in the decision log. Alert rules are in `deploy/prometheus`, a Grafana dashboard in \
             `deploy/grafana`.\n\nThis page is made from the code; a test compares them.\n\n| metric | kind | what it is |\n| \
             --- | --- | --- |\n",
        );
        for family in ALL {
            text.push_str(&format!("| `{}` | {} | {} |\n", family.name, family.kind, family.help));
        }
        text.push_str(&format!(
            "\n## Labels\n\n- `outcome`: {}\n- `reason` of decisions: {}\n- `reason` of failures: {}\n- `role` of models: {}\n",
            list(OUTCOMES.map(OutcomeKind::name)),
            list(REASONS.map(Reason::name)),
            list(FAILURE_REASONS),
            list(crate::judge::Role::ALL.map(crate::judge::Role::name)),
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
