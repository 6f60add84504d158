//! The dense, finite matrix that linear models and foreign forests need: missing values become the train mean.
//!
//! Rejected: an indicator column for each missing value. It would double the columns of a baseline whose point
//! is to be plain; the champion's trees route missing values themselves.

use crate::dataset::Dataset;
use tailcast_features::FEATURE_COUNT;

/// Mean and spread of each feature on the train slice.
#[derive(Debug, Clone)]
pub(super) struct Standardiser {
    columns: Vec<(f64, f64)>,
}

impl Standardiser {
    /// Means and spreads over the finite values; a feature that is constant or missing counts as zero.
    pub(super) fn fit(dataset: &Dataset) -> Self {
        let columns = (0..FEATURE_COUNT)
            .map(|feature| {
                let finite =
                    || dataset.feature(feature).iter().filter(|value| value.is_finite()).map(|v| f64::from(*v));
                let count = finite().count().max(1) as f64;
                let mean = finite().sum::<f64>() / count;
                let spread = (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
                (mean, spread)
            })
            .collect();
        Self { columns }
    }

    /// The features that differ between rows at all.
    pub(super) fn varying(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|feature| self.columns[*feature].1 > 1e-9).collect()
    }

    /// One standardised value: mean 0, spread 1, missing 0.
    pub(super) fn value(&self, feature: usize, value: f32) -> f64 {
        let (mean, spread) = self.columns.get(feature).copied().unwrap_or((0.0, 0.0));
        if value.is_finite() && spread > 1e-9 { (f64::from(value) - mean) / spread } else { 0.0 }
    }

    /// One standardised column.
    pub(super) fn column(&self, dataset: &Dataset, feature: usize) -> Vec<f64> {
        dataset.feature(feature).iter().map(|value| self.value(feature, *value)).collect()
    }
}
