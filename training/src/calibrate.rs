//! Split-conformal calibration: a shift per tenant group and quantile, learned on a later slice of time.
//!
//! The score of a row is `y − f`; the shift is the score of rank `⌈(n + 1)·q⌉`, so a new exchangeable row lies at
//! or below the shifted forecast with probability at least `q` (Vovk et al. 2005; Romano et al. 2019 for
//! quantile forecasts). A group with too few rows takes the shift of all. Rejected: a scale instead of a shift
//! (in log units a shift already is a factor), and refitting the leaves on the slice (the forest then has no
//! slice left that it has not seen).

use crate::forecast::{Forecasts, coverage};
use serde::{Deserialize, Serialize};

/// Rows that a group needs for a shift of its own: at 200 the 99th percentile still has two rows above it.
pub const MIN_GROUP_ROWS: usize = 200;

/// Parts of the forecast's range in the coverage table.
const DECILES: usize = 10;

/// Shifts in natural log of milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Quantile levels.
    pub levels: Vec<f32>,
    /// Shift of each level over all rows.
    pub overall: Vec<f32>,
    /// Shift of each group and level; `None` where the group takes the shift of all.
    pub groups: Vec<Option<Vec<f32>>>,
    /// Calibration rows of each group.
    pub group_rows: Vec<usize>,
}

/// Scores of rows: label minus forecast.
pub(crate) fn scores(labels: &[f32], forecasts: &[f32]) -> Vec<f32> {
    labels.iter().zip(forecasts).map(|(label, forecast)| label - forecast).collect()
}

/// The score of rank `⌈(n + 1)·level⌉`, the largest where that is beyond the last; `None` without scores.
pub fn conformal_offset(scores: &mut [f32], level: f32) -> Option<f32> {
    // Infinity and NaN sort last and are cut off.
    scores.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
    let finite = scores.partition_point(|score| *score < f32::INFINITY);
    let rank = ((finite + 1) as f64 * f64::from(level) - RANK_SLACK).ceil() as usize;
    scores[..finite].get(rank.clamp(1, finite.max(1)) - 1).copied()
}

/// 0.99 as f32 is a little above 0.99: without this slack 99 rows would ask for rank 100 at `100 · 0.99`.
const RANK_SLACK: f64 = 1e-4;

impl Calibration {
    /// Learns the shifts. `groups[row]` is the tenant group of a row, below `group_count`.
    pub fn fit(forecasts: &Forecasts, labels: &[f32], groups: &[u32], group_count: usize) -> Self {
        let levels = forecasts.levels().to_vec();
        let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); group_count];
        for (row, group) in groups.iter().enumerate().take(labels.len()) {
            if let Some(rows) = rows_of.get_mut(*group as usize) {
                rows.push(row);
            }
        }
        let all_scores: Vec<Vec<f32>> =
            (0..levels.len()).map(|level| scores(labels, forecasts.column(level))).collect();
        let offset = |level: usize, mut scores: Vec<f32>| conformal_offset(&mut scores, levels[level]).unwrap_or(0.0);
        let overall = all_scores.iter().enumerate().map(|(level, scores)| offset(level, scores.clone())).collect();
        let of_group = |rows: &Vec<usize>| {
            (rows.len() >= MIN_GROUP_ROWS).then(|| {
                let pick = |level: usize| rows.iter().map(|row| all_scores[level][*row]).collect::<Vec<_>>();
                (0..levels.len()).map(|level| offset(level, pick(level))).collect()
            })
        };
        let groups = rows_of.iter().map(of_group).collect();
        Self { overall, groups, group_rows: rows_of.iter().map(Vec::len).collect(), levels }
    }

    /// The shift of a group at a level.
    pub fn offset(&self, group: u32, level: usize) -> f32 {
        let of_group = self.groups.get(group as usize).and_then(Option::as_ref);
        of_group.unwrap_or(&self.overall).get(level).copied().unwrap_or(0.0)
    }

    /// Shifted forecasts, levels never crossing.
    pub fn apply(&self, forecasts: &Forecasts, groups: &[u32]) -> Forecasts {
        forecasts.shifted(|level, row| self.offset(groups.get(row).copied().unwrap_or(u32::MAX), level))
    }
}

/// Coverage of one quantile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageRow {
    /// The quantile level, which is the coverage that is right.
    pub level: f32,
    /// Share of rows at or below the forecast.
    pub overall: f64,
    /// The same within each tenant group; `None` for a group without rows.
    pub groups: Vec<Option<f64>>,
    /// The same within each tenth of the rows, by rising forecast; empty below ten rows.
    pub deciles: Vec<f64>,
}

/// The coverage table of calibrated forecasts.
pub fn coverage_table(forecasts: &Forecasts, labels: &[f32], groups: &[u32], group_count: usize) -> Vec<CoverageRow> {
    (0..forecasts.levels().len())
        .map(|level| {
            let column = forecasts.column(level);
            let within = |rows: &[usize]| {
                let pick = |values: &[f32]| rows.iter().filter_map(|row| values.get(*row).copied()).collect::<Vec<_>>();
                coverage(&pick(labels), &pick(column))
            };
            let groups = (0..group_count as u32)
                .map(|group| {
                    let rows: Vec<usize> = (0..labels.len()).filter(|row| groups.get(*row) == Some(&group)).collect();
                    (!rows.is_empty()).then(|| within(&rows))
                })
                .collect();
            let mut order: Vec<usize> = (0..column.len().min(labels.len())).collect();
            order.sort_by(|a, b| column[*a].total_cmp(&column[*b]));
            let deciles = if order.len() < DECILES {
                Vec::new()
            } else {
                (0..DECILES)
                    .map(|part| within(&order[part * order.len() / DECILES..(part + 1) * order.len() / DECILES]))
                    .collect()
            };
            CoverageRow { level: forecasts.levels()[level], overall: coverage(labels, column), groups, deciles }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn the_rank_is_that_of_a_new_row() {
        let mut scores: Vec<f32> = (1..=99).map(|i| i as f32).collect();
        assert_eq!(conformal_offset(&mut scores, 0.99), Some(99.0));
        assert_eq!(conformal_offset(&mut scores, 0.5), Some(50.0));
        assert_eq!(conformal_offset(&mut [3.0, f32::NAN, f32::INFINITY], 0.99), Some(3.0));
        assert_eq!(conformal_offset(&mut [], 0.5), None);
    }

    #[test]
    fn coverage_on_new_rows_is_the_level_in_every_group() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        // Group 1 is three times wider and shifted; the raw forecast knows neither.
        let mut draw = |group: u32| {
            let noise = -f32::ln(1.0 - random.random::<f32>());
            if group == 1 { 1.0 + 3.0 * noise } else { noise }
        };
        let groups: Vec<u32> = (0..20_000).map(|row| row % 2).collect();
        let labels: Vec<f32> = groups.iter().map(|group| draw(*group)).collect();
        let fresh: Vec<f32> = groups.iter().map(|group| draw(*group)).collect();
        let raw = Forecasts::repeated(&[0.5, 0.95, 0.99], &vec![0.0; labels.len()]);
        let calibration = Calibration::fit(&raw, &labels, &groups, 2);
        for row in coverage_table(&calibration.apply(&raw, &groups), &fresh, &groups, 2) {
            // Three standard errors: 10 000 rows a group set the shift, as many are covered by it.
            let q = f64::from(row.level);
            let tolerance = 3.0 * (2.0 * q * (1.0 - q) / 10_000.0).sqrt();
            for within in row.groups.iter().flatten().chain([&row.overall]) {
                assert!((within - q).abs() < tolerance, "{row:?}");
            }
        }
    }

    #[test]
    fn a_small_group_takes_the_shift_of_all_and_an_unknown_one_too() {
        let raw = Forecasts::repeated(&[0.5], &[0.0; 300]);
        let labels: Vec<f32> = (0..300).map(|row| row as f32).collect();
        let groups: Vec<u32> = (0..300).map(|row| u32::from(row >= 290)).collect();
        let calibration = Calibration::fit(&raw, &labels, &groups, 2);
        assert!(calibration.groups[0].is_some() && calibration.groups[1].is_none());
        assert_eq!(calibration.offset(1, 0), calibration.overall[0]);
        assert_eq!(calibration.offset(9, 0), calibration.overall[0]);
        assert_ne!(calibration.offset(0, 0), calibration.overall[0]);
    }
}
