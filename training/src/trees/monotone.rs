//! Leaves that never fall when a monotone feature grows.
//!
//! In an oblivious tree a feature that grows can only turn bits of the leaf's number from 0 to 1, so it is enough that
//! no leaf is below the leaf with one such bit less. First, pairs out of order are pooled to their weighted mean a few
//! times over; then a cumulative maximum over the bits makes it exact. Leaves without rows have no say, and take what
//! keeps the order. f32 addition is monotone, so what holds for each tree holds for the sum.
//!
//! Rejected: bounds handed down while growing (as for ordinary trees): the renewal changes leaf values afterwards.

use super::renewal::Leaves;
use tailcast_model::forest::Split;

/// Rounds of pooling: after a few the maximum has next to nothing left to do.
const POOLING_ROUNDS: usize = 8;

/// Clamps the leaves of a tree in place.
pub(super) fn clamp(leaves: &mut Leaves, splits: &[Split], monotone: &[bool], quantiles: usize) {
    let is_monotone = |split: &Split| monotone.get(usize::from(split.feature)).copied().unwrap_or(false);
    let bits: Vec<usize> =
        splits.iter().enumerate().filter(|(_, split)| is_monotone(split)).map(|(level, _)| 1 << level).collect();
    if bits.is_empty() {
        return;
    }
    for quantile in 0..quantiles {
        let mut values: Vec<f32> = leaves.values.iter().skip(quantile).step_by(quantiles).copied().collect();
        pool(&mut values, &leaves.weights, &bits);
        for (value, weight) in values.iter_mut().zip(&leaves.weights).filter(|(_, weight)| **weight == 0.0) {
            debug_assert!(*weight == 0.0);
            *value = f32::NEG_INFINITY;
        }
        raise(&mut values, &bits);
        fill(&mut values, &bits);
        for (target, value) in leaves.values.iter_mut().skip(quantile).step_by(quantiles).zip(values) {
            *target = value;
        }
    }
}

/// Pairs (leaf without the bit, leaf with it).
fn pairs(leaves: usize, bit: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..leaves).filter(move |leaf| leaf & bit == 0).map(move |leaf| (leaf, leaf | bit))
}

fn pool(values: &mut [f32], weights: &[f64], bits: &[usize]) {
    for _ in 0..POOLING_ROUNDS {
        let mut changed = false;
        for bit in bits {
            for (low, high) in pairs(values.len(), *bit) {
                let (low_weight, high_weight) = (weights[low], weights[high]);
                if values[low] > values[high] && low_weight > 0.0 && high_weight > 0.0 {
                    let sum = f64::from(values[low]) * low_weight + f64::from(values[high]) * high_weight;
                    let mean = (sum / (low_weight + high_weight)) as f32;
                    (values[low], values[high]) = (mean, mean);
                    changed = true;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// Every leaf to the maximum over the leaves with a subset of its monotone bits.
fn raise(values: &mut [f32], bits: &[usize]) {
    for bit in bits {
        for (low, high) in pairs(values.len(), *bit) {
            values[high] = values[high].max(values[low]);
        }
    }
}

/// Leaves that have no rows, nor any leaf below them: no step, or less where a leaf above them steps down.
fn fill(values: &mut [f32], bits: &[usize]) {
    let mut least: Vec<f32> = values.iter().map(|value| if value.is_finite() { *value } else { 0.0 }).collect();
    for bit in bits {
        for (low, high) in pairs(least.len(), *bit) {
            least[low] = least[low].min(least[high]);
        }
    }
    for (value, least) in values.iter_mut().zip(least) {
        if !value.is_finite() {
            *value = least.min(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    fn clamped(values: &[f32], weights: &[f64], monotone: &[bool]) -> Vec<f32> {
        let splits: Vec<Split> = (0..monotone.len()).map(|feature| Split { feature: feature as u16, bin: 1 }).collect();
        let mut leaves = Leaves { values: values.to_vec(), weights: weights.to_vec() };
        clamp(&mut leaves, &splits, monotone, 1);
        leaves.values
    }

    #[test]
    fn a_pair_out_of_order_is_pooled_and_one_in_order_stays() {
        assert_eq!(clamped(&[3.0, 1.0], &[1.0, 3.0], &[true]), [1.5, 1.5]);
        assert_eq!(clamped(&[1.0, 3.0], &[1.0, 3.0], &[true]), [1.0, 3.0]);
        assert_eq!(clamped(&[3.0, 1.0], &[1.0, 3.0], &[false]), [3.0, 1.0]);
    }

    #[test]
    fn leaves_without_rows_have_no_say() {
        assert_eq!(clamped(&[0.0, -1.0], &[0.0, 5.0], &[true]), [-1.0, -1.0]);
        assert_eq!(clamped(&[2.0, 0.0], &[5.0, 0.0], &[true]), [2.0, 2.0]);
        // Leaf 2 cannot be reached; leaf 3 must not be lifted to its zero.
        assert_eq!(clamped(&[-3.0, -2.0, 0.0, -1.0], &[1.0, 1.0, 0.0, 1.0], &[true, true]), [-3.0, -2.0, -3.0, -1.0]);
    }

    proptest! {
        #[test]
        fn no_leaf_is_below_the_leaf_with_one_monotone_bit_less(
            values in prop::collection::vec(-2.0f32..2.0, 16),
            weights in prop::collection::vec(prop_oneof![Just(0.0), 0.1f64..50.0], 16),
            monotone in prop::collection::vec(any::<bool>(), 4),
        ) {
            let clamped = clamped(&values, &weights, &monotone);
            prop_assert!(clamped.iter().all(|value| value.is_finite()));
            for (level, _) in monotone.iter().enumerate().filter(|(_, monotone)| **monotone) {
                for (low, high) in pairs(16, 1 << level) {
                    prop_assert!(clamped[low] <= clamped[high], "{:?}", clamped);
                }
            }
        }
    }
}
