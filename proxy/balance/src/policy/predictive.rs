//! The predictive rule: the lowest forecast of *this* request on *that* endpoint, inside a herd-safe rule.
//!
//! Two things break a plain argmin of the forecast: many proxies with the same stale forecast all pick the same
//! endpoint, and latency without requests in flight is the wrong signal (Prequal, Fig. 9). So the forecast is
//! only the scorer, between an in-flight guard and a random choice among near-ties, with exploration and exact
//! propensities. Without a usable model the same rule runs with peak-EWMA as scorer: a model problem never
//! becomes a request problem.

use crate::candidates::{self, CandidateOptions};
use crate::decision::{Decision, Reason};
use crate::rif_guard;
use crate::scene::{LoadedModel, Scene};
use crate::score::{Pricing, Scores};
use crate::setback::CLOSED;
use crate::ties::Ties;
use serde::{Deserialize, Serialize};
use tailcast_features::Columns;
use tailcast_features::lanes::LANES;
use tailcast_model::DecisionForecasts;

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
    /// The same, in addition, where other proxies send most of the load to the same endpoints; where they are few it grows
    /// toward this with what they have sent since the report.
    pub herd_tie_ratio: f32,
    /// What a failed request costs, milliseconds, times its forecast probability.
    pub error_penalty_ms: f32,
    /// Weight of the slow-down caused to requests in service; 0 counts only the request itself.
    pub caused_slowdown_weight: f32,
    /// Whether the online residual correction is added to the forecast.
    pub use_correction: bool,
    /// Whether the bandit weights of the model are added to the forecast.
    pub use_bandit: bool,
}

impl Default for PredictiveOptions {
    fn default() -> Self {
        Self {
            candidates: CandidateOptions::default(),
            // Prequal's published best.
            rif_quantile: 0.84,
            // The tail is what is promised, but it is made by the queues, which the median shows as well and with a fifth
            // of the noise: in every simulation the median picks better than the 95th percentile (A6: 97 against 104 ms
            // of p99, A3: 45 against 53), because the lowest of many noisy scores is mostly the luckiest.
            objective_quantile: 0.5,
            near_tie_ratio: 0.03,
            // Keeps classes of endpoints apart that differ by half and more. In the simulation of 64 proxies anything from
            // 0.5 to 2 gives 125 ms of p99, 0.2 gives 137; with contended servers that are 1.5 times slower 1 costs 7 %.
            herd_tie_ratio: 0.5,
            error_penalty_ms: 1_000.0,
            caused_slowdown_weight: 1.0,
            use_correction: true,
            use_bandit: true,
        }
    }
}

/// Requests of others for each of this proxy's own from which on they are a crowd. Of few others the best endpoint is not
/// everybody's: with four proxies three draws cost 3 % of p99 (simulation of three classes, reports on answers, where the
/// estimate is about five, since a report on an answer comes just after one of this proxy's own has left).
const CROWD: f32 = 8.0;

/// Where there is a crowd, the best of so many is chosen: as many as a request sends probes, so that they are the ones
/// just asked. In the simulation of 64 proxies two and four are worse by 2 %, all of them by 5 %.
const CROWD_DRAWS: usize = 3;

/// Scratch space, kept so that a decision allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Predictive {
    fresh: Vec<usize>,
    loads: Vec<u32>,
    hashes: Vec<u64>,
    ranks: Vec<u32>,
    sorted: Vec<u32>,
    open: Vec<bool>,
    columns: Columns,
    forecasts: DecisionForecasts,
    corrections: Vec<[f32; LANES]>,
    scores: Scores,
    ties: Ties,
}

impl Predictive {
    pub(crate) fn choose(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let options = &scene.options.predictive;
        let view = scene.loads.view(scene.now);
        view.freshest(options.candidates.reported, &mut self.fresh);
        candidates::select(
            &mut decision.slots,
            scene.endpoints,
            scene.view.tenant(),
            &options.candidates,
            &self.fresh,
            scene.rng,
        );
        view.estimates(scene.in_flight, &mut self.loads);
        rif_guard::open(&self.loads, &decision.slots, options.rif_quantile, &mut self.sorted, &mut self.open);
        self.close_doubted(scene, decision);
        let scored = scene.model.is_some_and(|model| self.score(model, scene, decision));
        if !scored {
            self.scores.set(decision.slots.iter().map(|slot| scene.peak_ewma_cost(*slot) as f32));
        }
        self.pick(scene, decision);
        if let Some(model) = scene.model.filter(|_| scored) {
            let forecast = self.forecasts.now(decision.chosen);
            decision.forecast_p50 = model.median.of(&forecast);
            decision.forecast_tail = model.objective.of(&forecast);
            // Exactly what was scored is logged.
            decision.features = self.columns.row(decision.chosen);
            decision.has_features = true;
            if scene.sampled {
                decision.rows.extend((0..self.columns.len()).map(|candidate| self.columns.row(candidate)));
            }
        } else if decision.reason != Reason::Explore {
            decision.reason = Reason::Fallback;
        }
    }

    /// Closes candidates that have just failed, unless that leaves none.
    fn close_doubted(&mut self, scene: &Scene<'_>, decision: &Decision) {
        if scene.options.predictive.error_penalty_ms <= 0.0 || !scene.setbacks.any() {
            return;
        }
        let slots = &decision.slots;
        let trusted = |slot: usize| scene.setbacks.doubt(slot, scene.now) < CLOSED;
        if slots.iter().zip(&self.open).any(|(slot, open)| *open && trusted(*slot)) {
            for (slot, open) in slots.iter().zip(&mut self.open) {
                *open = *open && trusted(*slot);
            }
        }
    }

    /// Scores every candidate with the model. False where any score is not finite: then none is used.
    fn score(&mut self, loaded: &LoadedModel, scene: &Scene<'_>, decision: &Decision) -> bool {
        let model = &loaded.model;
        let options = &scene.options.predictive;
        let (tenant, route) = (scene.view.tenant(), scene.view.route());
        let group = model.group_of(tenant);
        scene.columns(&decision.slots, &mut self.columns);
        // Only what the score reads.
        let depth = loaded.median.depth().max(loaded.objective.depth());
        model.forecast_decision(depth, &self.columns, group, &mut self.forecasts);
        let scores = &mut self.scores;
        self.forecasts.level_now(loaded.objective, &mut scores.objective);
        self.forecasts.level_now(loaded.median, &mut scores.median);
        self.forecasts.level_busier(loaded.median, &mut scores.busier);
        self.corrections.clear();
        if options.use_correction {
            scene.corrections.fill(tenant, route, &decision.slots, scene.now, &mut self.corrections);
        }
        scores.correct(self.corrections.as_flattened(), |candidate| {
            match options.use_bandit && !model.has_no_bandit() {
                true => model.bandit_correction(group, scene.keys[decision.slots[candidate]]),
                false => 0.0,
            }
        });
        model.error_probabilities(&self.columns, &mut scores.failing);
        if scene.setbacks.any() {
            for (failing, slot) in scores.failing.as_flattened_mut().iter_mut().zip(&decision.slots) {
                *failing = failing.max(scene.setbacks.doubt(*slot, scene.now));
            }
        }
        // Where caches pay, a tenant's requests must keep together, on every proxy in the same place.
        let step = match loaded.cold_over_warm > options.candidates.warm_ratio {
            true => options.candidates.warm_step,
            false => 0.0,
        };
        self.ranks.clear();
        if step > 0.0 {
            candidates::home_ranks(&decision.slots, scene.keys, tenant, &mut self.hashes, &mut self.ranks);
        }
        scores.load(decision.slots.iter().map(|slot| self.loads[*slot]), &self.ranks);
        scores.price(
            &self.columns,
            Pricing {
                most_in_flight: loaded.most_in_flight,
                caused_slowdown_weight: options.caused_slowdown_weight,
                error_penalty_ms: options.error_penalty_ms,
                step,
            },
        )
    }

    /// Chooses among the open candidates: near-ties of the best, or any of them while exploring. In a crowd the best of all
    /// would be everybody's until the next report, so it is the best of the three of which this proxy knows the newest,
    /// among all that is good enough ("learned three choices"). Those that it has just probed are its own; of reports that
    /// came to all proxies at once all are equally new, and three are drawn. Rejected: two choices among ties that grow
    /// with the age of reports. Right after a report the ties were few, and 64 proxies ran to them: 246 ms where probes
    /// alone gave 131.
    fn pick(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let options = &scene.options.predictive;
        let (scores, open) = (self.scores.scores(), self.open.as_slice());
        let view = scene.loads.view(scene.now);
        let best = Ties::best(scores, open).unwrap_or(0);
        let at = decision.slots.get(best).copied().unwrap_or(0);
        let crowd = view.others() > CROWD;
        let wide = options.herd_tie_ratio * if crowd { 1.0 } else { view.staleness(at) };
        let limit = scores.get(best).copied().unwrap_or(f32::INFINITY) * (1.0 + options.near_tie_ratio + wide);
        self.ties.find(scores, open, limit);
        if crowd {
            let slots = &decision.slots;
            self.ties.best_of_newest(CROWD_DRAWS, |place| view.reported_at(slots[place]));
        } else if view.unseen(at) > 1.0 {
            self.ties.best_of(2);
        } else {
            self.ties.share_equally();
        }
        let epsilon = scene.exploration.epsilon(scene.view.tenant_requests(), &scene.options.exploration, scene.now);
        let explore = epsilon > 0.0 && rand::RngExt::random_bool(scene.rng, f64::from(epsilon).clamp(0.0, 1.0));
        let opened = open.iter().filter(|open| **open).count();
        decision.chosen = if explore {
            let nth = scene.below(opened);
            open.iter().enumerate().filter(|(_, open)| **open).nth(nth).map_or(0, |(i, _)| i)
        } else {
            self.ties.draw(rand::RngExt::random(scene.rng))
        };
        let explored = if opened > 0 { epsilon / opened as f32 } else { 0.0 };
        for ((slot, score), open) in decision.slots.iter().zip(scores).zip(open) {
            scene.push(&mut decision.candidates, *slot, if *open { explored } else { 0.0 }, *score);
        }
        for (candidate, propensity) in self.ties.propensities() {
            if let Some(candidate) = decision.candidates.get_mut(candidate) {
                candidate.propensity += (1.0 - epsilon) * propensity;
            }
        }
        scene.exploration.spend(explore, scene.now);
        decision.epsilon = epsilon;
        decision.reason = if explore { Reason::Explore } else { Reason::Forecast };
    }
}
