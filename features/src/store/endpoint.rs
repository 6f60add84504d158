//! The state of one endpoint: its load, its recent latencies, its failures, its reports.

use super::lanes::{EndpointLanes, kept};
use crate::approx::exp2;
use crate::decay::{DecayedMean, DecayedRate, DriftingQuantile, Memory};
use crate::tick::Tick;
use std::collections::VecDeque;

/// Memory of the endpoint's mean latency and residual.
const SLOW: Memory = Memory { half_life_secs: 30.0, max_requests: 100.0 };

/// Memory of the fast residual: about ten requests, so that a brown-out shows within a second.
const FAST: Memory = Memory { half_life_secs: 5.0, max_requests: 10.0 };

/// Memory of the error rate.
const ERRORS: Memory = Memory { half_life_secs: 10.0, max_requests: 100.0 };

/// Half-life of the peak-EWMA's decay toward its mean, seconds (Finagle's default is 10 s).
const PEAK_HALF_LIFE_SECS: f32 = 10.0;

/// Start times kept of unfinished requests. Beyond this the oldest are still the oldest, which is all that is read.
const MAX_TRACKED: usize = 4_096;

/// Room for them from the beginning, so that the first request of an endpoint allocates nothing.
const USUALLY_TRACKED: usize = 16;

/// What is configured of an endpoint, as far as features need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointFacts {
    /// Stable hash of the endpoint's name.
    pub key: u64,
    /// Configured weight, relative to the other endpoints of the pool.
    pub weight: f32,
    /// Whether it is in the proxy's zone; `None` where zones are not configured.
    pub zone_local: Option<bool>,
}

/// A load report of an endpoint (response header or probe).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadReport {
    /// Requests in flight at the endpoint, from all proxies; NaN where not reported.
    pub in_flight: f32,
    /// Utilisation, 1 = full; NaN where not reported.
    pub utilisation: f32,
}

/// State of one endpoint on one core.
#[derive(Debug, Clone)]
pub(super) struct EndpointState {
    weight: f32,
    zone_local: f32,
    joined: Tick,
    started: VecDeque<Tick>,
    report: Option<(LoadReport, Tick)>,
    since_report: u32,
    latency: DecayedMean,
    p50: DriftingQuantile,
    p95: DriftingQuantile,
    errors: DecayedMean,
    completions: DecayedRate,
    residual: DecayedMean,
    residual_fast: DecayedMean,
    peak_ms: f32,
    peak_at: Tick,
}

impl EndpointState {
    pub(super) fn new(now: Tick) -> Self {
        Self {
            weight: 1.0,
            zone_local: f32::NAN,
            joined: now,
            started: VecDeque::with_capacity(USUALLY_TRACKED),
            report: None,
            since_report: 0,
            latency: DecayedMean::default(),
            p50: DriftingQuantile::new(0.5),
            p95: DriftingQuantile::new(0.95),
            errors: DecayedMean::default(),
            completions: DecayedRate::default(),
            residual: DecayedMean::default(),
            residual_fast: DecayedMean::default(),
            peak_ms: f32::NAN,
            peak_at: now,
        }
    }

    pub(super) fn set_facts(&mut self, facts: &EndpointFacts, mean_weight: f32) {
        self.weight = if mean_weight > 0.0 { facts.weight / mean_weight } else { 1.0 };
        self.zone_local = facts.zone_local.map_or(f32::NAN, |local| f32::from(u8::from(local)));
    }

    pub(super) fn dispatched(&mut self, now: Tick) {
        self.since_report = self.since_report.saturating_add(1);
        if self.started.len() < MAX_TRACKED {
            self.started.push_back(now);
        }
    }

    pub(super) fn finished(&mut self, dispatched_at: Tick, failed: bool, now: Tick) {
        // Times are pushed in order, so the search is binary; equal times are interchangeable.
        if let Ok(position) = self.started.binary_search(&dispatched_at) {
            self.started.remove(position);
        }
        self.completions.observe(now);
        self.errors.observe(f32::from(u8::from(failed)), now, ERRORS);
    }

    pub(super) fn observe(&mut self, ln_ms: f32, residual: f32, now: Tick) {
        self.latency.observe(ln_ms, now, SLOW);
        self.p50.observe(ln_ms);
        self.p95.observe(ln_ms);
        self.residual.observe(residual, now, SLOW);
        self.residual_fast.observe(residual, now, FAST);
        let ms = ln_ms.exp();
        let decayed = self.peak_ewma_ms(now);
        // Jump to a peak at once, come down slowly: Finagle's and linkerd's peak-EWMA.
        self.peak_ms = if decayed.is_nan() || ms > decayed {
            ms
        } else {
            let keep = exp2(-now.secs_since(self.peak_at) / PEAK_HALF_LIFE_SECS);
            decayed * keep + ms * (1.0 - keep)
        };
        self.peak_at = now;
    }

    /// Peak-EWMA of the latency in milliseconds; NaN before the first completion. Without traffic it decays
    /// toward zero, so that an endpoint that was slow once is tried again (as in Finagle).
    pub(super) fn peak_ewma_ms(&self, now: Tick) -> f32 {
        self.peak_ms * exp2(-now.secs_since(self.peak_at) / PEAK_HALF_LIFE_SECS)
    }

    pub(super) fn reported(&mut self, report: LoadReport, now: Tick) {
        self.report = Some((report, now));
        self.since_report = 0;
    }

    /// What rows need of it now.
    pub(super) fn lane(&self) -> EndpointLanes<1> {
        let mut lane = EndpointLanes::default();
        let mut keep = |at: usize, value: f32| lane.kept[at] = [value];
        if let Some((report, _)) = self.report {
            keep(kept::REPORTED_IN_FLIGHT, report.in_flight);
            keep(kept::REPORTED_UTILISATION, report.utilisation);
            keep(kept::SINCE_REPORT, self.since_report as f32);
        }
        keep(kept::LATENCY_EWMA, self.latency.mean());
        keep(kept::LATENCY_P50, self.p50.value());
        keep(kept::LATENCY_P95, self.p95.value());
        keep(kept::ERROR_RATE, self.errors.mean());
        keep(kept::WEIGHT, self.weight);
        keep(kept::ZONE_LOCAL, self.zone_local);
        keep(kept::ENDPOINT_RESIDUAL, self.residual.mean());
        keep(kept::ENDPOINT_RESIDUAL_FAST, self.residual_fast.mean());
        let (count, at) = self.completions.parts();
        (lane.completions, lane.completed) = ([count], [at]);
        lane.oldest = [self.started.front().copied().unwrap_or(Tick::NEVER)];
        lane.reported = [self.report.map_or(Tick::ZERO, |(_, at)| at)];
        lane.joined = [self.joined];
        lane
    }
}
