//! The checked log table to the training matrix.

use super::{Candidate, Dataset, DatasetRow, Propensities};
use crate::error::TrainError;
use crate::load::Lists;
use polars::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::log::column;
use tailcast_features::outcome::ln_ms;
use tailcast_features::{FEATURE_COUNT, FEATURES, OutcomeKind, Row};

/// Makes the training matrix of a table that passed [`crate::checks::check`], sorted by arrival.
///
/// # Errors
/// The table does not have the columns of the log.
pub fn dataset_from_log(mut frame: DataFrame) -> Result<Dataset, TrainError> {
    frame.rechunk_mut_par();
    let height = frame.height();
    let mut dataset = Dataset::with_capacity(height, Propensities::Logged);
    for (column, feature) in dataset.features.iter_mut().zip(FEATURES) {
        let name = format!("{}{}", column::FEATURE_PREFIX, feature.name);
        column.extend_from_slice(frame.column(&name)?.f32()?.cont_slice()?);
    }
    let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
    let latencies = frame.column(column::LATENCY)?.u64()?.cont_slice()?;
    let propensities = frame.column(column::PROPENSITY)?.f32()?.cont_slice()?;
    let pools = frame.column(column::POOL)?.str()?;
    let tenants = frame.column(column::TENANT)?.str()?;
    let routes = frame.column(column::ROUTE)?.str()?;
    let policies = frame.column(column::POLICY)?.str()?;
    let endpoints = frame.column(column::ENDPOINT)?.str()?;
    let outcomes = frame.column(column::OUTCOME)?.str()?;
    let candidates = Lists::new(&frame, column::CANDIDATES)?;
    let shares = Lists::new(&frame, column::CANDIDATE_PROPENSITIES)?;
    let sampled = Lists::new(&frame, column::CANDIDATE_FEATURES)?;
    let (keys, shares_flat, sampled_flat) = (candidates.u64s()?, shares.f32s()?, sampled.f32s()?);
    for row in 0..height {
        let keys = keys.get(candidates.range(row)).unwrap_or(&[]);
        let shares = shares_flat.get(shares.range(row)).unwrap_or(&[]);
        let rows = sampled_flat.get(sampled.range(row)).unwrap_or(&[]);
        let together: Arc<[Candidate]> = keys
            .iter()
            .zip(shares)
            .map(|(endpoint, propensity)| Candidate { endpoint: *endpoint, propensity: *propensity })
            .collect();
        dataset.push_beside(
            &DatasetRow {
                arrival_us: arrivals[row],
                pool: pools.get(row).unwrap_or(""),
                tenant: tenants.get(row).unwrap_or(""),
                route: routes.get(row).unwrap_or(""),
                policy: policies.get(row).unwrap_or(""),
                endpoint: endpoints.get(row).unwrap_or(""),
                propensity: propensities[row],
                outcome: outcomes.get(row).and_then(OutcomeKind::from_name).unwrap_or(OutcomeKind::ConnectionError),
                ln_ms: ln_ms(Duration::from_micros(latencies[row])),
            },
            together,
            candidate_rows(rows, keys.len()),
        );
    }
    Ok(dataset.sorted())
}

/// The sampled candidate rows; `None` where they were not sampled or do not fit the candidates.
fn candidate_rows(flat: &[f32], candidates: usize) -> Option<Arc<[Row]>> {
    if flat.is_empty() || flat.len() != candidates * FEATURE_COUNT {
        return None;
    }
    Some(flat.as_chunks::<FEATURE_COUNT>().0.iter().copied().collect())
}
