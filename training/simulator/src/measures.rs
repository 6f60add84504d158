//! What is measured in one run: at the client, by the time of arrival.

use crate::fairness::Shares;
use crate::histogram::Histogram;
use crate::scenario::Scenario;
use crate::workload::{SECOND, tenant_count};

/// Requests of a newcomer that count as its first.
const FIRST: u32 = 200;

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Refused,
    TimedOut,
}

/// Figures of one run.
#[derive(Debug, Clone)]
pub(crate) struct Measures {
    pub(crate) latency: Histogram,
    pub(crate) windows: Vec<Histogram>,
    pub(crate) window_failed: Vec<u64>,
    /// Answers by tenant, a window.
    pub(crate) window_shares: Vec<Shares>,
    /// One histogram a second of the measured time.
    pub(crate) seconds: Vec<Histogram>,
    pub(crate) newcomers_first: Histogram,
    pub(crate) newcomers_later: Histogram,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) timeouts: u64,
    /// Requests sent to each class of server.
    pub(crate) classes: Vec<u64>,
    bounds: Vec<(u64, u64)>,
    from: u64,
    until: u64,
    timeout_ms: f64,
    regulars: u32,
    seen: Vec<u32>,
}

impl Measures {
    pub(crate) fn new(scenario: &Scenario, by_second: bool) -> Self {
        let nanos = |secs: f64| (secs * SECOND) as u64;
        let seconds = if by_second { scenario.measure_secs.ceil() as usize } else { 0 };
        Self {
            latency: Histogram::default(),
            windows: vec![Histogram::default(); scenario.windows.len()],
            window_failed: vec![0; scenario.windows.len()],
            window_shares: vec![Shares::new(tenant_count(scenario)); scenario.windows.len()],
            seconds: vec![Histogram::default(); seconds],
            newcomers_first: Histogram::default(),
            newcomers_later: Histogram::default(),
            requests: 0,
            errors: 0,
            timeouts: 0,
            classes: vec![0; scenario.classes.len()],
            bounds: scenario.windows.iter().map(|w| (nanos(w.from_secs), nanos(w.until_secs))).collect(),
            from: nanos(scenario.warmup_secs),
            until: nanos(scenario.warmup_secs + scenario.measure_secs),
            timeout_ms: scenario.timeout_ms,
            regulars: scenario.tenants.count as u32,
            seen: vec![0; scenario.tenants.newcomers],
        }
    }

    /// Counts the end of a request that arrived at `arrived`. A timeout counts as the latency at which the client gave
    /// up; a refusal has no latency.
    pub(crate) fn ended(&mut self, arrived: u64, tenant: u32, class: usize, nanos: u64, end: End) {
        if arrived < self.from || arrived >= self.until {
            return;
        }
        self.classes[class] += 1;
        self.count(arrived, tenant, nanos, end);
    }

    /// Counts a request that its proxy did not let in.
    pub(crate) fn turned_away(&mut self, arrived: u64, tenant: u32) {
        if (self.from..self.until).contains(&arrived) {
            self.count(arrived, tenant, 0, End::Refused);
        }
    }

    fn count(&mut self, arrived: u64, tenant: u32, nanos: u64, end: End) {
        self.requests += 1;
        let ms = match end {
            End::Answered => nanos as f64 * 1e-6,
            End::TimedOut => {
                self.timeouts += 1;
                self.timeout_ms
            }
            End::Refused => {
                self.errors += 1;
                f64::NAN
            }
        };
        for (window, (from, until)) in self.bounds.iter().enumerate() {
            if (*from..*until).contains(&arrived) {
                self.window_failed[window] += u64::from(end != End::Answered);
                self.window_shares[window].add(tenant, end == End::Answered);
                if ms.is_finite() {
                    self.windows[window].add(ms);
                }
            }
        }
        if !ms.is_finite() {
            return;
        }
        self.latency.add(ms);
        let second = ((arrived - self.from) as f64 / SECOND) as usize;
        if let Some(histogram) = self.seconds.get_mut(second) {
            histogram.add(ms);
        }
        if let Some(seen) = tenant.checked_sub(self.regulars).and_then(|newcomer| self.seen.get_mut(newcomer as usize))
        {
            *seen += 1;
            if *seen <= FIRST { self.newcomers_first.add(ms) } else { self.newcomers_later.add(ms) }
        }
    }
}
