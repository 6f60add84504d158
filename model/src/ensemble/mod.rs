//! Ordinary binary trees, as LightGBM and XGBoost train them: the second kind of forest, for models that come from
//! elsewhere.
//!
//! Each quantile has trees of its own, each tree any shape. A row goes left where `value <= threshold`, a missing value
//! where the split says; the forecast is the base plus the leaves, in natural log of milliseconds.
//!
//! **One comparison for both libraries.** LightGBM asks `x <= t` in f64, XGBoost `x < t` in f32. Features are f32, so the first
//! holds exactly where `x` is at most the largest f32 that is not above `t`, and the second where it is at most the f32
//! before `t` ([`at_most`], [`below`]). Sums are the library's own: f64 for LightGBM, f32 for XGBoost, in the order of the
//! trees, so that a forecast is the library's prediction rounded to f32, bit by bit, and not merely near it.
//!
//! **Pre-order.** A tree is a list of nodes in which the left child of a split is the next node, and the right one the first
//! after the left one's descendants. Nothing else is accepted, so no file can hold a cycle or a node of two parents.
//!
//! Rejected: fitting oblivious trees to the foreign model's forecasts (no longer the model that was judged elsewhere), and
//! unfolding an ordinary tree into oblivious ones (a tree of thirty splits asks thirty questions: a table of 2³⁰ leaves).

mod walk;

use crate::artefact::error::ArtefactError;
use crate::forecast::{Forecast, MAX_QUANTILES};
use crate::forest::MAX_TREES;
use tailcast_features::{FEATURE_COUNT, Row};
use walk::Compiled;

/// Levels of one tree: leaf-wise trees of 255 leaves are seldom 60 deep; this bounds what a hostile file makes a forecast cost.
pub const MAX_LEVELS: usize = 200;

/// Nodes of one tree: positions in it are u16.
pub const MAX_TREE_NODES: usize = 1 << 15;

/// Nodes of all trees: three quantiles of two thousand trees of 127 nodes, and 24 MB where they are walked.
pub const MAX_NODES: usize = 1 << 20;

/// Up to this magnitude a value is zero to LightGBM (its `kZeroThreshold`).
pub const ZERO: f32 = 1e-35;

/// Whose trees they are, which decides how leaves are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Trainer {
    /// LightGBM: sums in f64.
    #[serde(rename = "LightGBM")]
    LightGbm,
    /// XGBoost: sums in f32.
    #[serde(rename = "XGBoost")]
    XgBoost,
}

impl Trainer {
    /// As the library calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
        }
    }
}

/// One node of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// A question; its left child is the next node.
    Split(BinarySplit),
    /// What is added to the forecast, natural log of milliseconds.
    Leaf(f64),
}

/// A question to one feature: left where `value <= threshold`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinarySplit {
    /// Index into the feature row.
    pub feature: u16,
    /// Largest value that goes left; any number but NaN.
    pub threshold: f32,
    /// Position of the right child among the tree's nodes.
    pub right: u16,
    /// Whether a missing value goes left.
    pub missing_left: bool,
    /// Whether a zero counts as missing.
    pub zero_is_missing: bool,
}

/// One tree, its nodes in pre-order; never empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryTree {
    /// The root first.
    pub nodes: Vec<Node>,
}

/// An ensemble as it is imported and stored, not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleParts {
    /// Whose trees they are.
    pub trainer: Trainer,
    /// Start value of each quantile.
    pub base: Vec<f64>,
    /// Trees of each quantile, in the order in which they are added.
    pub trees: Vec<Vec<BinaryTree>>,
}

/// A validated ensemble, ready to predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    parts: EnsembleParts,
    compiled: Compiled,
}

/// The threshold of `x <= threshold` in f64, for f32 values: the largest f32 that is not above it.
pub fn at_most(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold { nearest.next_down() } else { nearest }
}

/// The threshold of `x < threshold`: the f32 before it.
pub fn below(threshold: f32) -> f32 {
    threshold.next_down()
}

impl Ensemble {
    /// Validates and compiles.
    ///
    /// # Errors
    /// Anything that could make a prediction read out of bounds, not end, or give a number that is not finite.
    pub fn new(parts: EnsembleParts) -> Result<Self, ArtefactError> {
        validate(&parts)?;
        Ok(Self { compiled: Compiled::new(&parts), parts })
    }

    /// The ensemble as it is stored.
    pub fn parts(&self) -> &EnsembleParts {
        &self.parts
    }

    /// Quantiles.
    pub fn quantile_count(&self) -> usize {
        self.parts.base.len()
    }

    /// Trees of all quantiles.
    pub fn tree_count(&self) -> usize {
        self.parts.trees.iter().map(Vec::len).sum()
    }

    /// All splits of all trees.
    pub fn splits(&self) -> impl Iterator<Item = &BinarySplit> {
        self.parts.trees.iter().flatten().flat_map(|tree| &tree.nodes).filter_map(|node| match node {
            Node::Split(split) => Some(split),
            Node::Leaf(_) => None,
        })
    }

    /// The highest value of a feature that some split tells from those above; `None` where none asks for it.
    pub(crate) fn highest_border(&self, feature: usize) -> Option<f32> {
        let of_feature = self.splits().filter(|split| usize::from(split.feature) == feature);
        // Where zero is missing it may go another way than the values on either side.
        of_feature
            .map(|split| if split.zero_is_missing { split.threshold.max(ZERO) } else { split.threshold })
            .reduce(f32::max)
    }

    /// Forecast of one row, before calibration.
    pub(crate) fn forecast(&self, row: &Row) -> Forecast {
        let mut out = [Forecast::default()];
        self.compiled.forecast(self.quantile_count(), std::slice::from_ref(row), &mut out);
        out[0]
    }

    /// Forecasts of the lowest `depth` quantiles, before calibration; as many as the shorter of `rows` and `out`.
    pub(crate) fn forecast_batch(&self, depth: usize, rows: &[Row], out: &mut [Forecast]) {
        self.compiled.forecast(depth.min(self.quantile_count()), rows, out);
    }

    /// The same of the candidates of one decision, as they are and with one request more in flight.
    pub(crate) fn forecast_decision(&self, depth: usize, rows: &[Row], out: &mut [Forecast], busier: &mut [Forecast]) {
        self.compiled.forecast_decision(depth.min(self.quantile_count()), rows, out, busier);
    }
}

fn validate(parts: &EnsembleParts) -> Result<(), ArtefactError> {
    let quantiles = parts.base.len();
    if quantiles == 0 || quantiles > MAX_QUANTILES {
        return Err(ArtefactError::out_of_range("ensemble.base length", 0, quantiles, 1, MAX_QUANTILES));
    }
    ArtefactError::check_len("ensemble.tree_counts", parts.trees.len(), vec![quantiles])?;
    let trees = parts.trees.iter().map(Vec::len).sum();
    ArtefactError::check_index("number of trees", 0, trees, MAX_TREES)?;
    let nodes = parts.trees.iter().flatten().map(|tree| tree.nodes.len()).sum();
    ArtefactError::check_index("number of nodes", 0, nodes, MAX_NODES)?;
    for (at, tree) in parts.trees.iter().flatten().enumerate() {
        check_tree(at, tree)?;
    }
    // Finite leaves may still add up to an infinity.
    for (quantile, (base, trees)) in parts.base.iter().zip(&parts.trees).enumerate() {
        let sum = base.abs() + trees.iter().map(largest_leaf).sum::<f64>();
        // A quarter, as room for rounding; a NaN is not below it either.
        if sum.is_nan() || sum > f64::from(f32::MAX) / 4.0 {
            return Err(ArtefactError::NotFinite { tensor: "the sum of ensemble.leaves", at: quantile, value: sum });
        }
    }
    Ok(())
}

fn largest_leaf(tree: &BinaryTree) -> f64 {
    tree.nodes.iter().fold(0.0, |most, node| match node {
        Node::Leaf(value) => value.abs().max(most),
        Node::Split(_) => most,
    })
}

/// Refuses what is not exactly one tree in pre-order; `at` is its number.
fn check_tree(at: usize, tree: &BinaryTree) -> Result<(), ArtefactError> {
    let count = tree.nodes.len();
    if count == 0 || count > MAX_TREE_NODES {
        return Err(ArtefactError::out_of_range("ensemble.node_counts", at, count, 1, MAX_TREE_NODES));
    }
    // Where the right children lie that are still to come, and how deep.
    let mut waiting: Vec<(usize, usize)> = Vec::new();
    let mut level = 0;
    for (place, node) in tree.nodes.iter().enumerate() {
        match node {
            Node::Split(split) => {
                ArtefactError::check_index("ensemble.features", at, usize::from(split.feature), FEATURE_COUNT - 1)?;
                if split.threshold.is_nan() {
                    return Err(ArtefactError::NotFinite { tensor: "ensemble.thresholds", at, value: f64::NAN });
                }
                let right = usize::from(split.right);
                if !(place + 2..count).contains(&right) {
                    let (least, most) = (place + 2, count - 1);
                    return Err(ArtefactError::out_of_range("ensemble.rights", at, right, least, most));
                }
                level += 1;
                ArtefactError::check_index("levels of a tree", at, level, MAX_LEVELS)?;
                waiting.push((right, level));
            }
            Node::Leaf(value) => {
                if !value.is_finite() {
                    return Err(ArtefactError::NotFinite { tensor: "ensemble.leaves", at, value: *value });
                }
                let (expected, of_next) = waiting.pop().unwrap_or((count, 0));
                if expected != place + 1 {
                    let limit = place + 1;
                    return Err(ArtefactError::out_of_range("ensemble.rights", at, expected, limit, limit));
                }
                level = of_next;
            }
        }
    }
    match waiting.last() {
        // A child that never came.
        Some((right, _)) => Err(ArtefactError::out_of_range("ensemble.rights", at, *right, 0, count - 1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
