//! The counters of the data plane.
//!
//! | file | is |
//! | --- | --- |
//! | `family` | every metric by name, with its help text, and the values of its labels |
//! | `openmetrics` | the page of `/metrics` |
//! | `snapshot` | all counters at one moment |
//!
//! Counters are atomics that belong to one core and are summed when somebody asks; a request touches no cache line
//! of another core. Labels are bounded: pools and endpoints come from the configuration, outcomes and reasons
//! from closed enums; tenants, routes and statuses are in the log, not here. Rejected: a metrics library with a
//! registry. It hashes labels on every update, and its names would be spread over the code.

mod family;
mod openmetrics;
mod snapshot;

pub(crate) use openmetrics::EndpointGauge;
pub use snapshot::MetricsSnapshot;

use family::{FAILURE_REASONS, LATENCY_BOUNDS_US, OUTCOMES, REASONS};

use crate::judge::Harm;
use crate::lineup::LineupStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tailcast_balance::Reason;
use tailcast_balance::admission::ShedReason;
use tailcast_features::OutcomeKind;

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
}
