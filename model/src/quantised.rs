//! Leaves as 16-bit integers in one unit for the whole forest, cut into bytes for table look-ups in registers.
//!
//! The unit is the power of two at which the largest leaf still fits an i16. A forecast of `n` trees is then off by
//! at most `n · unit / 2`; a forest for which that is above [`MAX_ERROR`], or with trees deeper than six levels, is
//! not quantised and keeps its f32 leaves. A power of two, so that scaling is exact; one unit for all trees, so that
//! sums are sums of integers and do not depend on their order. Rounding keeps the order of leaves: what was monotone
//! stays monotone. Rejected: f32 leaves gathered from memory (eight gathers cost what 64 look-ups in a register do).

use crate::forest::{Split, Tree};

/// Levels of a quantised tree; its 64 leaves are one register of bytes.
pub(crate) const LEVELS: usize = 6;

/// Leaves of a quantised tree.
pub(crate) const LEAVES: usize = 1 << LEVELS;

/// Largest error of a forecast by quantisation, natural log units: half a percent of a latency.
pub const MAX_ERROR: f32 = 0.005;

/// The leaves of one tree for one quantile: low and high bytes of 16-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Table {
    pub(crate) low: [u8; LEAVES],
    pub(crate) high: [u8; LEAVES],
}

impl Table {
    pub(crate) fn leaf(&self, leaf: usize) -> i32 {
        i32::from(i16::from_le_bytes([self.low[leaf], self.high[leaf]]))
    }
}

/// The questions of one tree, always [`LEVELS`] of them: a level too many asks what is never answered with yes.
pub(crate) type Questions = [Split; LEVELS];

/// One level of four trees, for a register in which each tree has sixteen candidates.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernel searches"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FourQuestions {
    pub(crate) bins: [u8; 4],
    pub(crate) features: [u16; 4],
}

/// A forest ready for the kernels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantised {
    unit: f32,
    quantiles: usize,
    /// One more than the largest feature that is asked for.
    width: usize,
    trees: Vec<Questions>,
    /// The same by fours; trees that are missing in the last answer no.
    fours: Vec<[FourQuestions; LEVELS]>,
    /// `[quantile][tree]`.
    tables: Vec<Table>,
}

impl Quantised {
    /// Quantises trees; `None` where they are too deep, or the unit would be too coarse.
    pub(crate) fn new(trees: &[Tree], quantiles: usize) -> Option<Self> {
        if quantiles == 0 || trees.iter().any(|tree| tree.splits.len() > LEVELS) {
            return None;
        }
        let largest = trees.iter().flat_map(|tree| &tree.leaves).fold(0.0f32, |most, leaf| most.max(leaf.abs()));
        let unit = unit(largest)?;
        if trees.len() as f32 * unit / 2.0 > MAX_ERROR {
            return None;
        }
        let table = |tree: &Tree, quantile: usize| {
            let mut table = Table { low: [0; LEAVES], high: [0; LEAVES] };
            for (leaf, values) in tree.leaves.chunks_exact(quantiles).enumerate() {
                let [low, high] = ((values[quantile] / unit).round() as i16).to_le_bytes();
                (table.low[leaf], table.high[leaf]) = (low, high);
            }
            table
        };
        let tables = (0..quantiles).flat_map(|quantile| trees.iter().map(move |tree| table(tree, quantile))).collect();
        let trees: Vec<Questions> = trees.iter().map(questions).collect();
        Some(Self { unit, quantiles, width: width(&trees), fours: fours(&trees), trees, tables })
    }

    /// Some of the trees, with their questions put in another way; in the same unit.
    pub(crate) fn select(&self, is_wanted: impl Fn(usize) -> bool, question: impl Fn(Split) -> Split) -> Self {
        let wanted: Vec<usize> = (0..self.trees.len()).filter(|tree| is_wanted(*tree)).collect();
        let trees = wanted.iter().map(|tree| {
            // What is never answered with yes stays so.
            self.trees[*tree]
                .map(|split| if split.bin == u8::MAX { Split { feature: 0, ..split } } else { question(split) })
        });
        let tables = (0..self.quantiles).flat_map(|quantile| wanted.iter().map(move |tree| (quantile, *tree)));
        let trees: Vec<Questions> = trees.collect();
        Self {
            unit: self.unit,
            quantiles: self.quantiles,
            width: width(&trees),
            fours: fours(&trees),
            trees,
            tables: tables.map(|(quantile, tree)| self.tables(quantile)[tree]).collect(),
        }
    }

    /// Natural log units of one step.
    pub(crate) fn unit(&self) -> f32 {
        self.unit
    }

    /// Columns of bins that the questions need.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernel searches"))]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn quantiles(&self) -> usize {
        self.quantiles
    }

    pub(crate) fn trees(&self) -> &[Questions] {
        &self.trees
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernel searches"))]
    pub(crate) fn fours(&self) -> &[[FourQuestions; LEVELS]] {
        &self.fours
    }

    /// The tables of all trees for one quantile.
    pub(crate) fn tables(&self, quantile: usize) -> &[Table] {
        let trees = self.trees.len();
        &self.tables[quantile * trees..(quantile + 1) * trees]
    }
}

/// The smallest power of two by which `largest` is at most `i16::MAX`; never finer than 2⁻²⁰, so that a sum of ten
/// thousand leaves fits an i32 and an f32's 24 bits hold those that occur.
fn unit(largest: f32) -> Option<f32> {
    let most = f32::from(i16::MAX);
    (0..=20).rev().map(|bits| (-(bits as f32)).exp2()).find(|unit| (largest / unit).round() <= most)
}

fn fours(trees: &[Questions]) -> Vec<[FourQuestions; LEVELS]> {
    let never = Split { feature: 0, bin: u8::MAX };
    let four = |trees: &[Questions]| {
        std::array::from_fn(|level| {
            let question = |tree: usize| trees.get(tree).map_or(never, |questions| questions[level]);
            FourQuestions {
                bins: std::array::from_fn(|tree| question(tree).bin),
                features: std::array::from_fn(|tree| question(tree).feature),
            }
        })
    };
    trees.chunks(4).map(four).collect()
}

fn width(trees: &[Questions]) -> usize {
    trees.iter().flatten().map(|question| usize::from(question.feature) + 1).max().unwrap_or(0)
}

fn questions(tree: &Tree) -> Questions {
    // No bin is above 255.
    let mut questions = [Split { feature: 0, bin: u8::MAX }; LEVELS];
    questions.iter_mut().zip(&tree.splits).for_each(|(question, split)| *question = *split);
    questions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn tree(leaves: Vec<f32>) -> Tree {
        Tree { splits: vec![Split { feature: 0, bin: 1 }; leaves.len().ilog2() as usize], leaves }
    }

    #[test]
    fn the_unit_is_the_finest_power_of_two_that_the_largest_leaf_fits() {
        assert_eq!(unit(0.9), Some((-15f32).exp2()));
        assert_eq!(unit(31.0), Some((-10f32).exp2()));
        assert_eq!(unit(0.0), Some((-20f32).exp2()));
        assert_eq!(unit(1e9), None);
    }

    #[test]
    fn leaves_come_back_within_half_a_unit() {
        let leaves = vec![0.123_456, -0.4, 0.499, -0.001];
        let quantised = Quantised::new(&[tree(leaves.clone())], 1).unwrap();
        for (leaf, value) in leaves.iter().enumerate() {
            let back = quantised.tables(0)[0].leaf(leaf) as f32 * quantised.unit();
            assert!((back - value).abs() <= quantised.unit() / 2.0, "{back} for {value}");
        }
    }

    #[test]
    fn what_would_be_too_coarse_or_is_too_deep_is_not_quantised() {
        assert!(Quantised::new(&[tree(vec![30.0, 1.0])], 1).is_some());
        assert!(Quantised::new(&vec![tree(vec![30.0, 1.0]); 100], 1).is_none());
        assert!(Quantised::new(&[tree(vec![0.1; 128])], 1).is_none());
    }
}
