//! Which runs are learned from: first a mix of baseline policies, then the model's own.
//!
//! The seeds of training never meet those of the evaluation. The first log is written by a mix of peak-EWMA, least
//! request and random, because a log of one careful policy never shows what happens elsewhere. Further rounds add the
//! log of `predictive` itself, as a fleet that retrains would: under its own choices the features lie where the
//! baseline never brought them.

use super::fit;
use crate::engine::{RunPlan, run};
use crate::error::SimError;
use crate::log::SimLog;
use crate::policy::Policy;
use crate::scenario::{Cell, Scenario};
use std::sync::Arc;
use std::time::Instant;
use tailcast_balance::{BalancerOptions, PolicyKind};
use tailcast_model::Model;

/// Seeds of training start here; those of the evaluation are small numbers.
const TRAINING_SEEDS: u64 = 1_000_000;

/// Who writes the first log, and in which shares.
const MIX: [(PolicyKind, f64); 3] =
    [(PolicyKind::PeakEwma, 0.4), (PolicyKind::LeastRequest, 0.3), (PolicyKind::Random, 0.3)];

/// Nanoseconds between the clocks of two rounds: longer than any run, so that the order of time is that of the rounds.
const ROUND: u64 = 1_000_000_000_000;

/// The log with the clock of a round.
pub(super) fn later(log: &SimLog, round: u64) -> SimLog {
    let mut log = log.clone();
    log.rows.iter_mut().for_each(|row| row.arrived += round * ROUND);
    log
}

/// A model and how it came about.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) model: Arc<Model>,
    /// What it was learned from; later challengers learn from it too.
    pub(crate) log: SimLog,
    pub(crate) secs: f64,
    /// The features that the trees gained from most.
    pub(crate) top: Vec<(String, f32)>,
}

/// Learns a model for one cell from the log of `teacher`: it sees of requests and endpoints what that row sees.
///
/// # Errors
/// A run or a fit fails.
pub(crate) fn learn(
    scenario: &Scenario,
    cell: Cell,
    base: &BalancerOptions,
    teacher: Policy,
) -> Result<Learned, SimError> {
    let started = Instant::now();
    let calm = training_scenario(scenario);
    let mut log = SimLog::new(scenario.training.max_rows * 2);
    let mut model: Option<Arc<Model>> = None;
    for round in 0..scenario.training.rounds {
        let plan = RunPlan {
            scenario: &calm,
            cell,
            policy: teacher,
            base: base.clone(),
            seed: TRAINING_SEEDS + round as u64,
            model: model.clone(),
            log_rows: scenario.training.max_rows,
            mix: if round == 0 { MIX.to_vec() } else { Vec::new() },
            by_second: false,
        };
        let result = run(&plan, &mut |_| None)?;
        log.append(&later(&result.log, round as u64));
        model = Some(fit(scenario, &log, round as u64)?);
    }
    let model = model.ok_or_else(|| SimError::Training("no round of training".to_owned()))?;
    let top = model.importance().into_iter().take(6).map(|(name, share)| (name.to_owned(), share)).collect();
    Ok(Learned { secs: started.elapsed().as_secs_f64(), log, model, top })
}

/// The scenario that training sees: the same traffic for `log_secs`, with its events at their times if they fall in.
fn training_scenario(scenario: &Scenario) -> Scenario {
    let mut calm = scenario.clone().with_seconds(0.0, scenario.training.log_secs);
    calm.training.retrain_every_secs = 0.0;
    calm
}
