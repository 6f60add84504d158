//! A linear contextual bandit over (tenant group × endpoint) that learns what the forecast still misses.
//!
//! The residual `r = y − f₅₀` of a row, less the mean of all residuals, is regressed on the context of its
//! endpoint `e` and tenant group `g`: `r ≈ θₑ + θ_{e,g}`, by
//! `min Σ wᵢ·(rᵢ − φᵢ·θ)² + λ·‖θ‖²`, with `φ = [1, 1{g = 1}, …]` for each endpoint. The weights are inverse
//! propensities, clipped, `wᵢ = min(1/pᵢ, 20)`: under them a cell's mean is over the requests that *could* have
//! come to the endpoint and not over those that the policy liked to send there. In each cell they are scaled to
//! sum to the effective count `(Σw)²/Σw²`, so `λ` is a number of requests and a cell with little evidence stays
//! near its endpoint's mean, and that near zero. The weight of a cell is added to every quantile.
//!
//! It must earn its place: fitted on the first half of the calibration slice, it is kept only where the pinball
//! loss of the second half falls by more than two standard errors. Rejected: always keeping it (on noise it
//! costs more than it brings), and LinUCB's optimism (exploration belongs to the policy, which knows the load).

use crate::error::TrainError;
use crate::forecast::Forecasts;
use crate::ridge::ridge;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use tailcast_model::pinball;

/// Largest inverse propensity: an exploration share of 5 % is still counted in full.
const MAX_WEIGHT: f64 = 20.0;

/// λ: requests of evidence that the prior "no residual" counts for.
const PRIOR_REQUESTS: f64 = 20.0;

/// Standard errors by which the held-out loss must fall: two, so noise passes once in forty trials.
const STANDARD_ERRORS: f64 = 2.0;

/// Rows below which half a calibration slice can judge nothing.
const MIN_ROWS: usize = 200;

/// One row as the bandit sees it.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Tenant group.
    pub group: u32,
    /// Number of the endpoint.
    pub endpoint: u32,
    /// Propensity of the choice.
    pub propensity: f32,
}

/// Weights and the evidence behind them, `[group][endpoint]`; all zero where the bandit was not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Bandit {
    /// The weights, natural-log units.
    pub cells: Vec<Vec<f32>>,
    /// Effective rows behind each cell.
    pub counts: Vec<Vec<f32>>,
    /// Weighted variance of the residual in each cell, log units squared.
    pub variances: Vec<Vec<f32>>,
}

/// Whether the bandit was kept, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanditReport {
    /// True where its weights are in the model.
    pub kept: bool,
    /// Mean pinball loss of the judging half without it; `None` where nothing could be judged.
    pub loss_without: Option<f64>,
    /// The same with it.
    pub loss_with: Option<f64>,
    /// Standard error of the difference.
    pub standard_error: Option<f64>,
    /// Largest absolute weight, as it was fitted.
    pub largest_weight: f32,
    /// The verdict in words.
    pub verdict: String,
}

impl Bandit {
    /// No correction.
    pub fn zero(groups: usize, endpoints: usize) -> Self {
        let zero = vec![vec![0.0; endpoints]; groups];
        Self { cells: zero.clone(), counts: zero.clone(), variances: zero }
    }

    /// The weight of a cell; 0 where there is none.
    pub fn weight(&self, group: u32, endpoint: u32) -> f32 {
        self.cells.get(group as usize).and_then(|row| row.get(endpoint as usize)).copied().unwrap_or(0.0)
    }

    /// Fits the residuals of rows.
    ///
    /// # Errors
    /// The solver fails.
    pub fn fit(contexts: &[Context], residuals: &[f32], groups: usize, endpoints: usize) -> Result<Self, TrainError> {
        let mut cells = vec![vec![Cell::default(); groups]; endpoints];
        let mean = residuals.iter().map(|residual| f64::from(*residual)).sum::<f64>() / residuals.len().max(1) as f64;
        for (context, residual) in contexts.iter().zip(residuals) {
            let of_endpoint = cells.get_mut(context.endpoint as usize);
            if let Some(cell) = of_endpoint.and_then(|row| row.get_mut(context.group as usize)) {
                cell.add((1.0 / f64::from(context.propensity.max(1e-6))).min(MAX_WEIGHT), f64::from(*residual) - mean);
            }
        }
        let mut bandit = Self::zero(groups, endpoints);
        for (endpoint, row) in cells.iter().enumerate() {
            // One aggregated row a cell: the endpoint's own coefficient first, then one for each group.
            let design =
                Array2::from_shape_fn(
                    (groups, groups + 1),
                    |(group, column)| {
                        if column == 0 || column == group + 1 { 1.0 } else { 0.0 }
                    },
                );
            let means: Vec<f64> = row.iter().map(Cell::mean).collect();
            let counts: Vec<f64> = row.iter().map(Cell::effective_count).collect();
            let theta = ridge(&design, &means, &counts, PRIOR_REQUESTS)?;
            let shared = theta.first().copied().unwrap_or(0.0);
            for (group, (cell, own)) in row.iter().zip(theta.iter().skip(1)).enumerate() {
                bandit.cells[group][endpoint] = (shared + own) as f32;
                bandit.counts[group][endpoint] = cell.effective_count() as f32;
                bandit.variances[group][endpoint] = cell.variance() as f32;
            }
        }
        Ok(bandit)
    }

    /// Fits the first half of the rows, judges on the second, and keeps the weights only where they help.
    ///
    /// # Errors
    /// The solver fails.
    pub fn fit_judged(
        forecasts: &Forecasts,
        labels: &[f32],
        contexts: &[Context],
        groups: usize,
        endpoints: usize,
    ) -> Result<(Self, BanditReport), TrainError> {
        let half = labels.len() / 2;
        let zero = Self::zero(groups, endpoints);
        if half < MIN_ROWS || endpoints < 2 {
            let verdict = format!("not fitted: {} calibration rows on {endpoints} endpoints", labels.len());
            return Ok((zero, BanditReport::unjudged(verdict)));
        }
        let median = forecasts.levels().iter().position(|level| *level >= 0.5).unwrap_or(0);
        let residuals: Vec<f32> =
            labels[..half].iter().zip(forecasts.column(median)).map(|(label, forecast)| label - forecast).collect();
        let bandit = Self::fit(&contexts[..half], &residuals, groups, endpoints)?;
        let report = bandit.judge(forecasts, labels, contexts, half);
        Ok(if report.kept { (bandit, report) } else { (zero, report) })
    }

    fn judge(&self, forecasts: &Forecasts, labels: &[f32], contexts: &[Context], from: usize) -> BanditReport {
        let levels = forecasts.levels().len().max(1) as f64;
        let (mut without, mut gains) = (0.0, Vec::with_capacity(labels.len() - from));
        for (row, label) in labels.iter().enumerate().skip(from) {
            let weight = contexts.get(row).map_or(0.0, |context| self.weight(context.group, context.endpoint));
            let loss = |shift: f32| -> f64 {
                let each = forecasts.levels().iter().enumerate().map(|(level, q)| {
                    pinball(*q, *label, forecasts.column(level).get(row).map_or(f32::NAN, |f| f + shift))
                });
                each.sum::<f64>() / levels
            };
            let plain = loss(0.0);
            without += plain;
            gains.push(plain - loss(weight));
        }
        let n = gains.len().max(1) as f64;
        let gain = gains.iter().sum::<f64>() / n;
        let error = (gains.iter().map(|value| (value - gain).powi(2)).sum::<f64>() / n / n).sqrt();
        let kept = gain > STANDARD_ERRORS * error && gain > 0.0;
        let without = without / n;
        let verdict = format!(
            "{}: held-out pinball {without:.5} without and {:.5} with it, standard error of the difference {error:.5}",
            if kept { "kept" } else { "dropped, weights are zero" },
            without - gain
        );
        BanditReport {
            kept,
            loss_without: Some(without),
            loss_with: Some(without - gain),
            standard_error: Some(error),
            largest_weight: self.cells.iter().flatten().fold(0.0, |most, weight| most.max(weight.abs())),
            verdict,
        }
    }
}

impl BanditReport {
    fn unjudged(verdict: String) -> Self {
        Self { kept: false, loss_without: None, loss_with: None, standard_error: None, largest_weight: 0.0, verdict }
    }
}

/// Weighted sums of one (group, endpoint).
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    weight: f64,
    weight_squared: f64,
    sum: f64,
    sum_squared: f64,
}

impl Cell {
    fn add(&mut self, weight: f64, residual: f64) {
        self.weight += weight;
        self.weight_squared += weight * weight;
        self.sum += weight * residual;
        self.sum_squared += weight * residual * residual;
    }

    fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    fn variance(&self) -> f64 {
        if self.weight > 0.0 { (self.sum_squared / self.weight - self.mean().powi(2)).max(0.0) } else { 0.0 }
    }

    fn effective_count(&self) -> f64 {
        if self.weight_squared > 0.0 { self.weight * self.weight / self.weight_squared } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Rows of 2 groups on 3 endpoints, chosen with unequal propensities, whose labels carry `effect`.
    fn rows(count: usize, seed: u64, effect: impl Fn(u32, u32) -> f32) -> (Vec<Context>, Vec<f32>) {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let shares = [0.8f32, 0.15, 0.05];
        (0..count)
            .map(|_| {
                let group = random.random_range(0..2u32);
                let draw = random.random::<f32>();
                let endpoint = if draw < 0.8 {
                    0
                } else if draw < 0.95 {
                    1
                } else {
                    2
                };
                let noise: f32 = (0..6).map(|_| random.random::<f32>() - 0.5).sum();
                (
                    Context { group, endpoint, propensity: shares[endpoint as usize] },
                    effect(group, endpoint) + 0.5 * noise,
                )
            })
            .unzip()
    }

    #[test]
    fn planted_effects_are_recovered_and_kept() {
        let effect = |group: u32, endpoint: u32| if group == 1 && endpoint == 1 { 0.8 } else { 0.0 };
        let (contexts, labels) = rows(8_000, 3, effect);
        let flat = Forecasts::repeated(&[0.5, 0.95, 0.99], &vec![0.0; labels.len()]);
        let (bandit, report) = Bandit::fit_judged(&flat, &labels, &contexts, 2, 3).unwrap();
        assert!(report.kept, "{report:?}");
        let contrast = bandit.weight(1, 1) - bandit.weight(0, 1);
        assert!((contrast - 0.8).abs() < 0.15, "{bandit:?}");
        assert!((bandit.weight(0, 0) - bandit.weight(1, 0)).abs() < 0.05, "{bandit:?}");
    }

    #[test]
    fn noise_is_dropped() {
        let mut kept = 0;
        for seed in 0..20 {
            let (contexts, labels) = rows(2_000, 100 + seed, |_, _| 0.0);
            let flat = Forecasts::repeated(&[0.5, 0.95, 0.99], &vec![0.0; labels.len()]);
            let (bandit, report) = Bandit::fit_judged(&flat, &labels, &contexts, 2, 3).unwrap();
            kept += usize::from(report.kept);
            assert!(report.kept || bandit == Bandit::zero(2, 3));
        }
        assert!(kept <= 2, "{kept} of 20 noise logs kept a bandit");
    }

    #[test]
    fn a_cell_without_evidence_follows_its_endpoint_and_is_shrunk() {
        let contexts = vec![Context { group: 0, endpoint: 0, propensity: 1.0 }; 400];
        let mut residuals = vec![1.0; 400];
        let mut contexts = contexts;
        contexts.extend(vec![Context { group: 0, endpoint: 1, propensity: 1.0 }; 400]);
        residuals.extend(vec![-1.0; 400]);
        let bandit = Bandit::fit(&contexts, &residuals, 2, 2).unwrap();
        assert!(bandit.weight(0, 0) > 0.9);
        assert!(bandit.weight(1, 0) > 0.3 && bandit.weight(1, 0) < 0.7, "{bandit:?}");
        assert_eq!(bandit.weight(7, 7), 0.0);
        assert_eq!((bandit.counts[0][0], bandit.counts[1][0]), (400.0, 0.0));
        assert!(bandit.variances[0][0] < 1e-6, "all residuals of the cell are equal");
    }

    #[test]
    fn too_few_rows_are_not_judged() {
        let (contexts, labels) = rows(100, 1, |_, _| 0.0);
        let flat = Forecasts::repeated(&[0.5], &vec![0.0; labels.len()]);
        let (bandit, report) = Bandit::fit_judged(&flat, &labels, &contexts, 2, 3).unwrap();
        assert!(!report.kept && report.loss_with.is_none());
        assert_eq!(bandit, Bandit::zero(2, 3));
    }
}
