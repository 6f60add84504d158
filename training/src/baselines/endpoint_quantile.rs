//! Baseline 1: each endpoint's own latency quantile, recent rows weighing more. It sees no request.

use super::Baseline;
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::{Forecasts, weighted_quantile};

/// Half-life of a row's weight as a share of the train slice's duration: the last quarter counts most, and a
/// short log is not thrown away.
const HALF_LIFE_SHARE: f64 = 0.25;

/// Rows below which an endpoint borrows the quantile of all.
const MIN_ROWS: usize = 30;

/// Decayed rows of every endpoint.
#[derive(Debug, Clone)]
pub struct EndpointQuantile {
    endpoints: Vec<Vec<(f32, f64)>>,
    all: Vec<(f32, f64)>,
}

impl EndpointQuantile {
    /// Keeps the labels of the train slice with their decayed weights.
    pub fn fit(train: &Dataset) -> Self {
        let first = train.arrivals_us().first().copied().unwrap_or(0);
        let last = train.arrivals_us().last().copied().unwrap_or(0);
        let half_life = (last.saturating_sub(first) as f64 * HALF_LIFE_SHARE).max(1.0);
        let mut endpoints = vec![Vec::new(); train.names().endpoints.len()];
        let mut all = Vec::with_capacity(train.len());
        for row in 0..train.len() {
            let age = last.saturating_sub(train.arrival_us[row]) as f64;
            let weighted = (train.label[row], (-age / half_life).exp2());
            if let Some(rows) = endpoints.get_mut(train.endpoint[row] as usize) {
                rows.push(weighted);
            }
            all.push(weighted);
        }
        Self { endpoints, all }
    }
}

impl Baseline for EndpointQuantile {
    fn name(&self) -> &'static str {
        "endpoint_quantile"
    }

    fn forecast(&self, dataset: &Dataset, levels: &[f32]) -> Result<Forecasts, TrainError> {
        let columns = levels
            .iter()
            .map(|level| {
                let of_all = weighted_quantile(&mut self.all.clone(), f64::from(*level));
                let of_endpoint: Vec<f32> = self
                    .endpoints
                    .iter()
                    .map(|rows| {
                        if rows.len() < MIN_ROWS {
                            of_all
                        } else {
                            weighted_quantile(&mut rows.clone(), f64::from(*level))
                        }
                    })
                    .collect();
                dataset
                    .endpoint
                    .iter()
                    .map(|endpoint| of_endpoint.get(*endpoint as usize).copied().unwrap_or(of_all))
                    .collect()
            })
            .collect();
        Ok(Forecasts::new(levels, columns))
    }
}
