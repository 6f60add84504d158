//! Baseline 3: a random forest (smartcore) of log-latency; the conformal shift turns its mean into quantiles.
//!
//! It learns from a bounded sample, since smartcore grows its trees on one thread and sorts every feature of
//! every tree: a baseline must not take longer than the model that it judges.

use super::Baseline;
use super::columns::Standardiser;
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::Forecasts;
use crate::split::stratified;
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// Rows that are fitted at most.
const MAX_ROWS: usize = 6_000;

/// Trees. Thirty more lower the loss by less than one percent on the demo's log.
const TREES: usize = 20;

/// Depth; deeper trees only learn the noise of six thousand rows.
const DEPTH: u16 = 10;

/// Least rows in a leaf.
const LEAF: usize = 5;

/// Features tried at a split: one in so many, the usual share for regression (Breiman 2001).
const TRIED_ONE_IN: usize = 3;

type Regressor = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// A fitted forest.
#[derive(Debug)]
pub struct Forest {
    standardiser: Standardiser,
    /// Only features that vary: a third of all would often be a third of constants, and the forest a weak one.
    features: Vec<usize>,
    forest: Regressor,
}

impl Forest {
    /// Fits a time-stratified sample of the train slice.
    ///
    /// # Errors
    /// smartcore refuses the rows.
    pub fn fit(train: &Dataset, seed: u64) -> Result<Self, TrainError> {
        let standardiser = Standardiser::fit(train);
        // Without any, the matrix still needs a column.
        let features = Some(standardiser.varying()).filter(|features| !features.is_empty()).unwrap_or(vec![0]);
        let sample = train.take(&stratified(train.len(), MAX_ROWS, seed));
        let target: Vec<f64> = sample.label.iter().map(|label| f64::from(*label)).collect();
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(TREES)
            .with_max_depth(DEPTH)
            .with_min_samples_leaf(LEAF)
            .with_m(features.len().div_ceil(TRIED_ONE_IN))
            .with_seed(seed);
        let forest =
            Regressor::fit(&matrix(&standardiser, &features, &sample)?, &target, parameters).map_err(refused)?;
        Ok(Self { standardiser, features, forest })
    }
}

fn refused(error: smartcore::error::Failed) -> TrainError {
    TrainError::Fit { what: "random forest", reason: error.to_string() }
}

fn matrix(standardiser: &Standardiser, features: &[usize], rows: &Dataset) -> Result<DenseMatrix<f64>, TrainError> {
    let values = features.iter().flat_map(|feature| standardiser.column(rows, *feature)).collect();
    DenseMatrix::new(rows.len(), features.len(), values, true).map_err(refused)
}

impl Baseline for Forest {
    fn name(&self) -> &'static str {
        "random_forest"
    }

    fn forecast(&self, dataset: &Dataset, levels: &[f32]) -> Result<Forecasts, TrainError> {
        if dataset.is_empty() {
            return Ok(Forecasts::repeated(levels, &[]));
        }
        let mean = self.forest.predict(&matrix(&self.standardiser, &self.features, dataset)?).map_err(refused)?;
        let mean: Vec<f32> = mean.into_iter().map(|value| value as f32).collect();
        Ok(Forecasts::repeated(levels, &mean))
    }
}
