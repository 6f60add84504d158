//! Decayed statistics: a mean that forgets, a quantile that drifts along, a rate.
//!
//! All forget by *time* (half-life) and by *count* (a cap on the weight). Time alone would let a busy endpoint
//! average over tens of thousands of requests and miss a brown-out; count alone would let an idle pair trust
//! yesterday. linkerd's peak-EWMA shows the first half; the cap is the second.

use crate::approx::exp2;
use crate::tick::Tick;

/// A decayed mean with its evidence.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecayedMean {
    mean: f32,
    weight: f32,
    at: Tick,
}

/// How a [`DecayedMean`] forgets.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Evidence halves in this time, seconds.
    pub half_life_secs: f32,
    /// Evidence never exceeds this many requests.
    pub max_requests: f32,
}

impl Memory {
    /// The share of evidence that is left after so many seconds.
    #[inline(always)]
    pub fn kept(self, age_secs: f32) -> f32 {
        exp2(-age_secs / self.half_life_secs)
    }
}

impl DecayedMean {
    /// A mean from its parts: the mean, its evidence when the last value came in, and when that was.
    #[inline(always)]
    pub(crate) fn from_parts(mean: f32, weight: f32, at: Tick) -> Self {
        Self { mean, weight, at }
    }

    /// The inverse of [`DecayedMean::from_parts`].
    #[inline(always)]
    pub(crate) fn parts(self) -> (f32, f32, Tick) {
        (self.mean, self.weight, self.at)
    }

    /// Adds a value. Non-finite values are ignored: one NaN would stay for ever.
    pub fn observe(&mut self, value: f32, now: Tick, memory: Memory) {
        if !value.is_finite() {
            return;
        }
        let weight = (self.weight(now, memory) + 1.0).min(memory.max_requests.max(1.0));
        self.mean += (value - self.mean) / weight;
        self.weight = weight;
        self.at = now;
    }

    /// The evidence left, in requests.
    #[inline]
    pub fn weight(&self, now: Tick, memory: Memory) -> f32 {
        self.weight * memory.kept(now.secs_since(self.at))
    }

    /// The mean, or NaN before the first value.
    #[inline]
    pub fn mean(&self) -> f32 {
        if self.weight > 0.0 { self.mean } else { f32::NAN }
    }

    /// The mean shrunk toward `parent` as if the parent were `prior` requests of evidence. A NaN parent lends
    /// nothing; with neither evidence nor parent the answer is NaN.
    pub fn shrunk(&self, parent: f32, prior: f32, now: Tick, memory: Memory) -> f32 {
        if parent.is_nan() {
            return self.mean();
        }
        shrunk_by(self.mean, self.weight(now, memory), parent, prior)
    }

    /// When a value last came in.
    #[inline]
    pub fn last(&self) -> Tick {
        self.at
    }

    /// True once a value came in.
    #[inline]
    pub fn is_known(&self) -> bool {
        self.weight > 0.0
    }
}

/// A mean with this evidence left, shrunk toward `parent` as if the parent were `prior` requests of evidence.
#[inline(always)]
pub fn shrunk_by(mean: f32, weight: f32, parent: f32, prior: f32) -> f32 {
    (mean * weight + parent * prior) / (weight + prior)
}

/// A quantile followed by stochastic approximation: up by `step · q` when the value is above, down by
/// `step · (1 − q)` when below. Constant memory and a few nanoseconds, where a window would need a selection
/// at every completion. Source: Robbins & Monro 1951; the frugal sketch of Ma et al. 2014 is the unit-step case.
#[derive(Debug, Clone, Copy)]
pub struct DriftingQuantile {
    level: f32,
    value: f32,
}

/// Step of [`DriftingQuantile`] in log units: the median can follow a doubling within about 15 requests.
const QUANTILE_STEP: f32 = 0.1;

impl DriftingQuantile {
    /// Follows the quantile `level` (0 < level < 1).
    pub const fn new(level: f32) -> Self {
        Self { level, value: f32::NAN }
    }

    /// Adds a value; non-finite values are ignored.
    pub fn observe(&mut self, value: f32) {
        if !value.is_finite() {
            return;
        }
        if self.value.is_nan() {
            self.value = value;
        } else if value > self.value {
            self.value += QUANTILE_STEP * self.level;
        } else {
            self.value -= QUANTILE_STEP * (1.0 - self.level);
        }
    }

    /// The quantile, or NaN before the first value.
    pub fn value(&self) -> f32 {
        self.value
    }
}

/// Events a second, decayed with a half-life.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecayedRate {
    count: f32,
    at: Tick,
}

/// Half-life of rates: long enough to be steady at ten requests a second, short enough to follow a ramp.
const RATE_HALF_LIFE_SECS: f32 = 5.0;

impl DecayedRate {
    /// Counts one event.
    pub fn observe(&mut self, now: Tick) {
        self.count = self.decayed(now) + 1.0;
        self.at = now;
    }

    fn decayed(&self, now: Tick) -> f32 {
        Self::left(self.count, now.secs_since(self.at))
    }

    #[inline(always)]
    fn left(count: f32, age_secs: f32) -> f32 {
        count * exp2(-age_secs / RATE_HALF_LIFE_SECS)
    }

    /// Events a second: a decayed count over the mean life of an event, which is half-life / ln 2.
    pub fn per_second(&self, now: Tick) -> f32 {
        Self::after(self.count, now.secs_since(self.at))
    }

    /// Events a second where the count at the last event and the time since are known.
    #[inline(always)]
    pub(crate) fn after(count: f32, age_secs: f32) -> f32 {
        Self::left(count, age_secs) * std::f32::consts::LN_2 / RATE_HALF_LIFE_SECS
    }

    /// The count at the last event, and when that was.
    #[inline(always)]
    pub(crate) fn parts(self) -> (f32, Tick) {
        (self.count, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMORY: Memory = Memory { half_life_secs: 10.0, max_requests: 50.0 };

    fn at(secs: f64) -> Tick {
        Tick::from_secs_f64(secs)
    }

    #[test]
    fn evidence_halves_in_a_half_life() {
        let mut mean = DecayedMean::default();
        for _ in 0..8 {
            mean.observe(3.0, at(1.0), MEMORY);
        }
        assert!((mean.weight(at(11.0), MEMORY) - 4.0).abs() < 1e-3);
        assert_eq!(mean.mean(), 3.0);
    }

    #[test]
    fn an_unknown_mean_is_its_parent_and_evidence_pulls_it_away() {
        let mut mean = DecayedMean::default();
        assert!(mean.mean().is_nan());
        assert_eq!(mean.shrunk(2.0, 4.0, at(0.0), MEMORY), 2.0);
        for _ in 0..4 {
            mean.observe(4.0, at(0.0), MEMORY);
        }
        assert!((mean.shrunk(2.0, 4.0, at(0.0), MEMORY) - 3.0).abs() < 1e-6);
        assert!(DecayedMean::default().shrunk(f32::NAN, 4.0, at(0.0), MEMORY).is_nan());
    }

    #[test]
    fn the_cap_lets_a_busy_mean_follow_a_change() {
        let mut mean = DecayedMean::default();
        for _ in 0..10_000 {
            mean.observe(0.0, at(0.0), MEMORY);
        }
        for _ in 0..100 {
            mean.observe(1.0, at(0.0), MEMORY);
        }
        assert!(mean.mean() > 0.8, "{}", mean.mean());
    }

    #[test]
    fn a_drifting_quantile_finds_the_level() {
        let mut p95 = DriftingQuantile::new(0.95);
        // A fixed low-discrepancy sequence over [0, 1): the 95th percentile is 0.95.
        for i in 0..20_000u32 {
            p95.observe((i as f32 * 0.618_034).fract());
        }
        assert!((p95.value() - 0.95).abs() < 0.08, "{}", p95.value());
    }

    #[test]
    fn a_rate_is_events_per_second() {
        let mut rate = DecayedRate::default();
        for i in 0..1_000 {
            rate.observe(at(f64::from(i) * 0.05));
        }
        assert!((rate.per_second(at(50.0)) - 20.0).abs() < 1.5);
        assert!(rate.per_second(at(100.0)) < 0.1);
    }

    proptest! {
        #[test]
        fn a_mean_stays_within_what_it_saw(values in prop::collection::vec(-5.0f32..5.0, 1..200)) {
            let mut mean = DecayedMean::default();
            for (i, value) in values.iter().enumerate() {
                mean.observe(*value, at(i as f64 * 0.3), MEMORY);
                mean.observe(f32::NAN, at(i as f64 * 0.3), MEMORY);
            }
            let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            prop_assert!(mean.mean() >= low - 1e-3 && mean.mean() <= high + 1e-3);
        }
    }
}
