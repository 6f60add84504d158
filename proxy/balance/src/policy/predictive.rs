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
use crate::setback::CLOSED;
use crate::{propensity, rif_guard};
use serde::{Deserialize, Serialize};
use tailcast_features::FEATURE_COUNT;
use tailcast_features::Tick;
use tailcast_features::approx::exp2;
use tailcast_features::index;
use tailcast_features::log::LoggedCandidate;
use tailcast_model::Forecast;

/// e to the power of a log-latency, by the features' own power of two: a third of the C library's cost.
fn exp(ln: f32) -> f32 {
    exp2(ln * std::f32::consts::LOG2_E)
}

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
    ties: Vec<LoggedCandidate>,
    ages: Vec<(Tick, usize)>,
    kept: Vec<LoggedCandidate>,
    forecasts: Vec<Forecast>,
    busier_forecasts: Vec<Forecast>,
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
        self.loads.clear();
        let load = |(slot, own): (usize, &u32)| view.estimate(slot, *own).round() as u32;
        self.loads.extend(scene.in_flight.iter().enumerate().map(load));
        rif_guard::open(&self.loads, &decision.slots, options.rif_quantile, &mut self.sorted, &mut self.open);
        self.close_doubted(scene, decision);
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
                decision.forecast_p50 = model.median.of(forecast);
                decision.forecast_tail = model.objective.of(forecast);
            }
        } else if decision.reason != Reason::Explore {
            decision.reason = Reason::Fallback;
        }
    }

    /// Closes candidates that have just failed, unless that leaves none.
    fn close_doubted(&mut self, scene: &Scene<'_>, decision: &Decision) {
        if scene.options.predictive.error_penalty_ms <= 0.0 {
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
    fn score(&mut self, loaded: &LoadedModel, scene: &Scene<'_>, decision: &mut Decision) -> bool {
        let model = &loaded.model;
        let options = &scene.options.predictive;
        let (tenant, route) = (scene.view.tenant(), scene.view.route());
        let group = model.group_of(tenant);
        let count = decision.slots.len();
        decision.rows.resize(count, [f32::NAN; FEATURE_COUNT]);
        for (slot, row) in decision.slots.iter().zip(&mut decision.rows) {
            scene.write_row(*slot, row);
        }
        self.forecasts.resize(count, Forecast::default());
        self.busier_forecasts.resize(count, Forecast::default());
        // Only what the score reads.
        let depth = loaded.median.depth().max(loaded.objective.depth());
        let (now, busier) = (&mut self.forecasts, &mut self.busier_forecasts);
        model.forecast_decision_to(depth, &decision.rows, group, now, busier);
        // Where caches pay, a tenant's requests must keep together, on every proxy in the same place.
        let step = match loaded.cold_over_warm > options.candidates.warm_ratio {
            true => options.candidates.warm_step,
            false => 0.0,
        };
        if step > 0.0 {
            candidates::home_ranks(&decision.slots, scene.endpoints, tenant, &mut self.hashes, &mut self.ranks);
        }
        let corrections = options.use_correction.then(|| scene.corrections.at(tenant, route, scene.now));
        for i in 0..count {
            let slot = decision.slots[i];
            let key = scene.endpoints[slot].key();
            let online = corrections.map_or(0.0, |corrections| corrections.of(key));
            let bandit = if options.use_bandit { model.bandit_correction(group, key) } else { 0.0 };
            let correction = online + bandit;
            let tail = loaded.objective.of(&self.forecasts[i]);
            // Trees are flat beyond the most in flight that they have seen; a queue is not. From there on latency grows with
            // the number in service, as it does where a server shares itself or serves in turn.
            let in_flight = decision.rows[i][index::IN_FLIGHT];
            let beyond = ((in_flight + 1.0) / (loaded.most_in_flight + 1.0)).max(1.0);
            let own_ms = exp(tail + correction) * beyond;
            // What this request would add to those in service: their number times the median's growth by one more.
            let median = exp(loaded.median.of(&self.forecasts[i]) + correction);
            let busier = exp(loaded.median.of(&self.busier_forecasts[i]) + correction);
            let load = self.loads[slot];
            let growth = if beyond > 1.0 { own_ms / (in_flight + 1.0) } else { (busier - median).max(0.0) };
            let caused_ms = options.caused_slowdown_weight * load as f32 * growth;
            let failing = model.error_probability(&decision.rows[i]).max(scene.setbacks.doubt(slot, scene.now));
            let error_ms = failing * options.error_penalty_ms;
            let rank = if step > 0.0 { self.ranks[i] as f32 } else { 0.0 };
            let score = (own_ms + caused_ms) * (1.0 + step * rank) + error_ms;
            if !score.is_finite() {
                decision.rows.clear();
                return false;
            }
            scene.push(decision, slot, 0.0, score);
        }
        true
    }

    /// Chooses among the open candidates: near-ties of the best, or any of them while exploring. In a crowd the best of all
    /// would be everybody's until the next report, so it is the best of the three of which this proxy knows the newest,
    /// among all that is good enough ("learned three choices"). Those that it has just probed are its own; of reports that
    /// came to all proxies at once all are equally new, and three are drawn. Rejected: two choices among ties that grow
    /// with the age of reports. Right after a report the ties were few, and 64 proxies ran to them: 246 ms where probes
    /// alone gave 131.
    fn pick(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let open = &self.open;
        let (best, at) = (0..decision.candidates.len())
            .filter(|i| open[*i])
            .map(|i| (decision.candidates[i].score, decision.slots[i]))
            .fold((f32::INFINITY, 0), |best, other| if other.0 < best.0 { other } else { best });
        let options = &scene.options.predictive;
        let view = scene.loads.view(scene.now);
        let crowd = view.others() > CROWD;
        let wide = options.herd_tie_ratio * if crowd { 1.0 } else { view.staleness(at) };
        let limit = best * (1.0 + options.near_tie_ratio + wide);
        self.ties.clear();
        self.ages.clear();
        for ((candidate, open), slot) in decision.candidates.iter_mut().zip(open).zip(&decision.slots) {
            candidate.propensity = 0.0;
            if *open && candidate.score <= limit {
                self.ties.push(*candidate);
                self.ages.push((view.reported_at(*slot), self.ages.len()));
            }
        }
        if crowd {
            self.ages.sort_unstable_by(|a, b| b.cmp(a));
            let least = self.ages.get(CROWD_DRAWS - 1).or(self.ages.last()).map_or(Tick::ZERO, |age| age.0);
            self.kept.clear();
            self.kept.extend(self.ages.iter().filter(|(at, _)| *at >= least).map(|(_, i)| self.ties[*i]));
            propensity::best_of(&mut self.kept, CROWD_DRAWS);
            for ((_, i), kept) in self.ages.iter().zip(&self.kept) {
                self.ties[*i].propensity = kept.propensity;
            }
        } else if view.unseen(at) > 1.0 {
            propensity::best_of(&mut self.ties, 2);
        } else {
            propensity::uniform_where(&mut self.ties, |_| true);
        }
        let mut ties = self.ties.iter();
        for (candidate, open) in decision.candidates.iter_mut().zip(open) {
            if *open && candidate.score <= limit {
                candidate.propensity = ties.next().map_or(0.0, |tie| tie.propensity);
            }
        }
        let epsilon = scene.exploration.epsilon(scene.view.tenant_requests(), &scene.options.exploration, scene.now);
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
