//! One fit: trees on log-latency with the last part of the log as validation, and the error head.

use crate::engine::proxy::server_name;
use crate::engine::{EPOCH_US, tenant_name};
use crate::error::SimError;
use crate::log::SimLog;
use crate::scenario::Scenario;
use std::sync::Arc;
use tailcast_features::{FEATURE_COUNT, OutcomeKind, Row, index};
use tailcast_model::errors::{ErrorHead, ErrorTerm};
use tailcast_model::{Model, ModelParts, TrainingWindow};
use tailcast_training::dataset::{Dataset, DatasetRow, Propensities};
use tailcast_training::error_head;
use tailcast_training::trees::{TrainingSet, TreeParams};

/// Share of the rows, the last ones, that say when to stop boosting.
const VALIDATION_SHARE: f64 = 0.15;

/// Features that only tell the time within a simulation of minutes.
const CLOCKS: [usize; 3] = [index::DAY_SIN, index::DAY_COS, index::ENDPOINT_AGE];

/// Rows whose forecasts the artefact records.
const CANARY_ROWS: usize = 16;

/// Fits a model to a log.
///
/// # Errors
/// Too few rows, or the trees or the artefact are refused.
pub(crate) fn fit(scenario: &Scenario, log: &SimLog, seed: u64) -> Result<Arc<Model>, SimError> {
    let refused = |error: &dyn std::fmt::Display| SimError::Training(error.to_string());
    let (rows, mut columns) = log.columns();
    for clock in CLOCKS {
        columns[clock].fill(f32::NAN);
    }
    let labels: Vec<f32> = rows.iter().map(|row| row.ln_ms).collect();
    let weights: Vec<f32> = rows
        .iter()
        .map(|row| f32::from(u8::from(row.outcome.is_latency_evidence() || row.outcome.is_censored())))
        .collect();
    let censored: Vec<bool> = rows.iter().map(|row| row.outcome.is_censored()).collect();
    let cut = rows.len() - (rows.len() as f64 * VALIDATION_SHARE) as usize;
    let part = |from: usize, until: usize| TrainingSet {
        columns: columns.iter().map(|column| &column[from..until]).collect(),
        labels: &labels[from..until],
        weights: &weights[from..until],
        censored: &censored[from..until],
    };
    let params = TreeParams { min_leaf_weight: 50.0, row_share: 0.3, seed, threads: 1, ..TreeParams::default() };
    let valid = params.check().map_err(|error| refused(&error))?;
    let validation = part(cut, rows.len());
    let fitted = valid.fit(&part(0, cut), Some(&validation), &mut |_, _, _, _| {}).map_err(|error| refused(&error))?;
    let mut parts = ModelParts::new(valid.params().quantiles.clone(), fitted.forest);
    parts.importance = fitted.importance;
    parts.rows = rows.len() as u64;
    let micros = |row: Option<&crate::log::SimRow>| row.map_or(EPOCH_US, |row| EPOCH_US + (row.arrived / 1_000) as i64);
    parts.window = TrainingWindow { from_us: micros(rows.first()), until_us: micros(rows.last()) };
    let step = (rows.len() / CANARY_ROWS).max(1);
    let row_at = |at: usize| -> Row { std::array::from_fn(|feature| columns[feature][at]) };
    parts.canary_rows = (0..rows.len()).step_by(step).take(CANARY_ROWS).map(row_at).collect();
    if rows.iter().any(|row| row.outcome != OutcomeKind::Success) {
        parts.errors = error_head(scenario, log, cut, seed);
    }
    Ok(Arc::new(Model::new(parts).map_err(|error| refused(&error))?))
}

fn error_head(scenario: &Scenario, log: &SimLog, cut: usize, seed: u64) -> ErrorHead {
    let (rows, columns) = log.columns();
    let dataset = |range: std::ops::Range<usize>| {
        let mut dataset = Dataset::with_capacity(range.len(), Propensities::Logged);
        for at in range {
            let row = &rows[at];
            let features: Row = std::array::from_fn(|feature| columns[feature][at]);
            dataset.push(
                &DatasetRow {
                    arrival_us: EPOCH_US + (row.arrived / 1_000) as i64,
                    pool: "simulated",
                    tenant: &tenant_name(row.tenant as usize),
                    route: scenario.routes.get(usize::from(row.route)).map_or("", |route| &route.path),
                    policy: "mix",
                    endpoint: &server_name(usize::from(row.server)),
                    propensity: row.propensity,
                    outcome: row.outcome,
                    ln_ms: row.ln_ms,
                },
                &features,
                Arc::from(Vec::new()),
                None,
            );
        }
        dataset
    };
    let (head, _) = error_head::ErrorHead::fit(&dataset(0..cut), &dataset(cut..rows.len()), seed);
    ErrorHead {
        intercept: head.intercept,
        terms: head
            .terms
            .iter()
            .map(|term| ErrorTerm {
                feature: term.feature as u16,
                weight: term.weight,
                mean: term.mean,
                scale: term.scale,
            })
            .filter(|term| usize::from(term.feature) < FEATURE_COUNT)
            .collect(),
    }
}
