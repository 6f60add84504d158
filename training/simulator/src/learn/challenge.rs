//! The online loop: a challenger is fitted to what was logged so far, and serves only where it passes the trainer's gate.
//!
//! The gate is that of `tailcast-training`: the challenger against the model that serves, on rows that neither has seen.
//! These are the newest of the log of `predictive` itself, which the challenger's fit leaves out; the champion was fitted
//! a period ago. The gate's budget of time cannot fail here: while a simulated proxy decides its clock stands still, and
//! a reading of the machine's would make two runs of one seed differ.

use super::fit::{dataset, fit};
use super::rounds::later;
use crate::error::SimError;
use crate::log::SimLog;
use crate::scenario::Scenario;
use std::sync::Arc;
use std::time::Duration;
use tailcast_model::Model;
use tailcast_training::gate::{Contest, GateRules, Verdict, forecasts};
use tailcast_training::judge::{Judgement, Score};

/// Share of the rows of `predictive` itself, the newest, that judge. With logs of at most half a minute they are younger
/// than a champion that was fitted ten seconds ago.
const JUDGES_SHARE: f64 = 0.15;

/// Rounds between the clock of the first log and that of what `predictive` logged since: more than training has.
const SINCE: u64 = 1_000;

/// A challenger and what the gate says of it.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) model: Arc<Model>,
    pub(crate) verdict: Verdict,
}

/// Fits a challenger to the first log and what `predictive` itself logged since, and sets it beside the champion.
///
/// Not to its own log alone: a policy that always takes the right endpoint never shows what the wrong one costs, and a
/// model of such a log forgets why it chose.
///
/// # Errors
/// Too few rows, or the fit is refused.
pub(crate) fn challenge(
    scenario: &Scenario,
    first: &SimLog,
    own: &SimLog,
    champion: &Model,
    seed: u64,
) -> Result<Challenge, SimError> {
    let (older, judges) = own.split_newest(JUDGES_SHARE);
    let mut log = SimLog::new(first.len() + older.len());
    log.append(first);
    log.append(&later(&older, SINCE));
    let model = fit(scenario, &log, seed)?;
    let verdict = judge(scenario, &judges, &model, champion);
    Ok(Challenge { model, verdict })
}

/// What the gate says of a challenger beside a champion on rows that neither has seen.
pub(super) fn judge(scenario: &Scenario, judges: &SimLog, challenger: &Model, champion: &Model) -> Verdict {
    let (rows, columns) = judges.columns();
    let rows = dataset(scenario, &rows, &columns, 0..rows.len()).evidence();
    // Where there is a champion the gate asks no baseline.
    let levels = challenger.quantiles();
    let score = Score::new("challenger", &forecasts(challenger, &rows, levels), rows.labels());
    let judgement = Judgement::new(levels, rows.len(), score, Vec::new());
    let contest = Contest { rows: &rows, challenger, champion: Some(champion), judgement: &judgement };
    contest.decide(&GateRules::default(), &|| Duration::ZERO)
}
