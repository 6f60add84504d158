//! The plain estimators: sums over weights and costs, with their intervals.

use serde::{Deserialize, Serialize};

/// Two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// An estimate with its 95 % interval (normal approximation).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    fn around(value: f64, standard_error: f64) -> Self {
        Self { value, low: value - Z95 * standard_error, high: value + Z95 * standard_error }
    }
}

/// Inverse propensity scoring: `v = Σ wᵢcᵢ / n`, standard error `√(Σ (wᵢcᵢ − v)² / (n·(n − 1)))`.
pub fn ips(weights: &[f64], costs: &[f64]) -> Estimate {
    let n = weights.len().min(costs.len()) as f64;
    let value = weights.iter().zip(costs).map(|(weight, cost)| weight * cost).sum::<f64>() / n;
    let squares: f64 = weights.iter().zip(costs).map(|(weight, cost)| (weight * cost - value).powi(2)).sum();
    Estimate::around(value, (squares / (n * (n - 1.0))).sqrt())
}

/// Self-normalised IPS: `v = Σ wᵢcᵢ / Σ wᵢ`, standard error by the delta method `√(Σ wᵢ²(cᵢ − v)²) / Σ wᵢ`.
pub fn snips(weights: &[f64], costs: &[f64]) -> Estimate {
    let total: f64 = weights.iter().sum();
    let value = weights.iter().zip(costs).map(|(weight, cost)| weight * cost).sum::<f64>() / total;
    let squares: f64 = weights.iter().zip(costs).map(|(weight, cost)| (weight * (cost - value)).powi(2)).sum();
    Estimate::around(value, squares.sqrt() / total)
}

/// Kish's effective sample size, `(Σw)² / Σw²`; 0 without weight.
pub fn effective_rows(weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    if squares > 0.0 { total * total / squares } else { 0.0 }
}
