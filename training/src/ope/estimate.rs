//! The estimators: sums over weights, costs and a model of the cost, with their intervals.
//!
//! With `w` the weight of a row, `c` its cost, `q` the cost that a model expects of the endpoint that was chosen and `v`
//! what it expects under the target policy, `v = Σ_a π(a)·q(a)`:
//!
//! | estimator | of a row | source |
//! | --- | --- | --- |
//! | IPS | `w·c` | Horvitz & Thompson 1952 |
//! | SNIPS | `w·c`, over the sum of weights | Swaminathan & Joachims 2015 |
//! | direct method | `v` | – |
//! | doubly robust | `v + w·(c − q)` | Dudík, Langford & Li 2011 |
//! | Switch-DR | `v + w·(c − q)` where `w ≤ τ`, else `v` | Wang, Agarwal & Dudík 2017 |
//!
//! Each but SNIPS is a mean, and its standard error that of a mean. The direct method's is about the rows alone: that
//! its model may be wrong is not in it.

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

    /// The mean of these, standard error `√(Σ (xᵢ − v)² / (n·(n − 1)))`.
    fn mean_of(rows: impl Iterator<Item = f64> + Clone) -> Self {
        let (sum, n) = rows.clone().fold((0.0, 0.0), |(sum, n), row| (sum + row, n + 1.0));
        let value = sum / n;
        let squares: f64 = rows.map(|row| (row - value).powi(2)).sum();
        Self::around(value, (squares / (n * (n - 1.0))).sqrt())
    }
}

/// What a model expects of one decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Cost of the endpoint that was chosen.
    pub chosen: f64,
    /// Mean cost under the target policy.
    pub target: f64,
}

/// Inverse propensity scoring: `v = Σ wᵢcᵢ / n`.
pub fn ips(weights: &[f64], costs: &[f64]) -> Estimate {
    Estimate::mean_of(weights.iter().zip(costs).map(|(weight, cost)| weight * cost))
}

/// Self-normalised IPS: `v = Σ wᵢcᵢ / Σ wᵢ`, standard error by the delta method `√(Σ wᵢ²(cᵢ − v)²) / Σ wᵢ`.
pub fn snips(weights: &[f64], costs: &[f64]) -> Estimate {
    let total: f64 = weights.iter().sum();
    let value = weights.iter().zip(costs).map(|(weight, cost)| weight * cost).sum::<f64>() / total;
    let squares: f64 = weights.iter().zip(costs).map(|(weight, cost)| (weight * (cost - value)).powi(2)).sum();
    Estimate::around(value, squares.sqrt() / total)
}

/// Direct method: `Σ vᵢ / n`.
pub fn direct(expected: &[Expected]) -> Estimate {
    Estimate::mean_of(expected.iter().map(|expected| expected.target))
}

/// Doubly robust: `Σ (vᵢ + wᵢ·(cᵢ − qᵢ)) / n`.
pub fn doubly_robust(weights: &[f64], costs: &[f64], expected: &[Expected]) -> Estimate {
    switch(weights, costs, expected, f64::INFINITY)
}

/// Switch-DR: doubly robust where the weight is at most `tau`, the direct method above.
pub fn switch(weights: &[f64], costs: &[f64], expected: &[Expected], tau: f64) -> Estimate {
    let rows = weights.iter().zip(costs).zip(expected);
    Estimate::mean_of(rows.map(move |((weight, cost), expected)| {
        let correction = if *weight <= tau { weight * (cost - expected.chosen) } else { 0.0 };
        expected.target + correction
    }))
}

/// Kish's effective sample size, `(Σw)² / Σw²`; 0 without weight.
pub fn effective_rows(weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    if squares > 0.0 { total * total / squares } else { 0.0 }
}

/// One bar of a weight histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeightBar {
    /// Weights above this, and 0 in the first bar.
    pub above: f64,
    /// Weights up to this; `None` in the last bar.
    pub up_to: Option<f64>,
    /// Rows of such a weight.
    pub rows: usize,
    /// Their share of the sum of weights.
    pub share: f64,
}

/// Ends of the bars: 0 is a choice that the target never makes, 1 one that both make alike; above 10 single rows
/// begin to count.
const ENDS: [f64; 10] = [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// How many rows have which weight, and how much of the estimate rests on them.
pub fn weight_histogram(weights: &[f64]) -> Vec<WeightBar> {
    let total: f64 = weights.iter().sum();
    (0..=ENDS.len())
        .map(|bar| {
            let above = bar.checked_sub(1).map_or(0.0, |below| ENDS[below]);
            let up_to = ENDS.get(bar).copied();
            let is_in = |weight: &&f64| {
                let is_above = bar == 0 || **weight > above;
                is_above && up_to.is_none_or(|end| **weight <= end)
            };
            let (rows, sum) = weights.iter().filter(is_in).fold((0, 0.0), |(rows, sum), w| (rows + 1, sum + w));
            WeightBar { above, up_to, rows, share: if total > 0.0 { sum / total } else { 0.0 } }
        })
        .collect()
}
