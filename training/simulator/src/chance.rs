//! Chance: one seeded generator for each purpose, and the few laws that a scenario draws from.
//!
//! Arrivals, works and tenants have their own streams, apart from those of the policies: two policies at the same
//! seed see the same requests at the same instants, so their difference is theirs alone (common random numbers).

use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;
use tailcast_features::hash::mix;

/// A generator for `purpose` under `seed`.
pub(crate) fn stream(seed: u64, purpose: u64) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(mix(seed.wrapping_add(1), purpose))
}

/// A standard exponential number.
pub(crate) fn exponential(rng: &mut Pcg64Mcg) -> f64 {
    Exp1.sample(rng)
}

/// A standard normal number.
pub(crate) fn normal(rng: &mut Pcg64Mcg) -> f64 {
    StandardNormal.sample(rng)
}

/// Draws an index by weight in constant time. Source: Walker 1977, in Vose's construction of 1991.
#[derive(Debug, Clone)]
pub(crate) struct Alias {
    keep: Vec<f64>,
    other: Vec<u32>,
}

impl Alias {
    /// Weights must be finite, not negative, and not all zero; the scenario's validation sees to it.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let count = weights.len().max(1);
        let mean = weights.iter().sum::<f64>() / count as f64;
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        scaled.resize(count, 1.0);
        let mut alias = Self { keep: vec![1.0; count], other: (0..count as u32).collect() };
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..count).partition(|i| scaled[*i] < 1.0);
        while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
            alias.keep[low] = scaled[low];
            alias.other[low] = high as u32;
            scaled[high] -= 1.0 - scaled[low];
            if scaled[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        alias
    }

    pub(crate) fn draw(&self, rng: &mut Pcg64Mcg) -> usize {
        let i = rng.random_range(0..self.keep.len());
        if rng.random::<f64>() < self.keep[i] { i } else { self.other[i] as usize }
    }
}

/// Zipf's weights: the k-th of `count` weighs k^−s.
pub(crate) fn zipf(count: usize, s: f64) -> Vec<f64> {
    (1..=count).map(|k| (k as f64).powf(-s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_draws_by_weight() {
        let weights = [1.0, 0.0, 3.0, 6.0];
        let alias = Alias::new(&weights);
        let mut rng = stream(1, 2);
        let mut seen = [0u32; 4];
        for _ in 0..100_000 {
            seen[alias.draw(&mut rng)] += 1;
        }
        for (count, weight) in seen.iter().zip(weights) {
            assert!((f64::from(*count) / 1e4 - weight).abs() < 0.1, "{seen:?}");
        }
    }

    #[test]
    fn streams_differ_by_purpose_and_repeat_by_seed() {
        let first = |seed, purpose| stream(seed, purpose).random::<u64>();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }
}
