//! Histograms of one feature over all leaves of a level, and the best threshold that they show.
//!
//! Of two children only the lighter one is counted; the other is the parent less it, exactly, since cells are
//! integers. The gain of a threshold in a leaf is `Σ_q [G_L²/(W_L + λ) + G_R²/(W_R + λ) − G²/(W + λ)] / (q·(1 − q))`;
//! dividing by the variance of the gradient gives each quantile the same say, otherwise the median would choose all
//! splits. In an oblivious tree a threshold's gain is the sum over all leaves.

use super::gradient::Cell;
use std::ops::Range;

/// Bins of a histogram: all values of a byte, so that a bin needs no bounds check.
const BINS: usize = 256;

/// What decides between thresholds.
#[derive(Debug, Clone)]
pub(super) struct GainRule {
    /// λ, in units of weight.
    pub(super) l2: f64,
    /// Least weight on either side, in units.
    pub(super) min_units: f64,
    /// Quantile levels and the inverse variance of their gradients.
    pub(super) levels: Vec<(f64, f64)>,
}

impl GainRule {
    pub(super) fn new(l2: f64, min_units: f64, quantiles: &[f32]) -> Self {
        let level = |quantile: &f32| {
            let q = f64::from(*quantile);
            (q, 1.0 / (q * (1.0 - q)))
        };
        // A side without rows must never count, and the divisor never be zero.
        Self { l2: l2.max(1e-9), min_units: min_units.max(1.0), levels: quantiles.iter().map(level).collect() }
    }

    /// Gain of dividing a leaf into these two.
    pub(super) fn gain<const L: usize>(&self, left: &Cell<L>, right: &Cell<L>, monotone: bool) -> f64 {
        let (left_weight, right_weight) = (f64::from(left[0]), f64::from(right[0]));
        if left_weight < self.min_units || right_weight < self.min_units {
            return 0.0;
        }
        let weight = left_weight + right_weight;
        let of = |(lane, (q, scale)): (usize, &(f64, f64))| {
            let left_sum = q * left_weight - f64::from(left[lane]);
            let right_sum = q * right_weight - f64::from(right[lane]);
            let (to_left, to_right) = (left_sum / (left_weight + self.l2), right_sum / (right_weight + self.l2));
            let all = left_sum + right_sum;
            let gain = left_sum * to_left + right_sum * to_right - all * all / (weight + self.l2);
            if monotone && to_right < to_left { 0.0 } else { scale * gain }
        };
        (1..).zip(&self.levels).map(of).sum()
    }
}

/// Histograms of one feature, `[leaf][bin]`.
#[derive(Debug)]
pub(super) struct Histograms<const L: usize> {
    cells: Vec<[Cell<L>; BINS]>,
}

/// Rows of each leaf, as ranges of the order of rows.
pub(super) type Ranges = Vec<Range<usize>>;

impl<const L: usize> Histograms<L> {
    pub(super) fn new(leaves: usize) -> Self {
        Self { cells: vec![[[0; L]; BINS]; leaves] }
    }

    /// Counts the root: the rows `order`, with their `stats` in the same order.
    pub(super) fn start(&mut self, column: &[u8], stats: &[Cell<L>], order: &[u32]) {
        count(column, stats, order, &mut self.cells[0]);
    }

    /// Goes from `parents` leaves to twice as many: leaf `i` was split into `i` and `i + parents`.
    pub(super) fn split(&mut self, column: &[u8], stats: &[Cell<L>], order: &[u32], ranges: &Ranges, parents: usize) {
        let (lefts, rights) = self.cells.split_at_mut(parents);
        for (leaf, (left, right)) in lefts.iter_mut().zip(rights).enumerate() {
            let (of_left, of_right) = (ranges[leaf].clone(), ranges[leaf + parents].clone());
            // `left` still holds the parent.
            if of_right.len() <= of_left.len() {
                count(column, &stats[of_right.clone()], &order[of_right], right);
                subtract(left, right);
            } else {
                count(column, &stats[of_left.clone()], &order[of_left], right);
                subtract(left, right);
                std::mem::swap(left, right);
            }
        }
    }

    /// The threshold bin with the largest gain over the first `leaves` leaves, and the gain in units of weight.
    /// `bins` is how many bins the feature has, the one for missing values included.
    pub(super) fn best(&self, leaves: usize, bins: usize, monotone: bool, rule: &GainRule) -> (f64, u8) {
        let mut gains = [0.0f64; BINS];
        for slot in &self.cells[..leaves] {
            add_gains(slot, bins, monotone, rule, &mut gains);
        }
        let mut best = (0.0, 0);
        for (bin, gain) in gains.iter().enumerate().take(bins.saturating_sub(1)) {
            if *gain > best.0 {
                best = (*gain, bin as u8);
            }
        }
        best
    }
}

fn count<const L: usize>(column: &[u8], stats: &[Cell<L>], order: &[u32], slot: &mut [Cell<L>; BINS]) {
    slot.fill([0; L]);
    for (row, stat) in order.iter().zip(stats) {
        let cell = &mut slot[usize::from(column[*row as usize])];
        for lane in 0..L {
            cell[lane] += stat[lane];
        }
    }
}

fn subtract<const L: usize>(from: &mut [Cell<L>; BINS], part: &[Cell<L>; BINS]) {
    for (cell, part) in from.iter_mut().zip(part) {
        for lane in 0..L {
            cell[lane] -= part[lane];
        }
    }
}

fn add_gains<const L: usize>(
    slot: &[Cell<L>; BINS],
    bins: usize,
    monotone: bool,
    rule: &GainRule,
    gains: &mut [f64; BINS],
) {
    let mut total = [0u32; L];
    for cell in &slot[..bins] {
        for lane in 0..L {
            total[lane] += cell[lane];
        }
    }
    if f64::from(total[0]) < 2.0 * rule.min_units {
        return;
    }
    let inverse = 1.0 / (f64::from(total[0]) + rule.l2);
    let (mut left, mut gain) = ([0u32; L], 0.0);
    for bin in 0..bins - 1 {
        // An empty bin divides the rows as the bin before it did.
        if slot[bin][0] > 0 {
            for lane in 0..L {
                left[lane] += slot[bin][lane];
            }
            let (left_weight, right_weight) = (f64::from(left[0]), f64::from(total[0] - left[0]));
            gain = 0.0;
            if right_weight < rule.min_units {
                break;
            }
            if left_weight >= rule.min_units {
                let (left_inverse, right_inverse) = (1.0 / (left_weight + rule.l2), 1.0 / (right_weight + rule.l2));
                for (lane, (q, scale)) in (1..).zip(&rule.levels) {
                    let left_sum = q * left_weight - f64::from(left[lane]);
                    let all = q * f64::from(total[0]) - f64::from(total[lane]);
                    let right_sum = all - left_sum;
                    let (to_left, to_right) = (left_sum * left_inverse, right_sum * right_inverse);
                    // A step down would be clamped away afterwards, so it is no gain.
                    if !(monotone && to_right < to_left) {
                        gain += scale * (left_sum * to_left + right_sum * to_right - all * all * inverse);
                    }
                }
            }
        }
        gains[bin] += gain;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn rule() -> GainRule {
        GainRule::new(0.0, 1.0, &[0.5])
    }

    #[test]
    fn children_by_subtraction_equal_children_by_counting() {
        let column: Vec<u8> = (0..200u32).map(|i| (i * 37 % 11) as u8).collect();
        let stats: Vec<Cell<4>> = (0..200).map(|i| [1 + i % 3, i % 2, i % 5, 0]).collect();
        let goes_right = |row: &u32| row % 7 > 4 || *row > 150;
        let (right, left): (Vec<u32>, Vec<u32>) = (0..200u32).partition(goes_right);
        for (one, two) in [(&left, &right), (&right, &left)] {
            let order = [one.clone(), two.clone()].concat();
            let ranges = vec![0..one.len(), one.len()..order.len()];
            let of = |rows: &[u32]| rows.iter().map(|row| stats[*row as usize]).collect::<Vec<_>>();
            let mut histograms = Histograms::<4>::new(2);
            histograms.start(&column, &stats, &(0..200).collect::<Vec<_>>());
            histograms.split(&column, &of(&order), &order, &ranges, 1);
            for (leaf, rows) in [one, two].into_iter().enumerate() {
                let mut counted = Histograms::<4>::new(1);
                counted.start(&column, &of(rows), rows);
                assert_eq!(histograms.cells[leaf], counted.cells[0]);
            }
        }
    }

    #[test]
    fn the_best_threshold_is_where_the_gradient_changes_its_sign() {
        let column: Vec<u8> = (0..100).map(|i| 1 + (i % 10)).collect();
        // Rows in bins above 6 lie above their forecast, the others below.
        let stats: Vec<Cell<4>> = column.iter().map(|bin| [1, u32::from(*bin <= 6), 0, 0]).collect();
        let rows: Vec<u32> = (0..100).collect();
        let mut histograms = Histograms::<4>::new(1);
        histograms.start(&column, &stats, &rows);
        let (gain, bin) = histograms.best(1, 11, false, &rule());
        assert_eq!(bin, 6);
        // 4·(30²/60 + 20²/40 − 10²/100), with each G half of the weight.
        assert!((gain - 4.0 * (15.0 + 10.0 - 1.0)).abs() < 1e-6, "{gain}");
        assert_eq!(histograms.best(1, 11, true, &rule()).1, 6, "up is allowed");
        // Below and above, in a single call.
        let (left, right) = ([60, 60, 0, 0], [40, 0, 0, 0]);
        assert!((rule().gain::<4>(&left, &right, false) - gain).abs() < 1e-6);
        assert_eq!(rule().gain::<4>(&right, &left, true), 0.0, "down is not");
    }

    #[test]
    fn a_step_down_is_no_gain_for_a_monotone_feature_and_a_light_side_none_for_any() {
        let column = vec![1u8, 1, 1, 2, 2, 2];
        let stats: Vec<Cell<4>> = column.iter().map(|bin| [1, u32::from(*bin == 2), 0, 0]).collect();
        let mut histograms = Histograms::<4>::new(1);
        histograms.start(&column, &stats, &[0, 1, 2, 3, 4, 5]);
        assert!(histograms.best(1, 3, false, &rule()).0 > 0.0);
        assert_eq!(histograms.best(1, 3, true, &rule()).0, 0.0);
        assert_eq!(histograms.best(1, 3, false, &GainRule::new(0.0, 4.0, &[0.5])).0, 0.0);
    }
}
