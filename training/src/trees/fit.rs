//! Boosting: start values, then tree after tree on the gradient of what is left, until the rounds or the
//! validation loss say stop.
//!
//! The forecasts of the rows are kept in f32 and in the order of the trees, as the forest computes them up to the
//! rounding of its leaves to 16 bits, so the loss that is reported is the loss that is served. Training starts from the step functions of `steps`, if there are
//! any, and the constants that fit best on top of them.

use super::binned::Binned;
use super::borders::{borders, merged};
use super::error::TreesError;
use super::gradient::{self, Cell, Units};
use super::grow::{Grower, Structure};
use super::histogram::GainRule;
use super::importance::{Milestones, importance};
use super::loss::pinball_censored;
use super::monotone;
use super::params::{TreeParams, ValidTreeParams};
use super::renewal::{Leaves, Renewal, start_values};
use super::sample::Sampler;
use super::set::TrainingSet;
use super::steps::Steps;
use rayon::prelude::*;
use tailcast_model::Forest;
use tailcast_model::forest::{ForestParts, MAX_BORDERS, Tree};

/// Rows that a thread takes at a time where every row is for itself.
const BLOCK: usize = 1 << 15;

/// Losses after one round: mean over the quantiles of the weighted mean pinball loss, natural log of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundLoss {
    /// On the training set.
    pub train: f64,
    /// On the validation set, if there is one.
    pub validation: Option<f64>,
}

/// Trees and how they came about.
#[derive(Debug, Clone)]
pub struct FittedTrees {
    /// The trees.
    pub forest: Forest,
    /// Gain of each feature, summed over the splits of the trees that were kept, and the start's share.
    pub importance: Vec<f32>,
    /// Losses of every round, also of those that were dropped again.
    pub rounds: Vec<RoundLoss>,
    /// Rounds that were kept: all, or up to the best on the validation set. The start's trees come before them.
    pub kept: usize,
}

/// Called after each round: round (from 1), rounds at most, loss on the training set, on the validation set.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, f64, Option<f64>);

impl ValidTreeParams {
    /// Fits trees.
    ///
    /// # Errors
    /// The sets do not fit together, or no row counts.
    pub fn fit(
        &self,
        training: &TrainingSet<'_>,
        validation: Option<&TrainingSet<'_>>,
        progress: Progress<'_>,
    ) -> Result<FittedTrees, TreesError> {
        // One lane for the weight and one for each quantile, in whole 128-bit registers.
        match self.params().quantiles.len() {
            0..=3 => fit::<4>(self.params(), training, validation, progress),
            4..=7 => fit::<8>(self.params(), training, validation, progress),
            _ => fit::<12>(self.params(), training, validation, progress),
        }
    }
}

fn fit<const L: usize>(
    params: &TreeParams,
    training: &TrainingSet<'_>,
    validation: Option<&TrainingSet<'_>>,
    progress: Progress<'_>,
) -> Result<FittedTrees, TreesError> {
    let features = params.monotone.len();
    let train_rows = training.check("training", features)?;
    let validation = validation.map(|set| set.check("validation", features).map(|rows| (set, rows))).transpose()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(params.threads)
        .build()
        .map_err(|error| TreesError::Threads { threads: params.threads, reason: error.to_string() })?;
    let borders: Vec<Vec<f32>> = pool.install(|| {
        let of = |(feature, column): (usize, &&[f32])| {
            let steps = params.start.iter().find(|steps| steps.feature == feature);
            let thresholds = steps.map_or_else(|| params.warm.thresholds(feature), Steps::thresholds);
            let own = |bins: usize| merged(borders(column, training.weights, &train_rows, bins), &thresholds);
            // Of earlier rows most thresholds are borders of these rows too, and need no room of their own.
            let all = own(params.max_bins);
            // Room for the thresholds among the 254 borders that a byte can tell apart.
            if all.len() <= MAX_BORDERS { all } else { own(params.max_bins.min(MAX_BORDERS + 1 - thresholds.len())) }
        };
        training.columns.par_iter().enumerate().map(of).collect()
    });
    let rows = pool.install(|| Binned::new(training, &train_rows, &borders));
    let units = Units::new(&rows.weights);
    let start = pool.install(|| Start::new(params, &borders, &rows, &units));
    let held_out = validation.map(|(set, of)| pool.install(|| Binned::new(set, &of, &borders)));
    let rule = GainRule::new(
        f64::from(params.l2) / units.unit,
        f64::from(params.min_leaf_weight) / units.unit,
        &params.quantiles,
    );
    let mut grower = Grower::<L>::new(&borders, &params.monotone, params.depth, rule);
    let mut sampler = Sampler::new(rows.len(), params.row_share, params.seed);
    let mut boost = Boost {
        forecasts: start.forecasts(&rows),
        held_out: held_out.as_ref().map(|rows| start.forecasts(rows)),
        trees: Vec::new(),
        gains: Vec::new(),
        rounds: Vec::new(),
        best: (f64::INFINITY, 0),
    };
    let renewal = Renewal {
        rows: &rows,
        units: &units,
        quantiles: &params.quantiles,
        learning_rate: params.learning_rate,
        l2: f64::from(params.l2),
        any_censored: rows.censored.contains(&true),
    };
    let mut stats: Vec<Cell<L>> = Vec::new();
    for round in 1..=params.rounds {
        let sample = sampler.draw();
        let open = sampler.draw_features(features, params.feature_share);
        let grown = pool.install(|| {
            gradient::encode(&rows, &units, &params.quantiles, &boost.forecasts.values, &sample, &mut stats);
            let structure = match params.warm.splits_of_round(round, &borders) {
                Some(splits) => grower.again(&rows, &stats, &sample, splits),
                None => grower.grow(&rows, &mut stats, &sample, &open),
            };
            let leaf_of = rows.leaves(&structure.splits);
            let mut leaves = renewal.leaves(&leaf_of, 1 << structure.splits.len(), &boost.forecasts.values);
            monotone::clamp(&mut leaves, &structure.splits, &params.monotone, params.quantiles.len());
            (structure, leaf_of, leaves)
        });
        let (structure, leaf_of, leaves) = grown;
        if structure.splits.is_empty() {
            // Nothing is left that any feature explains.
            break;
        }
        let losses = pool.install(|| boost.add(params, (structure, &leaf_of, leaves), &units));
        progress(round, params.rounds, losses.train, losses.validation);
        if boost.is_over(params, losses.validation) {
            break;
        }
    }
    if boost.best.1 > 0 {
        boost.trees.truncate(boost.best.1);
    }
    let losses = Milestones {
        constants: start.constants_loss,
        start: start.loss,
        end: boost.trees.len().checked_sub(1).and_then(|last| boost.rounds.get(last)).map_or(start.loss, |r| r.train),
    };
    let importance = importance(training, &boost.trees, &boost.gains, &params.start, losses);
    let kept = boost.trees.len();
    let trees = start.trees.into_iter().chain(boost.trees).collect();
    let forest = Forest::new(ForestParts { borders, base: start.base, trees })?;
    Ok(FittedTrees { forest, importance, rounds: boost.rounds, kept })
}

/// What the first round starts from.
struct Start {
    base: Vec<f32>,
    trees: Vec<Tree>,
    /// Loss with the best constants and nothing else.
    constants_loss: f64,
    /// Loss of the start.
    loss: f64,
}

impl Start {
    fn new(params: &TreeParams, borders: &[Vec<f32>], rows: &Binned, units: &Units) -> Self {
        let of = |steps: &Steps| steps.trees(&borders[steps.feature], params.quantiles.len());
        let steps = params.start.iter().flat_map(of);
        let trees: Vec<Tree> = steps.chain(params.warm.fixed_trees(borders)).collect();
        let constants = start_values(rows, units, &params.quantiles, &vec![0.0; rows.len()]);
        let constants_loss = Forecasts::new(rows, &constants).loss(&params.quantiles);
        let mut start = Self { base: constants, trees, constants_loss, loss: constants_loss };
        if !start.trees.is_empty() {
            start.base.fill(0.0);
            // All quantiles start with the same steps.
            let sums = start.forecasts(rows).values.swap_remove(0);
            start.base = start_values(rows, units, &params.quantiles, &sums);
            start.loss = start.forecasts(rows).loss(&params.quantiles);
        }
        start
    }

    /// The forecasts before the first round, added in the order in which the forest adds.
    fn forecasts<'a>(&self, rows: &'a Binned) -> Forecasts<'a> {
        let mut forecasts = Forecasts::new(rows, &self.base);
        for tree in &self.trees {
            forecasts.add(&rows.leaves(&tree.splits), &tree.leaves);
        }
        forecasts
    }
}

/// Forecasts of a set of rows, `values[quantile][row]`.
struct Forecasts<'a> {
    rows: &'a Binned,
    values: Vec<Vec<f32>>,
}

impl<'a> Forecasts<'a> {
    fn new(rows: &'a Binned, base: &[f32]) -> Self {
        Self { rows, values: base.iter().map(|value| vec![*value; rows.len()]).collect() }
    }

    fn add(&mut self, leaf_of: &[u8], leaves: &[f32]) {
        let quantiles = self.values.len();
        for (quantile, values) in self.values.iter_mut().enumerate() {
            let blocks = values.par_chunks_mut(BLOCK).zip(leaf_of.par_chunks(BLOCK));
            blocks.for_each(|(values, leaf_of)| {
                for (value, leaf) in values.iter_mut().zip(leaf_of) {
                    *value += leaves[usize::from(*leaf) * quantiles + quantile];
                }
            });
        }
    }

    fn loss(&self, quantiles: &[f32]) -> f64 {
        let rows = self.rows;
        let of = |(quantile, values): (&f32, &Vec<f32>)| {
            pinball_censored(&rows.labels, values, *quantile, &rows.weights, &rows.censored)
        };
        quantiles.iter().zip(&self.values).map(of).sum::<f64>() / quantiles.len().max(1) as f64
    }
}

/// The forest so far.
struct Boost<'a> {
    forecasts: Forecasts<'a>,
    held_out: Option<Forecasts<'a>>,
    trees: Vec<Tree>,
    gains: Vec<Vec<f64>>,
    rounds: Vec<RoundLoss>,
    /// Lowest validation loss, and how many trees had it.
    best: (f64, usize),
}

impl Boost<'_> {
    fn add(
        &mut self,
        params: &TreeParams,
        (structure, leaf_of, leaves): (Structure, &[u8], Leaves),
        units: &Units,
    ) -> RoundLoss {
        self.forecasts.add(leaf_of, &leaves.values);
        if let Some(held_out) = &mut self.held_out {
            let leaf_of = held_out.rows.leaves(&structure.splits);
            held_out.add(&leaf_of, &leaves.values);
        }
        self.gains.push(structure.gains.iter().map(|gain| gain * units.unit).collect());
        self.trees.push(Tree { splits: structure.splits, leaves: leaves.values });
        let losses = RoundLoss {
            train: self.forecasts.loss(&params.quantiles),
            validation: self.held_out.as_ref().map(|held_out| held_out.loss(&params.quantiles)),
        };
        self.rounds.push(losses);
        losses
    }

    /// Remembers the best round; true where it is too long ago.
    fn is_over(&mut self, params: &TreeParams, validation: Option<f64>) -> bool {
        let Some(loss) = validation.filter(|_| params.early_stopping_rounds > 0) else { return false };
        if loss < self.best.0 {
            self.best = (loss, self.trees.len());
        }
        self.trees.len() - self.best.1 >= params.early_stopping_rounds
    }
}
