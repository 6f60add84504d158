//! The start: step functions of single features, from which boosting goes on.
//!
//! Trees know nothing beyond the values that they saw: on a slow day they forecast the slowest day before. A linear
//! model goes on, so a log whose level drifts is better started from one. A step function is what a linear term
//! becomes in bins: a row of thresholds, and what each adds once it is passed, also beyond the range of training. It is
//! compiled to ordinary oblivious trees (every level a threshold, every leaf the sum of the steps that it passed), so
//! the artefact, the kernels and the monotone order need to know nothing of it. Rejected: a linear part beside the
//! forest (the hot path has bins and no values).

use super::error::TreesError;
use super::params::TreeParams;
use tailcast_model::forest::{MAX_BORDERS, Split, Tree};

/// Levels of the trees that steps are compiled to: 32 leaves of three quantiles are 384 bytes, and three such trees
/// hold a staircase of 14 steps.
const DEPTH: usize = 5;

/// Steps that a feature may have: half of its borders, so that the trees keep the other half.
pub const MAX_STEPS: usize = MAX_BORDERS / 2;

/// A step function of one feature, added to every quantile. A missing value adds nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// Number of the feature.
    pub feature: usize,
    /// What a value adds that is there and above no threshold.
    pub lowest: f32,
    /// Ascending thresholds, and what a value above each adds to that.
    pub steps: Vec<(f32, f32)>,
}

impl Steps {
    /// What a value adds.
    pub fn value(&self, value: f32) -> f32 {
        if value.is_nan() {
            return 0.0;
        }
        self.steps.iter().filter(|(threshold, _)| value > *threshold).fold(self.lowest, |sum, (_, step)| sum + step)
    }

    /// Refuses what is no step function, or falls along a monotone feature.
    pub(super) fn check(&self, params: &TreeParams) -> Result<(), TreesError> {
        let refuse = |allowed| Err(TreesError::Param { name: "start", value: format!("{self:?}"), allowed });
        let ascending = self.steps.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let finite = self.lowest.is_finite() && self.steps.iter().all(|(at, step)| at.is_finite() && step.is_finite());
        match params.monotone.get(self.feature) {
            None => refuse("a feature that there is"),
            Some(_) if !finite || !ascending => refuse("finite numbers at ascending thresholds"),
            Some(_) if self.steps.len() > MAX_STEPS => refuse("at most 127 steps"),
            // A missing value adds nothing, and must not be above a small one.
            Some(true) if self.lowest < 0.0 || self.steps.iter().any(|(_, step)| *step < 0.0) => {
                refuse("no step down for a monotone feature")
            }
            Some(_) => Ok(()),
        }
    }

    /// The thresholds.
    pub(super) fn thresholds(&self) -> Vec<f32> {
        self.steps.iter().map(|(threshold, _)| *threshold + 0.0).collect()
    }

    /// The trees, for these borders.
    pub(super) fn trees(&self, borders: &[f32], quantiles: usize) -> Vec<Tree> {
        let bin_above = |threshold: f32| borders.partition_point(|border| *border < threshold) as u8 + 1;
        let mut levels: Vec<(u8, f32)> = vec![(0, self.lowest)];
        levels.extend(self.steps.iter().map(|(threshold, step)| (bin_above(*threshold), *step)));
        levels.chunks(DEPTH).map(|levels| tree(self.feature as u16, levels, quantiles)).collect()
    }
}

fn tree(feature: u16, levels: &[(u8, f32)], quantiles: usize) -> Tree {
    let sum = |leaf: usize| {
        let passed = levels.iter().enumerate().filter(|(level, _)| leaf >> level & 1 == 1);
        passed.map(|(_, (_, step))| step).sum::<f32>()
    };
    Tree {
        splits: levels.iter().map(|(bin, _)| Split { feature, bin: *bin }).collect(),
        leaves: (0..1usize << levels.len()).flat_map(|leaf| std::iter::repeat_n(sum(leaf), quantiles)).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::trees::borders::merged;
    use proptest::prelude::*;
    use tailcast_model::Forest;
    use tailcast_model::forest::ForestParts;

    #[test]
    fn a_missing_value_adds_nothing_and_a_threshold_belongs_below() {
        let steps = Steps { feature: 0, lowest: -1.0, steps: vec![(2.0, 0.5), (4.0, 0.25)] };
        let values = [f32::NAN, f32::NEG_INFINITY, 2.0, 2.1, 4.0, f32::INFINITY].map(|value| steps.value(value));
        assert_eq!(values, [0.0, -1.0, -1.0, -0.5, -0.5, -0.25]);
    }

    #[test]
    fn steps_down_along_a_monotone_feature_are_refused_and_so_is_disorder() {
        let params = TreeParams { monotone: vec![true, false], ..TreeParams::default() };
        let check = |feature: usize, lowest: f32, steps: &[(f32, f32)]| {
            Steps { feature, lowest, steps: steps.to_vec() }.check(&params).map_err(|error| error.to_string())
        };
        assert!(check(0, 0.0, &[(1.0, 1.0)]).is_ok() && check(1, -1.0, &[(1.0, -1.0)]).is_ok());
        assert!(check(0, 0.0, &[(1.0, -1.0)]).unwrap_err().contains("no step down"));
        assert!(check(0, -0.5, &[(1.0, 1.0)]).unwrap_err().contains("no step down"));
        assert!(check(1, 0.0, &[(1.0, 1.0), (1.0, 1.0)]).unwrap_err().contains("ascending"));
        assert!(check(1, f32::NAN, &[]).unwrap_err().contains("finite"));
        assert!(check(2, 0.0, &[]).unwrap_err().contains("a feature that there is"));
    }

    proptest! {
        #[test]
        fn the_trees_compute_the_step_function(
            thresholds in prop::collection::btree_set(-40i32..40, 0..30),
            own in prop::collection::btree_set(-40i32..40, 0..20),
            value in prop_oneof![Just(f32::NAN), -45.0f32..45.0, (-45i32..45).prop_map(|v| v as f32)],
        ) {
            let steps: Vec<(f32, f32)> =
                thresholds.into_iter().map(|at| (at as f32, ((at * 7) % 5) as f32 / 8.0)).collect();
            let steps = Steps { feature: 0, lowest: 0.75, steps };
            let borders = merged(own.into_iter().map(|at| at as f32).collect(), &steps.thresholds());
            let trees = steps.trees(&borders, 2);
            let forest = Forest::new(ForestParts { borders: vec![borders], base: vec![0.0; 2], trees }).unwrap();
            let (mut bins, mut out) = ([0u8; 1], [0.0f32; 2]);
            forest.bin_row(&[value], &mut bins);
            forest.predict_bins(&bins, &mut out);
            // Eighths add up exactly.
            prop_assert_eq!(out, [steps.value(value); 2]);
        }
    }
}
