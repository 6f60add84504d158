//! One fit: trees on log-latency with the last part of the log as validation, conformal shifts, and the error head.

use crate::engine::proxy::server_name;
use crate::engine::{EPOCH_US, tenant_name};
use crate::error::SimError;
use crate::log::{SimLog, SimRow};
use crate::scenario::Scenario;
use std::sync::Arc;
use tailcast_features::{FEATURE_COUNT, OutcomeKind, Row, index};
use tailcast_model::errors::{ErrorHead, ErrorTerm};
use tailcast_model::{ArtefactError, Model, ModelParts, TrainingWindow};
use tailcast_training::calibrate::Calibration;
use tailcast_training::dataset::{Dataset, DatasetRow, Propensities};
use tailcast_training::error_head;
use tailcast_training::gate::forecasts;
use tailcast_training::trees::{TrainingSet, TreeParams};

/// Share of the rows, the last ones, that say when to stop boosting and by how much the quantiles are off. A slice of its
/// own for the shifts would take rows from the trees, and where boosting stops is one number that it has seen.
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
    let micros = |row: Option<&SimRow>| row.map_or(EPOCH_US, |row| EPOCH_US + (row.arrived / 1_000) as i64);
    parts.window = TrainingWindow { from_us: micros(rows.first()), until_us: micros(rows.last()) };
    let step = (rows.len() / CANARY_ROWS).max(1);
    let row_at = |at: usize| -> Row { std::array::from_fn(|feature| columns[feature][at]) };
    parts.canary_rows = (0..rows.len()).step_by(step).take(CANARY_ROWS).map(row_at).collect();
    let later = dataset(scenario, &rows, &columns, cut..rows.len());
    if rows.iter().any(|row| row.outcome != OutcomeKind::Success) {
        parts.errors = error_head(&dataset(scenario, &rows, &columns, 0..cut), &later, seed);
    }
    let raw = Model::new(parts).map_err(|error| refused(&error))?;
    Ok(Arc::new(calibrated(raw, &later.evidence()).map_err(|error| refused(&error))?))
}

/// The model with the shifts that make its quantiles true on `rows`: one tenant group, as it has no other.
fn calibrated(model: Model, rows: &Dataset) -> Result<Model, ArtefactError> {
    let raw = forecasts(&model, rows, model.quantiles());
    let fitted = Calibration::fit(&raw, rows.labels(), &vec![0; rows.len()], 1);
    let mut parts = model.parts().clone();
    parts.calibration.offsets = (0..model.quantiles().len()).map(|level| fitted.offset(0, level)).collect();
    Model::new(parts)
}

/// Rows of a log as those of a data set.
pub(super) fn dataset(
    scenario: &Scenario,
    rows: &[SimRow],
    columns: &[Vec<f32>],
    range: std::ops::Range<usize>,
) -> Dataset {
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
}

fn error_head(earlier: &Dataset, later: &Dataset, seed: u64) -> ErrorHead {
    let (head, _) = error_head::ErrorHead::fit(earlier, later, seed);
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
