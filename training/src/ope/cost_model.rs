//! What the direct method and the doubly robust estimators expect an endpoint to cost: a ridge regression on the
//! features of the candidate.
//!
//! Fitted crosswise: the decisions are cut into an even number of blocks of time, and those of the even blocks are
//! expected by what was fitted on the odd ones, and the other way round, so that no row is in its own expectation.
//! Milliseconds are fitted as logarithms and brought back by the mean of the residuals' exponentials (Duan's smearing,
//! 1983); shares are fitted as they are and kept in 0 to 1. Rows count by their inverse propensity, up to a limit, since
//! the model must be right where the target goes and not where the log went. Rejected: the evaluated model's own
//! forecast, which likes best what it overrates.

use super::Choice;
use crate::error::TrainError;
use crate::ridge::ridge;
use ndarray::Array2;
use tailcast_features::{FEATURE_COUNT, Row};

/// Blocks of time: enough that both halves know every hour.
const BLOCKS: usize = 20;

/// Largest inverse propensity of a row.
const MAX_WEIGHT: f64 = 20.0;

/// Rows of evidence that the prior "no effect" counts for.
const PRIOR_ROWS: f64 = 10.0;

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Milliseconds: positive, and fitted as logarithms.
    Milliseconds,
    /// 0 or 1.
    Share,
}

/// Expected cost of every candidate of every decision, `[decision][candidate]`.
///
/// # Errors
/// The solver fails.
pub(super) fn expect(choices: &[Choice<'_>], costs: &[f64], scale: Scale) -> Result<Vec<Vec<f64>>, TrainError> {
    let is_even = |row: usize| (row * BLOCKS / choices.len().max(1)).is_multiple_of(2);
    let fit = |even: bool| {
        let rows: Vec<usize> = (0..choices.len()).filter(|row| is_even(*row) == even).collect();
        CostModel::fit(choices, costs, &rows, scale)
    };
    let (of_even, of_odd) = (fit(true)?, fit(false)?);
    let expected = |(row, choice): (usize, &Choice<'_>)| {
        let model = if is_even(row) { &of_odd } else { &of_even };
        choice.rows.iter().map(|row| model.expect(row)).collect()
    };
    Ok(choices.iter().enumerate().map(expected).collect())
}

struct CostModel {
    means: [f64; FEATURE_COUNT],
    spreads: [f64; FEATURE_COUNT],
    intercept: f64,
    theta: Vec<f64>,
    /// Mean of the residuals' exponentials.
    smearing: f64,
    scale: Scale,
}

impl CostModel {
    fn fit(choices: &[Choice<'_>], costs: &[f64], rows: &[usize], scale: Scale) -> Result<Self, TrainError> {
        let chosen = |row: &usize| &choices[*row].rows[choices[*row].chosen];
        let propensity = |row: &usize| f64::from(choices[*row].candidates[choices[*row].chosen].propensity);
        let weights: Vec<f64> = rows.iter().map(|row| (1.0 / propensity(row)).min(MAX_WEIGHT)).collect();
        let target: Vec<f64> = rows.iter().map(|row| scale.inwards(costs[*row])).collect();
        let total: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let intercept = target.iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>() / total;
        let (mut means, mut spreads) = ([0.0; FEATURE_COUNT], [0.0; FEATURE_COUNT]);
        for feature in 0..FEATURE_COUNT {
            let values = || rows.iter().map(|row| f64::from(chosen(row)[feature])).filter(|value| value.is_finite());
            let n = values().count().max(1) as f64;
            means[feature] = values().sum::<f64>() / n;
            spreads[feature] = (values().map(|value| (value - means[feature]).powi(2)).sum::<f64>() / n).sqrt();
        }
        let mut model = Self { means, spreads, intercept, theta: vec![0.0; FEATURE_COUNT], smearing: 1.0, scale };
        if rows.is_empty() {
            return Ok(model);
        }
        let design = Array2::from_shape_fn((rows.len(), FEATURE_COUNT), |(row, feature)| {
            model.standardised(chosen(&rows[row]), feature)
        });
        let centred: Vec<f64> = target.iter().map(|y| y - intercept).collect();
        model.theta = ridge(&design, &centred, &weights, PRIOR_ROWS)?;
        if scale == Scale::Milliseconds {
            let residual = |(row, y): (&usize, &f64)| (y - model.linear(chosen(row))).exp();
            let sum: f64 = rows.iter().zip(&target).map(residual).zip(&weights).map(|(r, w)| r * w).sum();
            model.smearing = sum / total;
        }
        Ok(model)
    }

    fn standardised(&self, row: &Row, feature: usize) -> f64 {
        let value = f64::from(row[feature]);
        let is_known = value.is_finite() && self.spreads[feature] > 1e-9;
        if is_known { (value - self.means[feature]) / self.spreads[feature] } else { 0.0 }
    }

    fn linear(&self, row: &Row) -> f64 {
        let terms = self.theta.iter().enumerate().map(|(feature, theta)| theta * self.standardised(row, feature));
        self.intercept + terms.sum::<f64>()
    }

    fn expect(&self, row: &Row) -> f64 {
        match self.scale {
            Scale::Milliseconds => self.linear(row).exp() * self.smearing,
            Scale::Share => self.linear(row).clamp(0.0, 1.0),
        }
    }
}

impl Scale {
    fn inwards(self, cost: f64) -> f64 {
        match self {
            // A microsecond, which is what the log tells apart.
            Self::Milliseconds => cost.max(1e-3).ln(),
            Self::Share => cost,
        }
    }
}
