//! All counters at one moment, summed over cores and pools: what a caller of the library and `/status` see.

use super::{Counter, Metrics, NamedPool, OUTCOMES, PoolMetrics, REASONS};
use tailcast_balance::Reason;
use tailcast_features::OutcomeKind;

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

fn value_of<T: PartialEq>(all: &[T], counters: &[Counter], one: T) -> u64 {
    all.iter().position(|known| *known == one).and_then(|i| counters.get(i)).map_or(0, Counter::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
