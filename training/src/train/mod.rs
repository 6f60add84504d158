//! The pipeline: a log or a trace in, a judged model and a report out.
//!
//! | file | is |
//! | --- | --- |
//! | [`source`] | load, check, training matrix |
//! | `champion` | the parameters of the trees, chosen on the last part of the train slice, and the trees |
//! | `clocks` | features that only tell the time, hidden from the trees |
//! | `linear_start` | a linear model as step functions, which the trees may start from |
//! | `assemble` | everything that was learned, as the parts of a model |
//! | [`plots`] | the small tables behind the report's figures |
//! | [`report`] | what the run says of itself |
//! | `stages` | progress and the time each stage took |
//!
//! What is decided on which rows:
//!
//! | slice | decides |
//! | --- | --- |
//! | train, first 85 % | the trees of every candidate setting |
//! | train, last 15 % | which setting, and after how many rounds to stop |
//! | train, all | the trees (refitted with that choice), the baselines, tenant groups, the error head |
//! | calibration, first half | bandit weights |
//! | calibration, second half | whether the bandit is kept; where it is, also the conformal shifts |
//! | calibration, all | the shifts where no bandit is kept, the baselines' shifts, whether the error head is kept |
//! | test | nothing: the judgement, the coverage and the plots only |
//!
//! Of a log with more rows than are learned from, the train slice is a sample that keeps the rare (`sample`): the trees
//! know its weights, everything else that is fitted on the slice gets an even walk through it. The other slices are drawn
//! evenly. Rows of a tenant that poisons (`quarantine`) are in no slice.
//!
//! So nothing that the test slice reports was chosen on it, and no shift is learned on rows that the thing it
//! shifts was fitted on. Rows that failed or were cut off are in the slices, but loss and coverage are measured on
//! whole latencies only. Rejected: cross-validation (folds of a time series leak the future into the past).

mod assemble;
mod champion;
mod clocks;
mod linear_start;
pub mod plots;
pub mod report;
pub mod source;
mod stages;

pub(crate) use assemble::metrics;
pub use plots::Plots;
pub use report::TrainReport;
pub use source::{Source, SourceReports, dataset};

use crate::bandit::{Bandit, Context};
use crate::baselines;
use crate::calibrate::{Calibration, coverage_table};
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::error_head::ErrorHead;
use crate::forecast::Forecasts;
use crate::groups::TenantGroups;
use crate::judge::{Judgement, Score};
use crate::split::Split;
use assemble::Learned;
use champion::Champion;
use source::Bound;
use stages::Stages;
use tailcast_model::Model;
use tailcast_model::forest::MAX_TREES;

/// Rows with a whole latency that are needed: 15 % of 400 are 60, and below that neither a shift for the tail nor
/// a verdict on it means anything.
pub const MIN_ROWS: usize = 400;

/// The same for each slice, which ties in time can make smaller than its share.
const MIN_SLICE_ROWS: usize = 50;

/// What can be chosen of a training run.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Seed of every draw: the same rows and options give the same model, whatever the number of threads.
    pub seed: u64,
    /// Trees at most.
    pub rounds: usize,
    /// Rows that are learned from at most; of more, a sample is taken that keeps rare tenants, endpoints and loads.
    pub max_rows: usize,
    /// Threads; 0 takes as many as there are cores.
    pub threads: usize,
    /// Checksum of the model that the new one replaces.
    pub parent: Option<String>,
    /// Model whose trees the new ones go on from; from nothing without one.
    pub warm_start: Option<Model>,
    /// When the model is made, seconds since the Unix epoch; 0 where the caller does not say.
    pub created_unix_secs: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            // A hundred trees stay in the first-level cache of a proxy's core.
            rounds: 100,
            // More than a million rows lower the loss by nothing that a later slice can show.
            max_rows: 1_000_000,
            threads: 0,
            parent: None,
            warm_start: None,
            created_unix_secs: 0,
        }
    }
}

/// What a run says while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// A stage begins.
    Stage(&'static str),
    /// A round of boosting ended.
    Round {
        /// Rounds done, over all candidate settings.
        done: usize,
        /// Rounds at most; early stopping may end before.
        total: usize,
        /// Loss on the held-out part of the train slice, or on the train slice where nothing is held out.
        loss: f64,
    },
}

/// A model and what is known of it.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model, validated as a proxy would.
    pub model: Model,
    /// How it came about; [`TrainReport::gate`] says whether it should serve.
    pub report: TrainReport,
    /// The test slice: the newest rows with a whole latency, which nothing was fitted or chosen on.
    pub newest: Dataset,
}

/// Trains a model. A model that loses to a baseline is returned all the same: the report's gate refuses it.
///
/// # Errors
/// The source cannot be read, has too few rows or one endpoint only, an option is out of range, or a library
/// refuses to fit.
pub fn train(
    source: Source,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainError> {
    check(options)?;
    let mut stages = Stages::new(progress);
    let (dataset, reports) = source::read(source, Bound::of(options), &mut stages)?;
    let kept = reports.summary();
    stages.enter("split by time");
    let slices = Slices::of(&dataset, &kept)?;
    let champion = champion::fit(&slices.split.train, options, &mut stages)?;

    stages.enter("tenant groups");
    let groups = TenantGroups::fit(&slices.train)?;
    stages.enter("bandit");
    let endpoints = dataset.names().endpoints.len();
    let (bandit, bandit_report) = {
        let raw = champion.forecasts(&slices.calibration);
        let contexts = contexts(&slices.calibration, &groups);
        Bandit::fit_judged(&raw, slices.calibration.labels(), &contexts, groups.groups.len(), endpoints)?
    };
    stages.enter("calibration");
    let calibration = calibrate(&champion, &bandit, bandit_report.kept, &groups, &slices.calibration);
    stages.enter("error head");
    let (errors, errors_report) = ErrorHead::fit(&slices.split.train.even(), &slices.split.calibration, options.seed);
    stages.enter("baselines");
    let levels = champion.levels();
    let baselines = stages::pool(options.threads)?
        .install(|| baselines::fit_all(&slices.train, &slices.calibration, levels, options.seed))?;

    stages.enter("judgement");
    let test = &slices.test;
    let test_groups = groups.of_rows(test);
    let served = served(&champion, &bandit, &calibration, &groups, test);
    let mut scores = Vec::with_capacity(baselines.len());
    for baseline in &baselines {
        scores.push(Score::new(baseline.name(), &baseline.forecast(test, levels)?, test.labels()));
    }
    let judgement = Judgement::new(levels, test.len(), Score::new("tailcast", &served, test.labels()), scores);
    let coverage = coverage_table(&served, test.labels(), &test_groups, groups.groups.len());

    stages.enter("model");
    let model = assemble::model(
        &Learned {
            dataset: &dataset,
            champion: &champion,
            groups: &groups,
            calibration: &calibration,
            bandit: &bandit,
            errors: &errors,
        },
        &judgement,
        options,
    )?;
    let plots = Plots::new(&served, test, champion.rounds(), &model);
    let report = TrainReport {
        load: reports.load,
        trace: reports.trace,
        quality: reports.quality,
        rows: dataset.len(),
        split: slices.split.report(),
        judgement,
        coverage,
        groups: groups.groups,
        bandit: bandit_report,
        errors: errors_report,
        top_features: model.importance().into_iter().map(|(name, share)| (name.to_owned(), share)).collect(),
        trees: model.parts().tree_count(),
        setting: champion.setting().to_owned(),
        stage_secs: stages.finish(),
        model_id: model.id().to_owned(),
        plots,
    };
    Ok(Trained { model, report, newest: slices.test })
}

fn check(options: &TrainOptions) -> Result<(), TrainError> {
    let refuse = |name, value: usize, allowed| Err(TrainError::Option { name, value: value.to_string(), allowed });
    if !(1..=MAX_TREES).contains(&options.rounds) {
        return refuse("rounds", options.rounds, "1 to 10000");
    }
    if options.max_rows < MIN_ROWS {
        return refuse("max_rows", options.max_rows, "400 or more");
    }
    Ok(())
}

/// Reads a source and splits it by time, as the first part of [`train`].
///
/// # Errors
/// The source cannot be read, or an option is out of range.
pub fn slices(
    source: Source,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Split, SourceReports), TrainError> {
    check(options)?;
    let mut stages = Stages::new(progress);
    let (dataset, reports) = source::read(source, Bound::of(options), &mut stages)?;
    stages.enter("split by time");
    Ok((Split::by_time(&dataset), reports))
}

impl Bound {
    fn of(options: &TrainOptions) -> Self {
        Self { max_rows: options.max_rows, seed: options.seed }
    }
}

/// The three slices, and of each the rows with a whole latency that are fitted evenly.
pub(crate) struct Slices {
    pub(crate) split: Split,
    pub(crate) train: Dataset,
    pub(crate) calibration: Dataset,
    pub(crate) test: Dataset,
}

impl Slices {
    pub(crate) fn of(dataset: &Dataset, kept: &str) -> Result<Self, TrainError> {
        let whole: Vec<usize> = (0..dataset.len()).filter(|row| dataset.is_evidence(*row)).collect();
        let few = |rows, needed, why| Err(TrainError::TooFewRows { rows, needed, why });
        if whole.len() < MIN_ROWS {
            return few(whole.len(), MIN_ROWS, format!("{kept}; only successful rows teach a latency"));
        }
        let first = dataset.endpoint[whole[0]];
        if whole.iter().all(|row| dataset.endpoint[*row] == first) {
            let endpoint = dataset.names().endpoints.name(first).to_owned();
            return Err(TrainError::OneEndpoint { rows: whole.len(), endpoint });
        }
        let split = Split::by_time(dataset);
        let [train, calibration, test] =
            [split.train.even().evidence(), split.calibration.evidence(), split.test.evidence()];
        for (name, slice) in [("train", &train), ("calibration", &calibration), ("test", &test)] {
            if slice.len() < MIN_SLICE_ROWS {
                let why = format!("that many successful rows fell into the {name} slice of the split by time");
                return few(slice.len(), MIN_SLICE_ROWS, why);
            }
        }
        Ok(Self { split, train, calibration, test })
    }
}

fn contexts(dataset: &Dataset, groups: &TenantGroups) -> Vec<Context> {
    let groups = groups.of_rows(dataset);
    let of = |(row, group)| Context { group, endpoint: dataset.endpoint[row], propensity: dataset.propensity[row] };
    groups.into_iter().enumerate().map(of).collect()
}

/// The shifts, learned on calibration rows that the bandit's weights were not fitted on.
fn calibrate(
    champion: &Champion,
    bandit: &Bandit,
    kept: bool,
    groups: &TenantGroups,
    calibration: &Dataset,
) -> Calibration {
    let from = if kept { calibration.len() / 2 } else { 0 };
    let rows = calibration.take(&(from..calibration.len()).collect::<Vec<_>>());
    let of_rows = groups.of_rows(&rows);
    let corrected = champion.forecasts(&rows).shifted(|_, row| bandit.weight(of_rows[row], rows.endpoint[row]));
    Calibration::fit(&corrected, rows.labels(), &of_rows, groups.groups.len())
}

/// What a proxy would forecast for these rows: shifted, never crossing, then corrected, in this order.
fn served(
    champion: &Champion,
    bandit: &Bandit,
    calibration: &Calibration,
    groups: &TenantGroups,
    rows: &Dataset,
) -> Forecasts {
    let of_rows = groups.of_rows(rows);
    let shifted = calibration.apply(&champion.forecasts(rows), &of_rows);
    shifted.shifted(|_, row| bandit.weight(of_rows[row], rows.endpoint[row]))
}

#[cfg(test)]
mod tests;
