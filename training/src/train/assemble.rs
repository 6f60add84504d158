//! Everything that was learned, as the parts of a model.
//!
//! The one file that knows both this crate's types and the model's: names become stable hashes, tables by data-set
//! number become tables by hash. Validation is the model's own.

use super::TrainOptions;
use super::champion::Champion;
use crate::bandit::Bandit;
use crate::calibrate::Calibration;
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::error_head::ErrorHead;
use crate::groups::TenantGroups;
use crate::judge::Judgement;
use std::collections::BTreeMap;
use tailcast_features::Row;
use tailcast_features::hash::hash_name;
use tailcast_model::{Model, ModelParts, TrainingWindow, bandit, calibration, errors, groups};

/// Rows whose forecasts are recorded in the model: spread over the log, a few dozen reach most leaves that matter.
const CANARY_ROWS: usize = 32;

/// What is put together.
pub(super) struct Learned<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) champion: &'a Champion,
    pub(super) groups: &'a TenantGroups,
    pub(super) calibration: &'a Calibration,
    pub(super) bandit: &'a Bandit,
    pub(super) errors: &'a ErrorHead,
}

/// The validated model.
///
/// # Errors
/// The parts do not make a valid model.
pub(super) fn model(learned: &Learned<'_>, judgement: &Judgement, options: &TrainOptions) -> Result<Model, TrainError> {
    let dataset = learned.dataset;
    let mut parts = ModelParts::new(learned.champion.levels().to_vec(), learned.champion.forest().clone());
    parts.groups = of_groups(learned.groups, dataset);
    parts.calibration = of_calibration(learned.calibration, parts.groups.count);
    parts.bandit = of_bandit(learned.bandit, dataset);
    parts.errors = of_errors(learned.errors);
    parts.importance = learned.champion.importance().to_vec();
    parts.window = TrainingWindow {
        from_us: dataset.arrivals_us().first().copied().unwrap_or(0),
        until_us: dataset.arrivals_us().last().copied().unwrap_or(0),
    };
    parts.rows = dataset.len() as u64;
    parts.metrics = metrics(judgement);
    parts.parent = options.parent.clone();
    parts.created_unix_secs = options.created_unix_secs;
    parts.canary_rows = canary_rows(dataset);
    Ok(Model::new(parts)?)
}

fn of_groups(fitted: &TenantGroups, dataset: &Dataset) -> groups::TenantGroups {
    let names = dataset.names().tenants.iter().map(hash_name);
    let mut tenants: Vec<(u64, u16)> = names.zip(fitted.of_tenant.iter().map(|group| *group as u16)).collect();
    tenants.sort_unstable();
    // Two names of one hash are one tenant to a proxy.
    tenants.dedup_by_key(|(hash, _)| *hash);
    let centroids = fitted.groups.iter().map(|group| {
        let profile = &group.profile;
        [profile.mean_ln_ms, profile.ln_rate, profile.mean_ln_bytes, profile.write_ratio].map(|v| v as f32).to_vec()
    });
    groups::TenantGroups {
        tenants,
        count: fitted.groups.len(),
        centroids: centroids.collect(),
        default_group: fitted.default_group as u16,
    }
}

fn of_calibration(fitted: &Calibration, groups: usize) -> calibration::Calibration {
    let levels = fitted.levels.len();
    let offsets = (0..groups as u32).flat_map(|group| (0..levels).map(move |level| fitted.offset(group, level)));
    calibration::Calibration { offsets: offsets.collect() }
}

fn of_bandit(fitted: &Bandit, dataset: &Dataset) -> bandit::Bandit {
    let mut endpoints: Vec<(u64, usize)> =
        dataset.names().endpoints.iter().map(hash_name).enumerate().map(|(number, hash)| (hash, number)).collect();
    endpoints.sort_unstable();
    endpoints.dedup_by_key(|(hash, _)| *hash);
    let table = |cells: &[Vec<f32>]| -> Vec<f32> {
        let of_group = |row: &Vec<f32>| {
            let of_endpoint = |(_, number): &(u64, usize)| row.get(*number).copied().unwrap_or(0.0);
            endpoints.iter().map(of_endpoint).collect::<Vec<f32>>()
        };
        cells.iter().flat_map(of_group).collect()
    };
    bandit::Bandit {
        weights: table(&fitted.cells),
        counts: table(&fitted.counts),
        variances: table(&fitted.variances),
        endpoints: endpoints.iter().map(|(hash, _)| *hash).collect(),
    }
}

fn of_errors(fitted: &ErrorHead) -> errors::ErrorHead {
    let term = |term: &crate::error_head::Term| errors::ErrorTerm {
        feature: term.feature as u16,
        weight: term.weight,
        mean: term.mean,
        scale: term.scale,
    };
    errors::ErrorHead { intercept: fitted.intercept, terms: fitted.terms.iter().map(term).collect() }
}

/// The judgement by name, for whoever has the file and not the report.
pub(crate) fn metrics(judgement: &Judgement) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::from([
        ("test_rows".to_owned(), judgement.rows as f64),
        ("pinball".to_owned(), judgement.champion.mean_pinball),
        ("beats_baselines".to_owned(), f64::from(u8::from(judgement.wins))),
    ]);
    let champion = &judgement.champion;
    for (level, (pinball, coverage)) in judgement.levels.iter().zip(champion.pinball.iter().zip(&champion.coverage)) {
        let percent = (level * 1e4).round() / 1e2;
        metrics.insert(format!("pinball_p{percent}"), *pinball);
        metrics.insert(format!("coverage_p{percent}"), *coverage);
    }
    for baseline in &judgement.baselines {
        metrics.insert(format!("baseline_{}_pinball", baseline.name), baseline.mean_pinball);
    }
    // A model without a finite loss is refused by the gate; its file must still be readable.
    metrics.retain(|_, value| value.is_finite());
    metrics
}

fn canary_rows(dataset: &Dataset) -> Vec<Row> {
    let count = dataset.len().min(CANARY_ROWS);
    let row = |i: usize| dataset.row((i as u128 * dataset.len() as u128 / count as u128) as usize);
    (0..count).map(|i| row(i).map(|value| if value.is_infinite() { f32::NAN } else { value })).collect()
}
