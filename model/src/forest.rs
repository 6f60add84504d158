//! Oblivious (symmetric) multi-quantile trees, compiled for prediction.
//!
//! **Binning.** A feature has up to 254 ascending borders. NaN is bin 0; a value `v` is bin
//! `1 + #{borders < v}`, so a value equal to a border lies below it, and the largest bin is 255.
//!
//! **Trees.** All nodes of a level ask the same question, `bins[feature] > bin`; the answer of level `l` is bit `l`
//! of the leaf's number (level 0 is the lowest bit). `bin = 0` asks whether the value is there at all, `bin = k`
//! whether it is above border `k − 1`; a missing value always answers no. A leaf holds one number for each quantile, in natural
//! log of milliseconds; the forecast is `base + Σ leaves`, where leaves are integers of a common unit
//! ([`crate::quantised`]), so that all kernels agree to the bit; where they do not fit they are added as f32.
//!
//! Everything lies in flat arrays: a hundred trees are 40 KB and stay in the first-level cache. Rejected: nodes
//! with child pointers (an ordinary tree costs five times as much per candidate and cannot be vectorised over
//! candidates).

use crate::artefact::error::ArtefactError;
use crate::forecast::MAX_QUANTILES;
use crate::kernel;
use crate::ladder::Ladder;
use crate::quantised::Quantised;

/// Borders a feature may have: 254 borders make 255 bins, and NaN is the 256th value of a u8.
pub const MAX_BORDERS: usize = 254;

/// Levels a tree may have: then a leaf's number fits a u8, which is what vector kernels shuffle by.
pub const MAX_DEPTH: usize = 8;

/// Trees a forest may have: a hundred serve; this bounds what a hostile file makes a forecast cost.
pub const MAX_TREES: usize = 10_000;

/// The question of one level of a tree: `bins[feature] > bin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Index into the feature row.
    pub feature: u16,
    /// Threshold bin, at most the number of the feature's borders.
    pub bin: u8,
}

/// One oblivious tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// One question a level; the first decides the lowest bit of the leaf's number.
    pub splits: Vec<Split>,
    /// `[leaf][quantile]`, `2^levels` leaves.
    pub leaves: Vec<f32>,
}

/// A forest as it is trained and stored, not yet validated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForestParts {
    /// Ascending borders of each feature.
    pub borders: Vec<Vec<f32>>,
    /// Start value of each quantile.
    pub base: Vec<f32>,
    /// The trees, in the order in which they are added.
    pub trees: Vec<Tree>,
}

/// A validated forest, ready to predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    parts: ForestParts,
    used: Vec<u16>,
    pub(crate) spans: Vec<TreeSpan>,
    pub(crate) splits: Vec<Split>,
    pub(crate) leaves: Vec<f32>,
    quantised: Option<Quantised>,
    ladders: Vec<Ladder>,
}

/// Where a tree lies in the flat arrays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TreeSpan {
    pub(crate) first_split: u32,
    pub(crate) end_split: u32,
    pub(crate) first_leaf_value: u32,
}

/// Bin of a value under ascending borders: 0 for NaN, else `1 + #{borders < value}`.
pub fn bin_of(borders: &[f32], value: f32) -> u8 {
    if value.is_nan() {
        return 0;
    }
    let below = borders.partition_point(|border| *border < value).min(MAX_BORDERS);
    1 + below as u8
}

impl Forest {
    /// Validates and compiles.
    ///
    /// # Errors
    /// Anything that could make a prediction read out of bounds or give a number that is not finite.
    pub fn new(parts: ForestParts) -> Result<Self, ArtefactError> {
        validate(&parts)?;
        let quantised = Quantised::new(&parts.trees, parts.base.len());
        let ladders = parts.borders.iter().map(|borders| Ladder::new(borders)).collect();
        let mut forest = Self {
            used: Vec::new(),
            spans: Vec::new(),
            splits: Vec::new(),
            leaves: Vec::new(),
            quantised,
            ladders,
            parts,
        };
        for tree in &forest.parts.trees {
            let first_split = forest.splits.len() as u32;
            forest.splits.extend_from_slice(&tree.splits);
            forest.spans.push(TreeSpan {
                first_split,
                end_split: forest.splits.len() as u32,
                first_leaf_value: forest.leaves.len() as u32,
            });
            forest.leaves.extend_from_slice(&tree.leaves);
        }
        forest.used = forest.splits.iter().map(|split| split.feature).collect();
        forest.used.sort_unstable();
        forest.used.dedup();
        Ok(forest)
    }

    /// No trees and no borders: what stands in a model whose trees are an [`crate::Ensemble`].
    ///
    /// # Errors
    /// So many quantiles cannot be forecast.
    pub(crate) fn without_trees(quantiles: usize) -> Result<Self, ArtefactError> {
        let borders = vec![Vec::new(); tailcast_features::FEATURE_COUNT];
        Self::new(ForestParts { borders, base: vec![0.0; quantiles], trees: Vec::new() })
    }

    /// The forest as it is stored.
    pub fn parts(&self) -> &ForestParts {
        &self.parts
    }

    /// Quantiles that a leaf holds.
    pub fn quantile_count(&self) -> usize {
        self.parts.base.len()
    }

    /// Features of a row.
    pub fn feature_count(&self) -> usize {
        self.parts.borders.len()
    }

    /// The leaves as integers, where they fit.
    pub(crate) fn quantised(&self) -> Option<&Quantised> {
        self.quantised.as_ref()
    }

    /// Trees.
    pub fn tree_count(&self) -> usize {
        self.spans.len()
    }

    /// The features that some tree asks for, ascending: only these need binning.
    pub fn used_features(&self) -> &[u16] {
        &self.used
    }

    /// Bin of one value of a feature; 0 for a feature that does not exist.
    pub fn bin(&self, feature: usize, value: f32) -> u8 {
        self.ladders.get(feature).map_or(0, |ladder| ladder.bin(value))
    }

    /// Bins the used features of a row; the other bins stay as they are. A value that the row lacks is missing.
    pub fn bin_row(&self, row: &[f32], bins: &mut [u8]) {
        self.bin_strided(row, bins, 1);
    }

    /// The same, feature-major: the bin of feature `f` goes to `bins[f * stride]`. To fill candidate `c` pass
    /// `&mut bins[c..]`.
    pub fn bin_strided(&self, row: &[f32], bins: &mut [u8], stride: usize) {
        for feature in &self.used {
            let feature = usize::from(*feature);
            if let Some(bin) = bins.get_mut(feature * stride) {
                *bin = self.bin(feature, row.get(feature).copied().unwrap_or(f32::NAN));
            }
        }
    }

    /// Forecast of one binned row, one number for each quantile; `bins` and `out` are at least as long as there are
    /// features and quantiles.
    pub fn predict_bins(&self, bins: &[u8], out: &mut [f32]) {
        kernel::predict_bins(self, bins, out);
    }

    /// Forecasts of `count` rows whose bins lie feature-major, `bins[feature * stride + candidate]`. The result lies
    /// quantile-major in the same way, `out[quantile * stride + candidate]`.
    pub fn predict_batch(&self, bins: &[u8], stride: usize, count: usize, out: &mut [f32]) {
        kernel::predict_batch(self, bins, stride, count, out);
    }
}

fn validate(parts: &ForestParts) -> Result<(), ArtefactError> {
    let (features, quantiles) = (parts.borders.len(), parts.base.len());
    if quantiles == 0 || quantiles > MAX_QUANTILES {
        return Err(ArtefactError::out_of_range("forest.base length", 0, quantiles, 1, MAX_QUANTILES));
    }
    ArtefactError::check_finite("forest.base", &parts.base)?;
    for (at, borders) in parts.borders.iter().enumerate() {
        ArtefactError::check_index("forest.border_counts", at, borders.len(), MAX_BORDERS)?;
        ArtefactError::check_finite("forest.borders", borders)?;
        ArtefactError::check_ascending("forest.borders", borders.iter())?;
    }
    ArtefactError::check_index("number of trees", 0, parts.trees.len(), MAX_TREES)?;
    for (at, tree) in parts.trees.iter().enumerate() {
        ArtefactError::check_index("forest.tree_depths", at, tree.splits.len(), MAX_DEPTH)?;
        for split in &tree.splits {
            let feature = usize::from(split.feature);
            let Some(borders) = parts.borders.get(feature) else {
                let last = features.saturating_sub(1);
                return Err(ArtefactError::out_of_range("forest.split_features", at, feature, 0, last));
            };
            ArtefactError::check_index("forest.split_bins", at, usize::from(split.bin), borders.len())?;
        }
        ArtefactError::check_len("forest.leaves", tree.leaves.len(), vec![1 << tree.splits.len(), quantiles])?;
        ArtefactError::check_finite("forest.leaves", &tree.leaves)?;
    }
    // Finite leaves may still add up to an infinity.
    for quantile in 0..quantiles {
        let largest = |tree: &Tree| {
            tree.leaves.iter().skip(quantile).step_by(quantiles).fold(0.0f64, |most, v| most.max(f64::from(v.abs())))
        };
        let sum = f64::from(parts.base[quantile].abs()) + parts.trees.iter().map(largest).sum::<f64>();
        // A quarter, as room for rounding.
        if sum > f64::from(f32::MAX) / 4.0 {
            return Err(ArtefactError::NotFinite { tensor: "the sum of forest.leaves", at: quantile, value: sum });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::testing::{any_forest, any_row};
    use proptest::prelude::*;

    fn parts() -> ForestParts {
        ForestParts {
            borders: vec![vec![1.0, 2.0], vec![], vec![-1.0]],
            base: vec![0.5, 1.0],
            trees: vec![
                Tree {
                    splits: vec![Split { feature: 0, bin: 1 }, Split { feature: 2, bin: 0 }],
                    leaves: vec![0.0, 0.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0],
                },
                Tree { splits: vec![], leaves: vec![0.25, 0.5] },
            ],
        }
    }

    fn predict(forest: &Forest, row: &[f32]) -> Vec<f32> {
        let mut bins = vec![0; forest.feature_count()];
        let mut out = vec![0.0; forest.quantile_count()];
        forest.bin_row(row, &mut bins);
        forest.predict_bins(&bins, &mut out);
        out
    }

    #[test]
    fn bins_count_the_borders_below_and_a_border_belongs_to_the_bin_below() {
        let borders = [1.0, 2.0];
        let cases =
            [(f32::NAN, 0), (f32::NEG_INFINITY, 1), (1.0, 1), (1.0001, 2), (2.0, 2), (2.5, 3), (f32::INFINITY, 3)];
        for (value, bin) in cases {
            assert_eq!(bin_of(&borders, value), bin, "{value}");
        }
        let most: Vec<f32> = (0..MAX_BORDERS).map(|i| i as f32).collect();
        assert_eq!(bin_of(&most, 1e9), 255);
    }

    #[test]
    fn each_level_decides_one_bit_of_the_leaf() {
        let forest = Forest::new(parts()).unwrap();
        assert_eq!(predict(&forest, &[0.0, 9.0, f32::NAN]), [0.75, 1.5]);
        assert_eq!(predict(&forest, &[1.5, 9.0, f32::NAN]), [10.75, 12.5]);
        assert_eq!(predict(&forest, &[1.0, 9.0, 0.0]), [20.75, 22.5]);
        assert_eq!(predict(&forest, &[9.0, 9.0, -5.0]), [30.75, 32.5]);
        assert_eq!(predict(&forest, &[9.0]), [10.75, 12.5], "a row that ends early lacks the rest");
    }

    #[test]
    fn only_features_that_a_tree_asks_for_are_used() {
        let forest = Forest::new(parts()).unwrap();
        assert_eq!(forest.used_features(), [0, 2]);
        let mut bins = [77; 3];
        forest.bin_row(&[5.0, 5.0, 5.0], &mut bins);
        assert_eq!(bins, [3, 77, 2]);
    }

    #[test]
    fn wrong_forests_are_refused_with_the_place_and_the_limit() {
        let refusal = |change: fn(&mut ForestParts)| {
            let mut parts = parts();
            change(&mut parts);
            Forest::new(parts).unwrap_err().to_string()
        };
        assert!(refusal(|p| p.base.clear()).contains("forest.base"));
        assert!(refusal(|p| p.base[0] = f32::NAN).contains("forest.base"));
        assert!(refusal(|p| p.borders[0][1] = 1.0).contains("not strictly ascending at 1"));
        assert!(refusal(|p| p.borders[0][1] = f32::NAN).contains("forest.borders"));
        assert!(refusal(|p| p.borders[1] = vec![0.0; 255]).contains("allowed are 0 to 254"));
        assert!(refusal(|p| p.trees[0].splits[0].feature = 3).contains("forest.split_features is 3"));
        assert!(refusal(|p| p.trees[0].splits[0].bin = 3).contains("forest.split_bins is 3 at 0, allowed are 0 to 2"));
        assert!(refusal(|p| p.trees[0].leaves[3] = f32::INFINITY).contains("forest.leaves has inf at 3"));
        assert!(refusal(|p| p.trees[0].leaves.truncate(7)).contains("forest.leaves has 7 values, 8"));
        assert!(refusal(|p| p.trees[1].leaves[0] = 2e38).contains("sum of forest.leaves"));
        assert!(refusal(|p| p.trees[1].splits = vec![Split { feature: 0, bin: 0 }; 9]).contains("forest.tree_depths"));
        assert!(refusal(|p| p.trees = vec![p.trees[1].clone(); MAX_TREES + 1]).contains("number of trees"));
    }

    proptest! {
        #[test]
        fn a_batch_forecasts_the_same_bits_as_each_row_alone(
            parts in any_forest(4, 3), rows in prop::collection::vec(any_row(4), 1..150)
        ) {
            let forest = Forest::new(parts).unwrap();
            let stride = rows.len() + 3;
            let mut bins = vec![0; 4 * stride];
            for (candidate, row) in rows.iter().enumerate() {
                forest.bin_strided(row, &mut bins[candidate..], stride);
            }
            let mut out = vec![0.0; 3 * stride];
            forest.predict_batch(&bins, stride, rows.len(), &mut out);
            for (candidate, row) in rows.iter().enumerate() {
                for (quantile, alone) in predict(&forest, row).into_iter().enumerate() {
                    prop_assert!(alone.is_finite());
                    prop_assert_eq!(out[quantile * stride + candidate].to_bits(), alone.to_bits());
                }
            }
        }

        #[test]
        fn a_bin_is_above_a_threshold_exactly_where_the_value_is_above_the_border(
            borders in prop::collection::btree_set(-50i32..50, 0..30), value in -60.0f32..60.0
        ) {
            let borders: Vec<f32> = borders.into_iter().map(|border| border as f32).collect();
            for (k, border) in borders.iter().enumerate() {
                prop_assert_eq!(bin_of(&borders, value) > (k + 1) as u8, value > *border);
            }
        }
    }
}
