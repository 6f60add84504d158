//! The trees of the model: which setting, after how many rounds, and then fitted on the whole train slice.
//!
//! A log of a few thousand rows wants shallower, more regularised trees than one of a million, and which is best
//! depends on the traffic. So on small logs a few settings are tried on the first 85 % of the train slice and judged
//! on the last 15 %, which also says when to stop; the winner is fitted once more on all of the slice, because the
//! latest rows are the most like the next hour. Large logs take one setting and no refit: there the choice is worth
//! less than the time. A warm start takes the setting of the champion that it goes on from. Rejected: a grid search
//! (its winner is the luckiest of many on a few hundred rows).

use super::stages::Stages;
use super::{TrainOptions, clocks, linear_start};
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::Forecasts;
use crate::trees::{FittedTrees, RoundLoss, Steps, TrainingSet, TreeParams, WarmStart};
use tailcast_model::Forest;

/// Share of the train slice that chooses setting and rounds: its last part, so that the choice is for the future.
const VALIDATION_SHARE: f64 = 0.15;

/// Train rows up to which several settings are tried and the winner is refitted: all of it then takes seconds.
const SMALL: usize = 60_000;

/// Share of the rounds that ask the champion's questions again in a warm start. The last third looks for new ones,
/// so within three or four runs what traffic no longer asks is a small part of the forest.
const WARM_SHARE: f64 = 2.0 / 3.0;

/// One way of growing trees.
#[derive(Debug, Clone, Copy)]
struct Setting {
    name: &'static str,
    depth: usize,
    /// Whether they start from a linear model.
    linear: bool,
    learning_rate: f32,
    min_leaf_weight: f32,
    l2: f32,
    row_share: f32,
    max_bins: usize,
}

/// As many bins as there can be: the costs of two routes may differ by little, and be served very differently.
const DEPTH_6: Setting = Setting {
    name: "depth 6",
    depth: 6,
    linear: false,
    learning_rate: 0.1,
    min_leaf_weight: 40.0,
    l2: 3.0,
    row_share: 0.7,
    max_bins: 254,
};
const DEPTH_4: Setting = Setting { name: "depth 4", depth: 4, l2: 5.0, ..DEPTH_6 };
const DEPTH_2: Setting = Setting { name: "depth 2", depth: 2, learning_rate: 0.15, l2: 5.0, ..DEPTH_6 };

/// What is tried on a small log: three depths, each from constants and from a linear model.
const SMALL_SETTINGS: [Setting; 6] = [
    DEPTH_6,
    DEPTH_4,
    DEPTH_2,
    Setting { name: "depth 6 from a linear start", linear: true, ..DEPTH_6 },
    Setting { name: "depth 4 from a linear start", linear: true, ..DEPTH_4 },
    Setting { name: "depth 2 from a linear start", linear: true, ..DEPTH_2 },
];

/// What a large log gets: it has rows enough for fine bins, and needs only some of them to choose a structure.
const LARGE_SETTING: Setting = Setting { name: "depth 6, large log", row_share: 0.3, ..DEPTH_6 };

impl Setting {
    /// The setting that trees of this depth were grown with.
    fn of_depth(depth: usize) -> Self {
        SMALL_SETTINGS.into_iter().find(|setting| setting.depth == depth).unwrap_or(DEPTH_6)
    }

    fn params(&self, options: &TrainOptions, rounds: usize, start: &[Steps], warm: &WarmStart) -> TreeParams {
        TreeParams {
            rounds,
            depth: self.depth,
            learning_rate: self.learning_rate,
            max_bins: self.max_bins,
            min_leaf_weight: self.min_leaf_weight,
            l2: self.l2,
            row_share: self.row_share,
            seed: options.seed,
            threads: options.threads,
            start: if self.linear { start.to_vec() } else { Vec::new() },
            warm: warm.clone(),
            ..TreeParams::default()
        }
    }
}

/// Fitted trees and how they were chosen.
pub(super) struct Champion {
    fitted: FittedTrees,
    levels: Vec<f32>,
    rounds: Vec<RoundLoss>,
    setting: String,
}

/// Fits the trees on the train slice, failures included: they weigh nothing.
pub(super) fn fit(train: &Dataset, options: &TrainOptions, stages: &mut Stages<'_>) -> Result<Champion, TrainError> {
    stages.enter("trees");
    let small = train.len() <= SMALL;
    let warm = warm_start(options);
    let of_champion = [if small { Setting::of_depth(warm.depth()) } else { LARGE_SETTING }];
    let settings: &[Setting] = if small && warm.is_empty() { &SMALL_SETTINGS } else { &of_champion };
    let cut = train.len() - (train.len() as f64 * VALIDATION_SHARE) as usize;
    let train = &clocks::hidden(train.clone(), &clocks::clocks(train, cut));
    let part = |rows: std::ops::Range<usize>| train.take(&rows.collect::<Vec<_>>());
    let (early, late) = (part(0..cut), part(cut..train.len()));
    // A last part of nothing but failures can judge nothing: then every round is kept and the first setting taken.
    let judge = (late.weight.iter().any(|weight| *weight > 0.0)).then_some(&late);
    let early = if judge.is_some() && early.weight.iter().any(|weight| *weight > 0.0) { &early } else { train };
    let runs = if small { settings.len() + 1 } else { 1 };
    let total = runs * options.rounds;
    let mut best: Option<(f64, Setting, FittedTrees)> = None;
    let any_linear = settings.iter().any(|setting| setting.linear);
    let start = if any_linear { linear_start::fit(early, options.seed)? } else { Vec::new() };
    for (run, setting) in settings.iter().enumerate() {
        let params = setting.params(options, options.rounds, &start, &warm);
        let fitted = run_of(&params, early, judge, run * options.rounds, total, stages)?;
        let loss = lowest(&fitted);
        // Of equal settings the first: from constants before from a linear start, which adds trees to every forecast.
        if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
            best = Some((loss, *setting, fitted));
        }
        if judge.is_none() {
            break;
        }
    }
    let Some((_, setting, chosen)) = best else {
        return Err(TrainError::Fit { what: "trees", reason: "no setting gave a loss".to_owned() });
    };
    let (rounds, kept) = (chosen.rounds.clone(), chosen.kept);
    let fitted = if small && judge.is_some() && kept > 0 {
        let start = if setting.linear { linear_start::fit(train, options.seed)? } else { Vec::new() };
        let params = TreeParams { early_stopping_rounds: 0, ..setting.params(options, kept, &start, &warm) };
        run_of(&params, train, None, (runs - 1) * options.rounds, total, stages)?
    } else {
        chosen
    };
    let setting = match &options.warm_start {
        Some(model) if !warm.is_empty() => format!("{} for {kept} rounds, going on from {}", setting.name, model.id()),
        _ => format!("{} for {kept} rounds, of {} settings tried", setting.name, settings.len()),
    };
    Ok(Champion { fitted, levels: TreeParams::default().quantiles, rounds, setting })
}

/// The questions of the champion; none where it forecasts other quantiles.
fn warm_start(options: &TrainOptions) -> WarmStart {
    let levels = TreeParams::default().quantiles;
    let keep = (options.rounds as f64 * WARM_SHARE) as usize;
    let champion = options.warm_start.as_ref().filter(|model| model.quantiles() == levels);
    champion.map_or_else(WarmStart::default, |model| WarmStart::of(&model.parts().forest, keep))
}

fn run_of(
    params: &TreeParams,
    train: &Dataset,
    judge: Option<&Dataset>,
    before: usize,
    total: usize,
    stages: &mut Stages<'_>,
) -> Result<FittedTrees, TrainError> {
    let censored = |dataset: &Dataset| dataset.outcome.iter().map(|outcome| outcome.is_censored()).collect::<Vec<_>>();
    let train_censored = censored(train);
    let judge_censored = judge.map(censored).unwrap_or_default();
    let set = training_set(train, &train_censored);
    let held_out = judge.map(|judge| training_set(judge, &judge_censored));
    let mut progress = |round: usize, _: usize, loss: f64, validation: Option<f64>| {
        stages.round(before + round, total, validation.unwrap_or(loss));
    };
    Ok(params.clone().check()?.fit(&set, held_out.as_ref(), &mut progress)?)
}

fn training_set<'a>(dataset: &'a Dataset, censored: &'a [bool]) -> TrainingSet<'a> {
    TrainingSet {
        columns: dataset.features.iter().map(Vec::as_slice).collect(),
        labels: &dataset.label,
        weights: &dataset.weight,
        censored,
    }
}

/// Lowest validation loss, or the last training loss where nothing is held out; infinite without rounds.
fn lowest(fitted: &FittedTrees) -> f64 {
    let validation = fitted.rounds.iter().filter_map(|round| round.validation).reduce(f64::min);
    validation.or_else(|| fitted.rounds.last().map(|round| round.train)).unwrap_or(f64::INFINITY)
}

impl Champion {
    /// Quantile levels.
    pub(super) fn levels(&self) -> &[f32] {
        &self.levels
    }

    /// The trees.
    pub(super) fn forest(&self) -> &Forest {
        &self.fitted.forest
    }

    /// Gain of each feature.
    pub(super) fn importance(&self) -> &[f32] {
        &self.fitted.importance
    }

    /// Losses of the run that chose the number of rounds.
    pub(super) fn rounds(&self) -> &[RoundLoss] {
        &self.rounds
    }

    /// The setting, in words.
    pub(super) fn setting(&self) -> &str {
        &self.setting
    }

    /// What the trees say of these rows, before any shift, and as they are: levels may cross.
    pub(super) fn forecasts(&self, rows: &Dataset) -> Forecasts {
        let forest = self.forest();
        let (features, quantiles) = (forest.feature_count(), self.levels.len());
        let mut values = vec![vec![0.0f32; rows.len()]; quantiles];
        let mut bins = vec![0u8; features];
        let mut out = vec![0.0f32; quantiles];
        for row in 0..rows.len() {
            forest.bin_row(&rows.row(row), &mut bins);
            forest.predict_bins(&bins, &mut out);
            values.iter_mut().zip(&out).for_each(|(column, value)| column[row] = *value);
        }
        Forecasts::new(&self.levels, values)
    }
}
