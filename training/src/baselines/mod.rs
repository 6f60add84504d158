//! What a model must beat: three forecasters that need no research.
//!
//! All see what the champion sees: they are fitted on the train slice and get the same conformal shift per
//! quantile on the calibration slice, so that none loses only for being uncalibrated. Each file is one of them.

mod columns;
mod endpoint_quantile;
mod linear;
mod random_forest;

pub use endpoint_quantile::EndpointQuantile;
pub use linear::Linear;
pub use random_forest::Forest;

use crate::calibrate::{conformal_offset, scores};
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::Forecasts;

/// A fitted baseline: ln-quantiles of a set of rows.
pub trait Baseline: Send + Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// Forecasts before the conformal shift.
    ///
    /// # Errors
    /// The library refuses the rows.
    fn forecast(&self, dataset: &Dataset, levels: &[f32]) -> Result<Forecasts, TrainError>;
}

/// A baseline with its shift per quantile.
pub struct Calibrated {
    baseline: Box<dyn Baseline>,
    offsets: Vec<f32>,
}

impl std::fmt::Debug for Calibrated {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Calibrated").field("name", &self.name()).field("offsets", &self.offsets).finish()
    }
}

impl Calibrated {
    /// Shifts a baseline by its conformal offsets on the calibration slice (rows with a whole latency only).
    ///
    /// # Errors
    /// The baseline cannot forecast the slice.
    pub fn new(baseline: Box<dyn Baseline>, calibration: &Dataset, levels: &[f32]) -> Result<Self, TrainError> {
        let forecasts = baseline.forecast(calibration, levels)?;
        let offsets = (0..levels.len())
            .map(|level| {
                let mut scores = scores(calibration.labels(), forecasts.column(level));
                conformal_offset(&mut scores, levels[level]).unwrap_or(0.0)
            })
            .collect();
        Ok(Self { baseline, offsets })
    }

    /// The name in reports.
    pub fn name(&self) -> &'static str {
        self.baseline.name()
    }

    /// Calibrated forecasts.
    ///
    /// # Errors
    /// The library refuses the rows.
    pub fn forecast(&self, dataset: &Dataset, levels: &[f32]) -> Result<Forecasts, TrainError> {
        let raw = self.baseline.forecast(dataset, levels)?;
        Ok(raw.shifted(|level, _| self.offsets.get(level).copied().unwrap_or(0.0)))
    }
}

/// Fits all baselines on rows with a whole latency.
///
/// # Errors
/// A library refuses to fit.
pub fn fit_all(
    train: &Dataset,
    calibration: &Dataset,
    levels: &[f32],
    seed: u64,
) -> Result<Vec<Calibrated>, TrainError> {
    let (endpoint, others) = rayon::join(
        || Ok::<_, TrainError>(vec![boxed(EndpointQuantile::fit(train)), boxed(Linear::fit(train, seed)?)]),
        || Forest::fit(train, seed),
    );
    let mut fitted = endpoint?;
    fitted.push(boxed(others?));
    fitted.into_iter().map(|baseline| Calibrated::new(baseline, calibration, levels)).collect()
}

fn boxed(baseline: impl Baseline + 'static) -> Box<dyn Baseline> {
    Box::new(baseline)
}

#[cfg(test)]
mod tests;
