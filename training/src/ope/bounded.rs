//! Intervals that hold without a normal approximation, for means of numbers in a known range.
//!
//! - [`empirical_bernstein`]: at a number of rows that was fixed beforehand (Maurer & Pontil 2009, theorem 4);
//! - [`anytime`]: at every number of rows at once, so that looking at the estimate as it grows and stopping when it
//!   looks good costs nothing: the predictable plug-in empirical-Bernstein confidence sequence (Waudby-Smith & Ramdas
//!   2024, theorem 2), of which the running intersection is taken.
//!
//! With heavy weights both are wide, which is the truth about a few rows that decide. Rejected: bootstrap
//! intervals of the mean, which know nothing of the row that did not come.

use serde::{Deserialize, Serialize};

/// What the intervals miss, in both directions together.
const ALPHA: f64 = 0.05;

/// Largest bet of the sequence, as a share of all.
const LARGEST_BET: f64 = 0.5;

/// An interval at 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The part of it where the mean can be, which may be less than where a row can be.
    pub(super) fn within(self, low: f64, high: f64) -> Self {
        Self { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }
}

/// Interval of the mean of `rows`, each in `low..=high`: `±(√(2·V·ln(4/α)/n) + 7·R·ln(4/α)/(3·(n − 1)))` with the
/// sample variance `V` and the range `R`. All of the range for fewer than two rows.
pub fn empirical_bernstein(rows: &[f64], (low, high): (f64, f64)) -> Interval {
    let n = rows.len() as f64;
    if n < 2.0 {
        return Interval { low, high };
    }
    let mean = rows.iter().sum::<f64>() / n;
    let variance = rows.iter().map(|row| (row - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let confidence = (4.0 / ALPHA).ln();
    let radius = (2.0 * variance * confidence / n).sqrt() + 7.0 * (high - low) * confidence / (3.0 * (n - 1.0));
    Interval { low: (mean - radius).max(low), high: (mean + radius).min(high) }
}

/// Interval of the mean that holds at every row: `rows` in their order, each in `low..=high`.
pub fn anytime(rows: &[f64], (low, high): (f64, f64)) -> Interval {
    let range = high - low;
    let confidence = (2.0 / ALPHA).ln();
    let mut found = Interval { low: 0.0, high: 1.0 };
    // Sums behind the running mean and variance, begun with half a row of a half and a quarter.
    let (mut sum, mut squares, mut n) = (0.5, 0.25, 1.0f64);
    let (mut bets, mut weighted, mut spent) = (0.0, 0.0, 0.0);
    for row in rows {
        let scaled = ((row - low) / range).clamp(0.0, 1.0);
        let (mean, variance) = (sum / n, squares / n);
        let bet = (2.0 * confidence / (variance * n * (1.0 + n).ln())).sqrt().min(LARGEST_BET);
        bets += bet;
        weighted += bet * scaled;
        spent += 4.0 * (scaled - mean).powi(2) * (-(1.0 - bet).ln() - bet) / 4.0;
        let (centre, radius) = (weighted / bets, (confidence + spent) / bets);
        found.low = found.low.max(centre - radius);
        found.high = found.high.min(centre + radius);
        n += 1.0;
        sum += scaled;
        squares += (scaled - sum / n).powi(2);
    }
    Interval { low: low + range * found.low, high: low + range * found.high.max(found.low) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Weighted costs as off-policy evaluation has them: mostly 0, sometimes the weight.
    fn rows(count: usize, seed: u64) -> Vec<f64> {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        (0..count).map(|_| if random.random::<f64>() < 0.1 { 2.0 * random.random::<f64>() } else { 0.2 }).collect()
    }

    const TRUTH: f64 = 0.9 * 0.2 + 0.1;

    #[test]
    fn the_formulas_are_those_of_the_sources() {
        let found = empirical_bernstein(&[0.0, 1.0, 1.0, 0.0], (0.0, 1.0));
        let radius = (2.0 / 3.0 * 80.0f64.ln() / 4.0).sqrt() + 7.0 * 80.0f64.ln() / 9.0;
        assert_eq!(found, Interval { low: (0.5 - radius).max(0.0), high: (0.5 + radius).min(1.0) });
        // The first bet: √(2·ln 40 / (1/4 · 1 · ln 2)) is above a half, so a half is bet.
        let spent = 4.0 * 0.3f64.powi(2) * (std::f64::consts::LN_2 - 0.5) / 4.0;
        let radius = (40.0f64.ln() + spent) / 0.5;
        let first = anytime(&[0.8], (0.0, 1.0));
        assert_eq!(first, Interval { low: (0.8 - radius).max(0.0), high: (0.8 + radius).min(1.0) });
    }

    #[test]
    fn both_cover_the_truth_the_sequence_at_every_row() {
        let (mut missed, mut missed_once) = (0, 0);
        for seed in 0..300 {
            let rows = rows(1_500, seed);
            let holds = |found: Interval| found.low <= TRUTH && TRUTH <= found.high;
            missed += usize::from(!holds(empirical_bernstein(&rows, (0.0, 2.0))));
            // The intersection is the interval that is left if one looked after every row.
            missed_once += usize::from(!holds(anytime(&rows, (0.0, 2.0))));
        }
        assert!(missed <= 15 && missed_once <= 15, "{missed} and {missed_once} of 300");
    }

    #[test]
    fn both_shrink_with_rows_and_say_nothing_without() {
        for interval in [empirical_bernstein, anytime] {
            assert_eq!(interval(&[], (0.0, 2.0)), Interval { low: 0.0, high: 2.0 });
            let width = |count: usize| {
                let found = interval(&rows(count, 1), (0.0, 2.0));
                found.high - found.low
            };
            assert!(width(20_000) < 0.35 * width(1_000), "{} {}", width(1_000), width(20_000));
            assert!(width(20_000) < 0.06, "{}", width(20_000));
        }
    }
}
