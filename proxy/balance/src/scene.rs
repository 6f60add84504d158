//! What a policy sees of one decision, and how what it chose is completed for the log.
//!
//! A policy gets the whole balancer lent piece by piece, so that it can read the state and draw chance but change nothing
//! else. Rejected: policies as methods of the balancer, each of which could reach everything.

use crate::balancer::BalancerOptions;
use crate::correction::Corrections;
use crate::decision::Decision;
use crate::endpoint::Endpoint;
use crate::explore::Exploration;
use crate::load::Loads;
use crate::propensity;
use crate::setback::Setbacks;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use tailcast_features::log::LoggedCandidate;
use tailcast_features::store::Load;
use tailcast_features::{Columns, FEATURE_COUNT, FeatureStore, RequestView, Row, Tick};
use tailcast_model::{DecisionForecasts, Level, Model};

/// A model with its id made once, so that a decision copies a pointer and not a string.
#[derive(Debug, Clone)]
pub(crate) struct LoadedModel {
    pub(crate) model: Arc<Model>,
    pub(crate) id: Arc<str>,
    /// How much longer a request takes where its tenant is not warm.
    pub(crate) cold_over_warm: f32,
    /// Where its forecasts have the median.
    pub(crate) median: Level,
    /// Where they have what the predictive rule minimises.
    pub(crate) objective: Level,
    /// The most requests in flight that its trees tell apart: beyond, their forecast is flat.
    pub(crate) most_in_flight: f32,
}

/// Where the forecast of a single candidate is made.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    columns: Columns,
    forecasts: DecisionForecasts,
}

/// What a policy sees of one decision.
pub(crate) struct Scene<'a> {
    pub(crate) endpoints: &'a [Arc<Endpoint>],
    pub(crate) store: &'a FeatureStore,
    /// Keys of the endpoints, by slot.
    pub(crate) keys: &'a [u64],
    pub(crate) view: &'a RequestView,
    pub(crate) options: &'a BalancerOptions,
    pub(crate) corrections: &'a Corrections,
    pub(crate) exploration: &'a mut Exploration,
    pub(crate) model: Option<&'a LoadedModel>,
    pub(crate) rng: &'a mut Pcg64Mcg,
    pub(crate) in_flight: &'a [u32],
    pub(crate) loads: &'a Loads,
    pub(crate) setbacks: &'a Setbacks,
    pub(crate) pool_mean: f32,
    /// Whether the features of all candidates are logged.
    pub(crate) sampled: bool,
    pub(crate) now: Tick,
}

/// Cost of an endpoint that has load but no latency yet, milliseconds a request in flight: as in Finagle, one
/// probe at a time goes to the unknown.
const UNKNOWN_COST_MS: f64 = 1e9;

impl Scene<'_> {
    /// A uniform number below `count` (0 where `count` is 0).
    pub(crate) fn below(&mut self, count: usize) -> usize {
        if count == 0 { 0 } else { self.rng.random_range(0..count) }
    }

    pub(crate) fn in_flight(&self, slot: usize) -> u32 {
        self.in_flight[slot]
    }

    pub(crate) fn weight(&self, slot: usize) -> f32 {
        self.endpoints[slot].weight().max(f32::MIN_POSITIVE)
    }

    /// Peak-EWMA latency times (in-flight + 1), milliseconds.
    pub(crate) fn peak_ewma_cost(&self, slot: usize) -> f64 {
        let load = f64::from(self.in_flight[slot]);
        let ewma = f64::from(self.store.peak_ewma_ms(slot, self.now));
        if ewma.is_nan() { load * UNKNOWN_COST_MS } else { ewma * (load + 1.0) }
    }

    /// Writes the features of the request on an endpoint.
    pub(crate) fn write_row(&self, slot: usize, row: &mut Row) {
        let load = Load { in_flight: self.in_flight[slot], pool_mean: self.pool_mean };
        self.store.row(self.view, slot, load, self.now, row);
    }

    pub(crate) fn row(&self, slot: usize) -> Row {
        let mut row = [f32::NAN; FEATURE_COUNT];
        self.write_row(slot, &mut row);
        row
    }

    /// Writes the features of the request on each of `slots`.
    pub(crate) fn columns(&self, slots: &[usize], columns: &mut Columns) {
        self.store.columns(self.view, slots, self.in_flight, self.pool_mean, self.now, columns);
    }

    pub(crate) fn push(&self, candidates: &mut Vec<LoggedCandidate>, slot: usize, propensity: f32, score: f32) {
        candidates.push(LoggedCandidate { endpoint: self.keys[slot], propensity, score });
    }

    /// All eligible slots become candidates with equal propensity and no score.
    pub(crate) fn uniform(&self, decision: &mut Decision) {
        let share = 1.0 / decision.slots.len() as f32;
        for i in 0..decision.slots.len() {
            self.push(&mut decision.candidates, decision.slots[i], share, f32::NAN);
        }
    }

    /// One candidate is chosen for certain.
    pub(crate) fn certain(&self, decision: &mut Decision, chosen: usize) {
        self.push(&mut decision.candidates, decision.slots[chosen], 1.0, f32::NAN);
        decision.chosen = chosen;
    }

    /// Draws a candidate by its propensity.
    pub(crate) fn draw(&mut self, candidates: &[LoggedCandidate]) -> usize {
        propensity::at(candidates, self.rng.random())
    }

    /// Forecasts the chosen endpoint where another policy chose it: that keeps the online correction warm and lets the log
    /// judge the model on traffic that it did not route.
    fn judge(&self, loaded: &LoadedModel, decision: &mut Decision, scratch: &mut Scratch) {
        scratch.columns.fill(std::slice::from_ref(&decision.features));
        let depth = loaded.median.depth().max(loaded.objective.depth());
        let group = loaded.model.group_of(self.view.tenant());
        loaded.model.forecast_decision(depth, &scratch.columns, group, &mut scratch.forecasts);
        let forecast = scratch.forecasts.now(0);
        decision.forecast_p50 = loaded.median.of(&forecast);
        decision.forecast_tail = loaded.objective.of(&forecast);
    }

    /// Completes what is logged: the chosen endpoint's features and forecast, and all candidates' where sampled.
    pub(crate) fn record(&self, decision: &mut Decision, scratch: &mut Scratch) {
        if decision.rows.is_empty() && self.sampled {
            for i in 0..decision.slots.len() {
                let row = self.row(decision.slots[i]);
                decision.rows.push(row);
            }
        }
        decision.has_all_rows = self.sampled && decision.rows.len() == decision.candidates.len();
        if !decision.has_features {
            decision.features = match decision.rows.get(decision.chosen) {
                Some(row) => *row,
                None => self.row(decision.slots[decision.chosen]),
            };
        }
        if let Some(loaded) = self.model {
            if decision.forecast_p50.is_nan() {
                self.judge(loaded, decision, scratch);
            }
            decision.model_id = Some(Arc::clone(&loaded.id));
        }
    }
}
