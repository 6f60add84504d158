//! Percentiles of latencies, and how sure their ratio is.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

/// Nearest-rank percentile of ascending values: the smallest value with at least `share` of all at or below it.
/// NaN without values.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// A ratio with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioInterval {
    /// Treatment over control, from all samples.
    pub value: f64,
    /// 2.5th percentile of the resamples.
    pub low: f64,
    /// 97.5th percentile of the resamples.
    pub high: f64,
}

/// One latency and the block that it was measured in.
pub type Blocked = (usize, f64);

/// Resamples: the ends of a 95 % interval from 2,000 are stable to about a hundredth of its width.
const RESAMPLES: usize = 2_000;

/// Values of one arm, descending, so that a tail percentile is reached after few steps.
struct Arm(Vec<Blocked>);

impl Arm {
    fn new(values: &[Blocked]) -> Self {
        let mut values = values.to_vec();
        values.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
        Self(values)
    }

    /// Nearest-rank percentile where block b counts `times[b]` times.
    fn percentile(&self, share: f64, times: &[u32]) -> f64 {
        let weight = |block: usize| u64::from(times.get(block).copied().unwrap_or(0));
        let total: u64 = self.0.iter().map(|(block, _)| weight(*block)).sum();
        if total == 0 {
            return f64::NAN;
        }
        // From the top, the value that has at most `total − rank` above it.
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut above = 0;
        for (block, value) in &self.0 {
            above += weight(*block);
            if above > total - rank {
                return *value;
            }
        }
        f64::NAN
    }
}

/// Ratio of a percentile of `treatment` to that of `control`, with a 95 % interval by the percentile bootstrap over
/// blocks (Efron & Tibshirani 1993, ch. 8 and 13). Blocks with the same number are drawn together, because they
/// saw the same traffic. With fewer than two blocks the interval is the value itself.
pub fn percentile_ratio(control: &[Blocked], treatment: &[Blocked], share: f64, seed: u64) -> RatioInterval {
    let blocks = control.iter().chain(treatment).map(|(block, _)| block + 1).max().unwrap_or(0);
    let (control, treatment) = (Arm::new(control), Arm::new(treatment));
    let ratio = |times: &[u32]| treatment.percentile(share, times) / control.percentile(share, times);
    let value = ratio(&vec![1; blocks]);
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut ratios = Vec::with_capacity(RESAMPLES);
    let mut times = vec![0u32; blocks];
    while ratios.len() < RESAMPLES && blocks >= 2 {
        times.fill(0);
        for _ in 0..blocks {
            times[rng.random_range(0..blocks)] += 1;
        }
        ratios.push(ratio(&times));
    }
    // A resample without samples of an arm says nothing.
    ratios.retain(|ratio| ratio.is_finite());
    if ratios.is_empty() {
        return RatioInterval { value, low: value, high: value };
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let (low, high) = (percentile(&ratios, 0.025), percentile(&ratios, 0.975));
    RatioInterval { value, low: low.min(value), high: high.max(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_ratio_of_equals_is_one_and_its_interval_holds_it() {
        let arm: Vec<Blocked> = (0..4_000usize).map(|i| (i % 8, (i * 7_919 % 1_000) as f64 + 1.0)).collect();
        let ratio = percentile_ratio(&arm, &arm, 0.99, 1);
        assert_eq!(ratio.value, 1.0);
        assert!(ratio.low <= 1.0 && ratio.high >= 1.0 && ratio.high - ratio.low < 0.2, "{ratio:?}");
    }

    #[test]
    fn half_the_latency_is_a_ratio_of_one_half() {
        let control: Vec<Blocked> = (0..2_000usize).map(|i| (i % 6, (i % 500) as f64 + 1.0)).collect();
        let treatment: Vec<Blocked> = control.iter().map(|(block, value)| (*block, value / 2.0)).collect();
        let ratio = percentile_ratio(&control, &treatment, 0.99, 1);
        assert!((ratio.value - 0.5).abs() < 1e-9);
        assert!((ratio.low - 0.5).abs() < 1e-9 && (ratio.high - 0.5).abs() < 1e-9, "same blocks are drawn together");
    }

    #[test]
    fn nothing_measured_is_not_a_panic() {
        assert!(percentile_ratio(&[], &[], 0.99, 1).value.is_nan());
        assert_eq!(
            percentile_ratio(&[(0, 2.0)], &[(0, 1.0)], 0.99, 1),
            RatioInterval { value: 0.5, low: 0.5, high: 0.5 }
        );
    }

    proptest! {
        #[test]
        fn the_weighted_percentile_is_the_plain_one_where_all_blocks_count_once(
            values in prop::collection::vec(0.0f64..1e3, 1..200), share in 0.01f64..1.0
        ) {
            let blocked: Vec<Blocked> = values.iter().map(|value| (0, *value)).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            prop_assert_eq!(Arm::new(&blocked).percentile(share, &[1]), percentile(&sorted, share));
        }
    }
}
