//! Baseline 2: linear regression (linfa) of log-latency on the standardised features; the conformal shift turns
//! its mean into quantiles.

use super::Baseline;
use super::columns::Standardiser;
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::Forecasts;
use crate::ridge::ridge;
use crate::split::stratified;
use ndarray::Array2;
use tailcast_features::FEATURE_COUNT;

/// Rows that are fitted at most: 32 coefficients are known to a thousandth long before that.
const MAX_ROWS: usize = 60_000;

/// Ridge, in rows: only enough to make duplicated columns solvable.
const LAMBDA: f64 = 1.0;

/// Coefficients over standardised features, and the intercept last.
#[derive(Debug, Clone)]
pub struct Linear {
    standardiser: Standardiser,
    theta: Vec<f64>,
}

impl Linear {
    /// Fits the train slice.
    ///
    /// # Errors
    /// The solver fails.
    pub fn fit(train: &Dataset, seed: u64) -> Result<Self, TrainError> {
        let standardiser = Standardiser::fit(train);
        let rows = stratified(train.len(), MAX_ROWS, seed);
        let design = Array2::from_shape_fn((rows.len(), FEATURE_COUNT + 1), |(row, feature)| {
            if feature == FEATURE_COUNT { 1.0 } else { standardiser.value(feature, train.features[feature][rows[row]]) }
        });
        let target: Vec<f64> = rows.iter().map(|row| f64::from(train.label[*row])).collect();
        let theta = ridge(&design, &target, &vec![1.0; rows.len()], LAMBDA)?;
        Ok(Self { standardiser, theta })
    }
}

impl Baseline for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forecast(&self, dataset: &Dataset, levels: &[f32]) -> Result<Forecasts, TrainError> {
        let mut mean = vec![self.theta.last().copied().unwrap_or(0.0); dataset.len()];
        for (feature, theta) in self.theta.iter().enumerate().take(FEATURE_COUNT) {
            for (sum, value) in mean.iter_mut().zip(self.standardiser.column(dataset, feature)) {
                *sum += theta * value;
            }
        }
        let mean: Vec<f32> = mean.into_iter().map(|value| value as f32).collect();
        Ok(Forecasts::repeated(levels, &mean))
    }
}
