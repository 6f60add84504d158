//! The fallback for forests whose leaves do not fit 16 bits: f32 leaves, leaf numbers of many candidates as bytes.
//!
//! Comparing and shifting bytes of neighbouring candidates has no branch and no dependence between candidates, so
//! the compiler turns it into full-width vector code on any machine. Rejected: one candidate at a time with the
//! levels unrolled (a chain of dependent loads, and nothing to vectorise).

use crate::forecast::MAX_QUANTILES;
use crate::forest::Forest;

/// Candidates a block: one cache line of bins, and the leaf numbers of a block fit one 512-bit register.
const BLOCK: usize = 64;

/// Forecast of one binned row into `out[quantile]`.
///
/// # Panics
/// `bins` is shorter than the row that the forest is for.
pub(super) fn predict_bins(forest: &Forest, bins: &[u8], out: &mut [f32]) {
    let quantiles = forest.quantile_count();
    for (value, base) in out.iter_mut().zip(&forest.parts().base) {
        *value = *base;
    }
    for span in &forest.spans {
        let splits = &forest.splits[span.first_split as usize..span.end_split as usize];
        let leaf = splits.iter().enumerate().fold(0usize, |leaf, (level, split)| {
            leaf | usize::from(bins[usize::from(split.feature)] > split.bin) << level
        });
        let leaf_values = &forest.leaves[span.first_leaf_value as usize + leaf * quantiles..][..quantiles];
        for (value, addend) in out.iter_mut().zip(leaf_values) {
            *value += addend;
        }
    }
}

/// Forecasts of `count` rows: bins at `bins[feature * stride + candidate]`, results at
/// `out[quantile * stride + candidate]`.
///
/// # Panics
/// `stride < count`, or `bins` or `out` is too short for it.
pub(super) fn predict_batch(forest: &Forest, bins: &[u8], stride: usize, count: usize, out: &mut [f32]) {
    assert!(count <= stride, "{count} candidates do not fit a stride of {stride}");
    for start in (0..count).step_by(BLOCK) {
        let block = BLOCK.min(count - start);
        predict_block(forest, bins, stride, start, block, out);
    }
}

fn predict_block(forest: &Forest, bins: &[u8], stride: usize, start: usize, block: usize, out: &mut [f32]) {
    let quantiles = forest.quantile_count().min(MAX_QUANTILES);
    let mut sums = [[0.0f32; BLOCK]; MAX_QUANTILES];
    for (sum, base) in sums.iter_mut().zip(&forest.parts().base) {
        sum.fill(*base);
    }
    let mut leaf = [0u8; BLOCK];
    for span in &forest.spans {
        leaf.fill(0);
        let splits = &forest.splits[span.first_split as usize..span.end_split as usize];
        for (level, split) in splits.iter().enumerate() {
            let column = &bins[usize::from(split.feature) * stride + start..][..block];
            for (leaf, bin) in leaf.iter_mut().zip(column) {
                *leaf |= u8::from(*bin > split.bin) << level;
            }
        }
        let leaf_values = &forest.leaves[span.first_leaf_value as usize..][..quantiles << splits.len()];
        for (quantile, sum) in sums.iter_mut().enumerate().take(quantiles) {
            for (sum, leaf) in sum.iter_mut().zip(&leaf[..block]) {
                *sum += leaf_values[usize::from(*leaf) * quantiles + quantile];
            }
        }
    }
    for (quantile, sum) in sums.iter().enumerate().take(quantiles) {
        out[quantile * stride + start..][..block].copy_from_slice(&sum[..block]);
    }
}
