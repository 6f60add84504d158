//! The reference for all kernels: leaf numbers of a block as bytes, then one table look-up a tree and quantile.
//!
//! Comparing and shifting bytes of neighbouring candidates has no branch and no dependence between candidates, so the
//! compiler makes vector code of it on any machine. Rejected: one candidate at a time with the levels unrolled (a
//! chain of dependent loads, and nothing to vectorise).

use super::{BLOCK, Column, Sums};
use crate::quantised::Quantised;

pub(super) fn sums(quantised: &Quantised, quantiles: usize, bins: &[Column], count: usize, sums: &mut Sums) {
    let count = count.min(BLOCK);
    sums.iter_mut().take(quantiles).for_each(|sums| sums.fill(0));
    let mut leaf = [0u8; BLOCK];
    for (tree, questions) in quantised.trees().iter().enumerate() {
        leaf.fill(0);
        for (level, question) in questions.iter().enumerate() {
            let column = &bins[usize::from(question.feature)];
            for (leaf, bin) in leaf.iter_mut().zip(column) {
                *leaf |= u8::from(*bin > question.bin) << level;
            }
        }
        for (quantile, sums) in sums.iter_mut().enumerate().take(quantiles) {
            let table = &quantised.tables(quantile)[tree];
            for (sum, leaf) in sums.iter_mut().zip(&leaf).take(count) {
                *sum += table.leaf(usize::from(*leaf));
            }
        }
    }
}

pub(super) fn predict_bins(quantised: &Quantised, base: &[f32], bins: &[u8], out: &mut [f32]) {
    let mut sums = [0i32; crate::forecast::MAX_QUANTILES];
    for (tree, questions) in quantised.trees().iter().enumerate() {
        let leaf = questions.iter().enumerate().fold(0usize, |leaf, (level, question)| {
            leaf | usize::from(bins[usize::from(question.feature)] > question.bin) << level
        });
        for (quantile, sum) in sums.iter_mut().enumerate().take(quantised.quantiles()) {
            *sum += quantised.tables(quantile)[tree].leaf(leaf);
        }
    }
    for ((value, base), sum) in out.iter_mut().zip(base).zip(sums) {
        *value = base + sum as f32 * quantised.unit();
    }
}
