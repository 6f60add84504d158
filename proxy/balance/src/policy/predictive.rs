//! The predictive rule: the lowest forecast of *this* request on *that* endpoint, inside a herd-safe rule.
//!
//! Two things break a plain argmin of the forecast: many proxies with the same stale forecast all pick the same
//! endpoint, and latency without requests in flight is the wrong signal (Prequal, Fig. 9). So the forecast is
//! only the scorer, between an in-flight guard and a random choice among near-ties, with exploration and exact
//! propensities. Without a usable model the same rule runs with peak-EWMA as scorer: a model problem never
//! becomes a request problem.

use crate::balancer::{LoadedModel, Scene};
use crate::candidates::{self, CandidateOptions};
use crate::decision::{Decision, Reason};
use crate::{propensity, rif_guard};
use serde::{Deserialize, Serialize};
use tailcast_features::{Row, index};
use tailcast_model::Forecast;

/// Settings of the predictive rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictiveOptions {
    /// Which candidates are scored.
    pub candidates: CandidateOptions,
    /// Quantile of in-flight above which a candidate is not scored; 1 turns the guard off.
    pub rif_quantile: f32,
    /// Quantile of the forecast that is minimised.
    pub objective_quantile: f32,
    /// Scores within this ratio of the best are ties.
    pub near_tie_ratio: f32,
    /// What a failed request costs, milliseconds, times its forecast probability.
    pub error_penalty_ms: f32,
}

impl Default for PredictiveOptions {
    fn default() -> Self {
        Self {
            candidates: CandidateOptions::default(),
            // Prequal's published best.
            rif_quantile: 0.84,
            // The tail is what is promised; the 99th is estimated from a fifth of the data of the 95th.
            objective_quantile: 0.95,
            near_tie_ratio: 0.03,
            error_penalty_ms: 1_000.0,
        }
    }
}

/// Scratch space, kept so that a decision allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Predictive {
    sorted: Vec<u32>,
    open: Vec<bool>,
    busier: Vec<Row>,
    forecasts: Vec<Forecast>,
    busier_forecasts: Vec<Forecast>,
}

impl Predictive {
    pub(crate) fn choose(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let options = &scene.options.predictive;
        candidates::select(
            &mut decision.slots,
            scene.endpoints,
            scene.view.tenant(),
            &options.candidates,
            scene.rng,
        );
        rif_guard::open(
            scene.in_flight,
            &decision.slots,
            options.rif_quantile,
            &mut self.sorted,
            &mut self.open,
        );
        let scored = scene.model.is_some_and(|model| self.score(model, scene, decision));
        if !scored {
            decision.candidates.clear();
            for i in 0..decision.slots.len() {
                let slot = decision.slots[i];
                scene.push(decision, slot, 0.0, scene.peak_ewma_cost(slot) as f32);
            }
        }
        self.pick(scene, decision);
        if scored {
            if let (Some(model), Some(forecast)) = (scene.model, self.forecasts.get(decision.chosen)) {
                decision.forecast_p50 = model.model.at_level(forecast, 0.5);
                decision.forecast_tail = model.model.at_level(forecast, options.objective_quantile);
            }
        } else if decision.reason != Reason::Explore {
            decision.reason = Reason::Fallback;
        }
    }

    /// Scores every candidate with the model. False where any score is not finite: then none is used.
    fn score(&mut self, loaded: &LoadedModel, scene: &Scene<'_>, decision: &mut Decision) -> bool {
        let model = &loaded.model;
        let options = &scene.options.predictive;
        let tenant = scene.view.tenant();
        let group = model.group_of(tenant);
        self.busier.clear();
        for i in 0..decision.slots.len() {
            let row = scene.row(decision.slots[i]);
            decision.rows.push(row);
            let mut busier = row;
            busier[index::IN_FLIGHT] += 1.0;
            self.busier.push(busier);
        }
        let count = decision.rows.len();
        self.forecasts.resize(count, Forecast::default());
        self.busier_forecasts.resize(count, Forecast::default());
        model.forecast_batch(&decision.rows, group, &mut self.forecasts);
        model.forecast_batch(&self.busier, group, &mut self.busier_forecasts);
        for i in 0..count {
            let slot = decision.slots[i];
            let key = scene.endpoints[slot].key();
            let correction =
                scene.corrections.get(key, tenant, scene.now) + model.bandit_correction(group, key);
            let tail = model.at_level(&self.forecasts[i], options.objective_quantile);
            let own_ms = (tail + correction).exp();
            // What this request would add to those in service: their number times the median's growth.
            let median = (model.at_level(&self.forecasts[i], 0.5) + correction).exp();
            let busier = (model.at_level(&self.busier_forecasts[i], 0.5) + correction).exp();
            let caused_ms = scene.in_flight(slot) as f32 * (busier - median).max(0.0);
            let error_ms = model.error_probability(&decision.rows[i]) * options.error_penalty_ms;
            let score = own_ms + caused_ms + error_ms;
            if !score.is_finite() {
                decision.rows.clear();
                return false;
            }
            scene.push(decision, slot, 0.0, score);
        }
        true
    }

    /// Chooses among the open candidates: near-ties of the best, or any of them while exploring.
    fn pick(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let open = &self.open;
        let best = (0..decision.candidates.len())
            .filter(|i| open[*i])
            .map(|i| decision.candidates[i].score)
            .fold(f32::INFINITY, f32::min);
        let limit = best * (1.0 + scene.options.predictive.near_tie_ratio);
        let ties = (0..decision.candidates.len()).filter(|i| open[*i] && decision.candidates[*i].score <= limit);
        let share = 1.0 / ties.count().max(1) as f32;
        for (candidate, open) in decision.candidates.iter_mut().zip(open) {
            candidate.propensity = if *open && candidate.score <= limit { share } else { 0.0 };
        }
        let epsilon =
            scene.exploration.epsilon(scene.view.tenant_requests(), &scene.options.exploration, scene.now);
        let explore = epsilon > 0.0 && rand::RngExt::random_bool(scene.rng, f64::from(epsilon).clamp(0.0, 1.0));
        decision.chosen = if explore {
            let count = open.iter().filter(|open| **open).count();
            let nth = scene.below(count);
            open.iter().enumerate().filter(|(_, open)| **open).nth(nth).map_or(0, |(i, _)| i)
        } else {
            scene.draw(&decision.candidates)
        };
        propensity::mix_uniform(&mut decision.candidates, epsilon, |i| open[i]);
        scene.exploration.spend(explore, scene.now);
        decision.epsilon = epsilon;
        decision.reason = if explore { Reason::Explore } else { Reason::Forecast };
    }
}
