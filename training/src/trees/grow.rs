//! The structure of one tree: level by level the one question with the largest gain over all leaves.
//!
//! Features are counted in parallel, each by one thread; which is best is decided afterwards in the order of the
//! schema, so ties fall the same way for any number of threads. Rows are kept in the order of their leaves, which
//! makes the counting of a leaf touch 4 KB of histogram instead of all leaves' at once.

use super::binned::Binned;
use super::gradient::Cell;
use super::histogram::{GainRule, Histograms, Ranges};
use rayon::prelude::*;
use tailcast_model::forest::Split;

/// Questions of a tree, and what each gained, in units of weight.
#[derive(Debug, Clone, Default)]
pub(super) struct Structure {
    pub(super) splits: Vec<Split>,
    pub(super) gains: Vec<f64>,
}

/// Grows trees; the buffers are kept from one to the next.
#[derive(Debug)]
pub(super) struct Grower<const L: usize> {
    histograms: Vec<Histograms<L>>,
    /// Bins of each feature, the one for missing values included.
    bins: Vec<usize>,
    monotone: Vec<bool>,
    depth: usize,
    rule: GainRule,
}

impl<const L: usize> Grower<L> {
    pub(super) fn new(borders: &[Vec<f32>], monotone: &[bool], depth: usize, rule: GainRule) -> Self {
        let leaves = 1 << depth.saturating_sub(1);
        Self {
            histograms: borders.iter().map(|_| Histograms::new(leaves)).collect(),
            bins: borders.iter().map(|borders| borders.len() + 2).collect(),
            monotone: monotone.to_vec(),
            depth,
            rule,
        }
    }

    /// Grows a tree on these rows, asking only for `open` features. It is shorter than asked for where no question
    /// gains any more.
    pub(super) fn grow(&mut self, rows: &Binned, stats: &[Cell<L>], mut order: Vec<u32>, open: &[bool]) -> Structure {
        let mut structure = Structure::default();
        let mut ranges: Ranges = vec![0..order.len(); 1];
        let mut aside = Vec::with_capacity(order.len());
        while structure.splits.len() < self.depth {
            let Some((gain, split)) = self.best_split(rows, stats, &order, &ranges, open) else { break };
            let column = &rows.columns[usize::from(split.feature)];
            structure.splits.push(split);
            structure.gains.push(gain);
            if structure.splits.len() < self.depth {
                partition(column, split.bin, &mut order, &mut ranges, &mut aside);
            }
        }
        structure
    }

    fn best_split(
        &mut self,
        rows: &Binned,
        stats: &[Cell<L>],
        order: &[u32],
        ranges: &Ranges,
        open: &[bool],
    ) -> Option<(f64, Split)> {
        let (leaves, rule) = (ranges.len(), &self.rule);
        let (bins, monotone) = (&self.bins, &self.monotone);
        let best_of_feature = |(feature, histograms): (usize, &mut Histograms<L>)| {
            if !open[feature] {
                return (0.0, 0);
            }
            let column = &rows.columns[feature];
            if leaves == 1 {
                histograms.start(column, stats, order);
            } else {
                histograms.split(column, stats, order, ranges, leaves / 2);
            }
            histograms.best(leaves, bins[feature], monotone[feature], rule)
        };
        let all: Vec<(f64, u8)> = self.histograms.par_iter_mut().enumerate().map(best_of_feature).collect();
        let mut best: Option<(f64, Split)> = None;
        for (feature, (gain, bin)) in all.into_iter().enumerate() {
            if gain > best.map_or(0.0, |(most, _)| most) {
                best = Some((gain, Split { feature: feature as u16, bin }));
            }
        }
        best
    }
}

/// Splits every leaf `i` into `i` (answer no) and `i + leaves` (answer yes); rows keep their order within a leaf.
fn partition(column: &[u8], bin: u8, order: &mut [u32], ranges: &mut Ranges, aside: &mut Vec<u32>) {
    for leaf in 0..ranges.len() {
        let range = ranges[leaf].clone();
        let rows = &mut order[range.clone()];
        aside.clear();
        let mut kept = 0;
        for i in 0..rows.len() {
            let row = rows[i];
            if column[row as usize] > bin {
                aside.push(row);
            } else {
                rows[kept] = row;
                kept += 1;
            }
        }
        rows[kept..].copy_from_slice(aside);
        ranges[leaf] = range.start..range.start + kept;
        ranges.push(range.start + kept..range.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_keeps_every_row_once_and_in_order_within_its_leaf() {
        let column: Vec<u8> = (0..50u32).map(|i| (i * 13 % 7) as u8).collect();
        let mut order: Vec<u32> = (0..50).collect();
        let mut ranges: Ranges = vec![0..50; 1];
        let mut aside = Vec::new();
        partition(&column, 3, &mut order, &mut ranges, &mut aside);
        partition(&column, 1, &mut order, &mut ranges, &mut aside);
        assert_eq!(ranges.len(), 4);
        for (leaf, range) in ranges.iter().enumerate() {
            let rows = &order[range.clone()];
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            for row in rows {
                let bin = column[*row as usize];
                assert_eq!(leaf, usize::from(bin > 3) | usize::from(bin > 1) << 1);
            }
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
    }
}
