//! The structure of one tree: level by level the one question with the largest gain over all leaves.
//!
//! Features are counted in parallel, each by one thread; which is best is decided afterwards in the order of the
//! schema, so ties fall the same way for any number of threads. Rows are kept in the order of their leaves, which
//! makes the counting of a leaf touch 4 KB of histogram instead of all leaves' at once.
//!
//! The sample's bins are copied together first, a column of them fits the second-level cache, and the statistics move with
//! their rows from level to level. Otherwise every row that is counted brings a cache line of bins and one of statistics
//! of which it uses a sixty-fourth and a quarter.

use super::binned::Binned;
use super::gradient::Cell;
use super::histogram::{GainRule, Histograms, Ranges};
use rayon::prelude::*;
use std::ops::Range;
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
    /// The sample's bins, `columns[feature][place in the sample]`.
    columns: Vec<Vec<u8>>,
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
            columns: vec![Vec::new(); borders.len()],
            bins: borders.iter().map(|borders| borders.len() + 2).collect(),
            monotone: monotone.to_vec(),
            depth,
            rule,
        }
    }

    /// Grows a tree on the rows of a sample, whose statistics are in its order, asking only for `open` features. It is
    /// shorter than asked for where no question gains any more.
    pub(super) fn grow(&mut self, rows: &Binned, stats: &mut [Cell<L>], sample: &[u32], open: &[bool]) -> Structure {
        self.gather(rows, sample, open);
        let mut structure = Structure::default();
        let mut order: Vec<u32> = (0..sample.len() as u32).collect();
        let mut ranges: Ranges = vec![0..order.len(); 1];
        let mut aside = Aside { rows: Vec::with_capacity(order.len()), stats: Vec::with_capacity(order.len()) };
        while structure.splits.len() < self.depth {
            let Some((gain, split)) = self.best_split(stats, &order, &ranges, open) else { break };
            structure.splits.push(split);
            structure.gains.push(gain);
            if structure.splits.len() < self.depth {
                let column = &self.columns[usize::from(split.feature)];
                partition(column, split.bin, (&mut order, stats), &mut ranges, &mut aside);
            }
        }
        structure
    }

    /// Copies the sample's bins together, a run of neighbouring rows at a time.
    fn gather(&mut self, rows: &Binned, sample: &[u32], open: &[bool]) {
        let runs: Vec<Range<usize>> =
            sample.chunk_by(|a, b| *a + 1 == *b).map(|run| run[0] as usize..run[0] as usize + run.len()).collect();
        let columns = self.columns.par_iter_mut().zip(&rows.columns).zip(open);
        columns.filter(|(_, open)| **open).for_each(|((column, all), _)| {
            column.clear();
            runs.iter().for_each(|run| column.extend_from_slice(&all[run.clone()]));
        });
    }

    /// The structure of these questions, with what each gains on these rows.
    pub(super) fn again(&self, rows: &Binned, stats: &[Cell<L>], sample: &[u32], splits: Vec<Split>) -> Structure {
        let columns: Vec<&[u8]> =
            splits.iter().map(|split| rows.columns[usize::from(split.feature)].as_slice()).collect();
        let mut leaves = vec![[0u32; L]; 1 << splits.len()];
        for (row, stat) in sample.iter().zip(stats) {
            let row = *row as usize;
            let answers = columns.iter().zip(&splits).enumerate();
            let leaf = answers.fold(0, |leaf, (at, (column, split))| leaf | usize::from(column[row] > split.bin) << at);
            add(&mut leaves[leaf], stat);
        }
        // The last question divides leaf i from leaf i + half; without it both are one leaf of a tree of half the size.
        let mut gains = vec![0.0; splits.len()];
        for (gain, split) in gains.iter_mut().zip(&splits).rev() {
            let half = leaves.len() / 2;
            let (left, right) = leaves.split_at_mut(half);
            let monotone = self.monotone[usize::from(split.feature)];
            for (left, right) in left.iter_mut().zip(right) {
                *gain += self.rule.gain(left, right, monotone);
                add(left, right);
            }
            leaves.truncate(half);
        }
        Structure { splits, gains }
    }

    fn best_split(&mut self, stats: &[Cell<L>], order: &[u32], ranges: &Ranges, open: &[bool]) -> Option<(f64, Split)> {
        let (leaves, rule) = (ranges.len(), &self.rule);
        let (bins, monotone, columns) = (&self.bins, &self.monotone, &self.columns);
        let best_of_feature = |(feature, histograms): (usize, &mut Histograms<L>)| {
            if !open[feature] {
                return (0.0, 0);
            }
            let column = &columns[feature];
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

fn add<const L: usize>(to: &mut Cell<L>, cell: &Cell<L>) {
    to.iter_mut().zip(cell).for_each(|(to, cell)| *to += cell);
}

/// What goes to the right while a leaf is split.
struct Aside<const L: usize> {
    rows: Vec<u32>,
    stats: Vec<Cell<L>>,
}

/// Splits every leaf `i` into `i` (answer no) and `i + leaves` (answer yes); rows keep their order within a leaf, and their
/// statistics go with them.
fn partition<const L: usize>(
    column: &[u8],
    bin: u8,
    (order, stats): (&mut [u32], &mut [Cell<L>]),
    ranges: &mut Ranges,
    aside: &mut Aside<L>,
) {
    for leaf in 0..ranges.len() {
        let range = ranges[leaf].clone();
        let (rows, stats) = (&mut order[range.clone()], &mut stats[range.clone()]);
        aside.rows.clear();
        aside.stats.clear();
        let mut kept = 0;
        for i in 0..rows.len() {
            let row = rows[i];
            if column[row as usize] > bin {
                aside.rows.push(row);
                aside.stats.push(stats[i]);
            } else {
                rows[kept] = row;
                stats[kept] = stats[i];
                kept += 1;
            }
        }
        rows[kept..].copy_from_slice(&aside.rows);
        stats[kept..].copy_from_slice(&aside.stats);
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
        let mut stats: Vec<Cell<4>> = (0..50).map(|row| [row, 0, 0, 0]).collect();
        let mut ranges: Ranges = vec![0..50; 1];
        let mut aside = Aside { rows: Vec::new(), stats: Vec::new() };
        partition(&column, 3, (&mut order, &mut stats), &mut ranges, &mut aside);
        partition(&column, 1, (&mut order, &mut stats), &mut ranges, &mut aside);
        assert!(order.iter().zip(&stats).all(|(row, stat)| *row == stat[0]), "statistics stay with their rows");
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
