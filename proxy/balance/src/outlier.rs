//! Outliers of a pool by statistics: endpoints that fail too often, or answer well but slowly ("slow-but-200").
//!
//! Once an interval the endpoints are compared with each other, never with a fixed time: an endpoint is slow where the
//! geometric mean of its latencies is a multiple of the *pool's median* of these means. Means of logarithms, because
//! one request of ten seconds says little about the next thousand. A load that all have in common moves the
//! median along and ejects nobody. Rejected: a deviation from the mean in standard deviations, as in
//! Envoy's success-rate detection: with three endpoints no one can be two deviations off.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tailcast_features::{Outcome, Tick};

/// Settings of ejection by statistics. Off by default: a policy that forecasts avoids slow endpoints by itself, and
/// endpoints of unequal speed are no outliers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierOptions {
    /// How often endpoints are compared, milliseconds.
    pub interval_ms: u64,
    /// Requests in an interval without which an endpoint is not judged.
    pub min_requests: u32,
    /// Share of successes below which an endpoint is ejected, 0 to 1, where the pool's median is above it; 0 turns it
    /// off.
    pub success_ratio: f32,
    /// Multiple of the pool's median latency above which an endpoint is ejected; 0 turns it off.
    pub latency_ratio: f32,
    /// Intervals in a row for which it must be that slow.
    pub latency_intervals: u32,
}

impl Default for OutlierOptions {
    fn default() -> Self {
        Self { interval_ms: 5_000, min_requests: 20, success_ratio: 0.0, latency_ratio: 0.0, latency_intervals: 2 }
    }
}

impl OutlierOptions {
    pub(crate) fn is_on(&self) -> bool {
        self.success_ratio > 0.0 || self.latency_ratio > 0.0
    }
}

/// Endpoints without which a median says nothing: of two, one is always half of it.
const MIN_JUDGED: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    requests: u32,
    failures: u32,
    latencies: u32,
    ln_ms: f64,
    slow_intervals: u32,
}

/// What each endpoint did in the current interval, by slot.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    windows: Vec<Window>,
    since: Option<Tick>,
}

impl Windows {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self { windows: vec![Window::default(); endpoints], since: None }
    }

    pub(crate) fn observe(&mut self, slot: usize, outcome: &Outcome) {
        let Some(window) = self.windows.get_mut(slot) else { return };
        if outcome.kind.is_endpoint_failure() {
            window.failures += 1;
        }
        window.requests += 1;
        if outcome.kind.is_latency_evidence() {
            window.latencies += 1;
            window.ln_ms += f64::from(outcome.ln_ms());
        }
    }

    /// At the end of an interval: the outliers' slots. `None` within one.
    pub(crate) fn close(&mut self, options: &OutlierOptions, now: Tick) -> Option<Vec<usize>> {
        let since = *self.since.get_or_insert(now);
        if now.since(since) < Duration::from_millis(options.interval_ms) {
            return None;
        }
        self.since = Some(now);
        let mut outliers = Vec::new();
        let enough = |count: u32| count >= options.min_requests.max(1);
        let success = |window: &Window| {
            enough(window.requests).then(|| 1.0 - f64::from(window.failures) / f64::from(window.requests))
        };
        let lowest = f64::from(options.success_ratio);
        let median_success = median(self.windows.iter().filter_map(success));
        let latency = |window: &Window| enough(window.latencies).then(|| window.ln_ms / f64::from(window.latencies));
        let highest = f64::from(options.latency_ratio).ln();
        let median_latency = median(self.windows.iter().filter_map(latency));
        for (slot, window) in self.windows.iter_mut().enumerate() {
            let fails =
                success(window).is_some_and(|share| share < lowest) && median_success.is_some_and(|m| m >= lowest);
            let is_slow = options.latency_ratio > 0.0
                && latency(window).zip(median_latency).is_some_and(|(mean, median)| mean - median > highest);
            let slow_intervals = if is_slow { window.slow_intervals + 1 } else { 0 };
            let is_outlier = fails || (is_slow && slow_intervals >= options.latency_intervals.max(1));
            if is_outlier {
                outliers.push(slot);
            }
            *window = Window { slow_intervals: if is_outlier { 0 } else { slow_intervals }, ..Window::default() };
        }
        Some(outliers)
    }
}

/// The lower median; `None` of too few.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    if values.len() < MIN_JUDGED {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    values.get((values.len() - 1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailcast_features::OutcomeKind;

    const OPTIONS: OutlierOptions = OutlierOptions {
        interval_ms: 1_000,
        min_requests: 10,
        success_ratio: 0.8,
        latency_ratio: 3.0,
        latency_intervals: 2,
    };

    /// Twenty requests on each endpoint in one second, with these latencies and failures.
    fn second(windows: &mut Windows, number: u32, endpoints: &[(u64, u32)]) -> Vec<usize> {
        let at = |part: f64| Tick::from_secs_f64(f64::from(number) + part);
        windows.close(&OPTIONS, at(0.0));
        for (slot, (millis, failures)) in endpoints.iter().enumerate() {
            for i in 0..20 {
                let (kind, status) =
                    if i < *failures { (OutcomeKind::ServerError, 503) } else { (OutcomeKind::Success, 200) };
                windows.observe(slot, &Outcome { kind, status, latency: Duration::from_millis(*millis) });
            }
        }
        windows.close(&OPTIONS, at(1.0)).unwrap_or_default()
    }

    #[test]
    fn an_endpoint_that_answers_well_but_slowly_is_an_outlier_after_two_intervals() {
        let mut windows = Windows::new(4);
        let slow = [(10, 0), (12, 0), (50, 0), (9, 0)];
        assert!(second(&mut windows, 0, &slow).is_empty());
        assert_eq!(second(&mut windows, 1, &slow), [2]);
        assert!(second(&mut windows, 2, &[(10, 0); 4]).is_empty());
    }

    #[test]
    fn a_slowness_or_failure_that_all_share_ejects_nobody() {
        let mut windows = Windows::new(4);
        for number in 0..4 {
            assert!(second(&mut windows, number, &[(500, 10); 4]).is_empty());
        }
    }

    #[test]
    fn an_endpoint_that_fails_a_quarter_of_its_requests_is_an_outlier_at_once() {
        let mut windows = Windows::new(4);
        assert_eq!(second(&mut windows, 0, &[(10, 0), (10, 5), (10, 1), (10, 0)]), [1]);
    }

    #[test]
    fn two_endpoints_are_too_few_to_judge() {
        let mut windows = Windows::new(2);
        for number in 0..4 {
            assert!(second(&mut windows, number, &[(10, 0), (1_000, 20)]).is_empty());
        }
    }
}
