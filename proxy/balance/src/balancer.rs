//! The entry: one pool on one core. `decide` picks and counts in flight, `finish` learns and releases.

use crate::affinity;
use crate::control::ControlOptions;
use crate::correction::Corrections;
use crate::decision::{Decision, NoEndpoint, Reason};
use crate::endpoint::Endpoint;
use crate::explore::{Exploration, ExplorationOptions};
use crate::health::{Health, HealthOptions};
use crate::load::Loads;
use crate::policy::predictive::PredictiveOptions;
use crate::policy::{PolicyKind, PolicyState};
use crate::setback::Setbacks;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tailcast_features::log::LoggedCandidate;
use tailcast_features::store::{Load, LoadReport, StoreLimits};
use tailcast_features::{
    EndpointFacts, FEATURE_COUNT, FeatureStore, Outcome, OutcomeKind, RequestFacts, RequestView, Row, Tick, index,
};
use tailcast_model::{Level, Model};

/// Settings of a balancer. Defaults are those of the documentation; the config validates ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalancerOptions {
    /// The policy to start with.
    pub policy: PolicyKind,
    /// The predictive rule.
    pub predictive: PredictiveOptions,
    /// Exploration.
    pub exploration: ExplorationOptions,
    /// The share of requests that `predictive` leaves to another policy, to be compared with.
    pub control: ControlOptions,
    /// Passive ejection.
    pub health: HealthOptions,
    /// Share of requests whose candidates' features are all logged, 0 to 1. Off-policy evaluation needs them;
    /// each such row is some hundred bytes larger.
    pub candidate_features_share: f64,
    /// The proxy's own zone, if zones are configured.
    pub zone: Option<String>,
}

impl Default for BalancerOptions {
    fn default() -> Self {
        Self {
            policy: PolicyKind::RoundRobin,
            predictive: PredictiveOptions::default(),
            exploration: ExplorationOptions::default(),
            control: ControlOptions::default(),
            health: HealthOptions::default(),
            // One in ten: 36 K requests a second still leave thousands of usable rows a second.
            candidate_features_share: 0.1,
            zone: None,
        }
    }
}

/// What an operator wants to see of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointStats {
    /// Name.
    pub name: String,
    /// Requests in flight from all cores.
    pub in_flight: u32,
    /// True while ejected.
    pub ejected: bool,
    /// Ejections so far on this core.
    pub ejections: u32,
    /// Failures in a row on this core.
    pub consecutive_failures: u32,
    /// Peak-EWMA latency, milliseconds; `None` before the first answer.
    pub peak_ewma_ms: Option<f32>,
}

/// The state of one pool on one core.
#[derive(Debug)]
pub struct Balancer {
    options: BalancerOptions,
    core: usize,
    endpoints: Vec<Arc<Endpoint>>,
    store: FeatureStore,
    health: Health,
    policies: PolicyState,
    policy: PolicyKind,
    model: Option<LoadedModel>,
    corrections: Corrections,
    exploration: Exploration,
    rng: Pcg64Mcg,
    in_flight: Vec<u32>,
    loads: Loads,
    setbacks: Setbacks,
    fallbacks: u64,
    panics: u64,
}

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

impl Balancer {
    /// A balancer for `endpoints` on `core`. Two balancers with the same seed and inputs decide alike.
    pub fn new(endpoints: Vec<Arc<Endpoint>>, options: BalancerOptions, core: usize, seed: u64, now: Tick) -> Self {
        let facts = facts_of(&endpoints, &options);
        Self {
            store: FeatureStore::new(&facts, StoreLimits::default(), now),
            health: Health::new(endpoints.len()),
            policies: PolicyState::default(),
            policy: options.policy,
            model: None,
            corrections: Corrections::default(),
            exploration: Exploration::default(),
            rng: Pcg64Mcg::seed_from_u64(seed),
            in_flight: Vec::with_capacity(endpoints.len()),
            loads: Loads::new(endpoints.len()),
            setbacks: Setbacks::new(endpoints.len()),
            fallbacks: 0,
            panics: 0,
            options,
            core,
            endpoints,
        }
    }

    /// Picks an endpoint for a request and counts it in flight, until `finish` or the decision is dropped.
    /// `exclude` holds the keys of endpoints that this request already tried.
    ///
    /// # Errors
    /// Where the pool is empty or every endpoint is excluded.
    pub fn decide(
        &mut self,
        request: &RequestFacts,
        exclude: &[u64],
        now: Tick,
        decision: &mut Decision,
    ) -> Result<(), NoEndpoint> {
        decision.reset(self.options.control.policy_of(self.policy, request), now);
        if self.endpoints.is_empty() {
            return Err(NoEndpoint::EmptyPool);
        }
        let panicking = self.health.eligible(&self.endpoints, exclude, &self.options.health, now, &mut decision.slots);
        if decision.slots.is_empty() {
            return Err(NoEndpoint::AllExcluded);
        }
        decision.panic = panicking;
        self.panics += u64::from(panicking);
        self.in_flight.clear();
        self.in_flight.extend(self.endpoints.iter().map(|endpoint| endpoint.in_flight()));
        let pool_mean = self.in_flight.iter().sum::<u32>() as f32 / self.endpoints.len() as f32;
        let view = self.store.view(request, now);
        let share = self.options.candidate_features_share;
        let sampled = share > 0.0 && self.rng.random_bool(share.clamp(0.0, 1.0));
        let mut scene = Scene {
            endpoints: &self.endpoints,
            store: &self.store,
            view: &view,
            options: &self.options,
            corrections: &self.corrections,
            exploration: &mut self.exploration,
            model: self.model.as_ref(),
            rng: &mut self.rng,
            in_flight: &self.in_flight,
            loads: &self.loads,
            setbacks: &self.setbacks,
            pool_mean,
            now,
        };
        self.policies.choose(&mut scene, decision);
        scene.record(decision, sampled);
        self.fallbacks += u64::from(decision.reason == Reason::Fallback);
        let slot = decision.slots[decision.chosen];
        decision.token = Some(self.endpoints[slot].start(self.core));
        decision.view = Some(view);
        self.store.dispatched(slot, now);
        self.loads.dispatched();
        Ok(())
    }

    /// Learns from how the request ended and releases it. A decision that was finished already changes nothing.
    pub fn finish(&mut self, decision: &mut Decision, outcome: &Outcome, now: Tick) {
        let (Some(token), Some(view)) = (decision.token.take(), decision.view.take()) else { return };
        let key = token.endpoint().key();
        self.store.completed(&view, key, decision.dispatched_at, outcome, now);
        if outcome.kind.is_latency_evidence() && decision.forecast_p50.is_finite() {
            let residual = outcome.ln_ms() - decision.forecast_p50;
            self.corrections.observe(key, view.tenant(), view.route(), residual, now);
        }
        if let Some(slot) = self.endpoints.iter().position(|endpoint| endpoint.key() == key) {
            self.health.learn(slot, outcome, &self.options.health, now);
            // A client that went away says nothing of the endpoint.
            if outcome.kind != OutcomeKind::ClientAbort {
                self.setbacks.observe(slot, outcome.kind.is_endpoint_failure(), now);
            }
        }
    }

    /// Takes in a load report of an endpoint; unknown keys are ignored.
    pub fn report(&mut self, endpoint: u64, report: LoadReport, now: Tick) {
        if let Some(slot) = self.endpoints.iter().position(|known| known.key() == endpoint) {
            self.store.reported(slot, report, now);
            self.loads.reported(slot, &report, self.endpoints[slot].in_flight(), now);
        }
    }

    /// Changes the policy from the next decision on.
    pub fn set_policy(&mut self, policy: PolicyKind) {
        self.policy = policy;
    }

    /// The policy in force.
    pub fn policy(&self) -> PolicyKind {
        self.policy
    }

    /// Swaps the model; the online correction starts anew because it corrects *that* model's forecasts.
    pub fn set_model(&mut self, model: Option<Arc<Model>>) {
        self.corrections = Corrections::default();
        self.model = model.map(|model| LoadedModel {
            id: model.id().into(),
            cold_over_warm: affinity::cold_over_warm(&model),
            median: model.level(0.5),
            most_in_flight: model
                .highest_border(index::IN_FLIGHT)
                .filter(|border| *border > 0.0)
                .unwrap_or(f32::INFINITY),
            objective: model.level(self.options.predictive.objective_quantile),
            model,
        });
    }

    /// Replaces the endpoints; those that stay (same name) keep what was learned of them.
    pub fn set_endpoints(&mut self, endpoints: Vec<Arc<Endpoint>>, now: Tick) {
        self.health.set_endpoints(&self.endpoints, &endpoints);
        self.loads.set_endpoints(&self.endpoints, &endpoints);
        self.setbacks.set_endpoints(&self.endpoints, &endpoints);
        self.store.set_endpoints(&facts_of(&endpoints, &self.options), now);
        self.endpoints = endpoints;
    }

    /// State of the endpoints, in pool order.
    pub fn stats(&self, now: Tick) -> Vec<EndpointStats> {
        self.endpoints
            .iter()
            .enumerate()
            .map(|(slot, endpoint)| {
                let ewma = self.store.peak_ewma_ms(slot, now);
                EndpointStats {
                    name: endpoint.name().to_owned(),
                    in_flight: endpoint.in_flight(),
                    ejected: self.health.is_ejected(slot, now),
                    ejections: self.health.ejections(slot),
                    consecutive_failures: self.health.consecutive_failures(slot),
                    peak_ewma_ms: ewma.is_finite().then_some(ewma),
                }
            })
            .collect()
    }

    /// Decisions of `predictive` that fell back to peak-EWMA.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    /// Decisions taken while too few endpoints were healthy.
    pub fn panics(&self) -> u64 {
        self.panics
    }
}

fn facts_of(endpoints: &[Arc<Endpoint>], options: &BalancerOptions) -> Vec<EndpointFacts> {
    endpoints
        .iter()
        .map(|endpoint| EndpointFacts {
            key: endpoint.key(),
            weight: endpoint.weight(),
            zone_local: match (&options.zone, endpoint.zone()) {
                (Some(own), Some(theirs)) => Some(own == theirs),
                _ => None,
            },
        })
        .collect()
}

/// What a policy sees of one decision.
pub(crate) struct Scene<'a> {
    pub(crate) endpoints: &'a [Arc<Endpoint>],
    pub(crate) store: &'a FeatureStore,
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

    pub(crate) fn push(&self, decision: &mut Decision, slot: usize, propensity: f32, score: f32) {
        decision.candidates.push(LoggedCandidate { endpoint: self.endpoints[slot].key(), propensity, score });
    }

    /// All eligible slots become candidates with equal propensity and no score.
    pub(crate) fn uniform(&self, decision: &mut Decision) {
        let share = 1.0 / decision.slots.len() as f32;
        for i in 0..decision.slots.len() {
            self.push(decision, decision.slots[i], share, f32::NAN);
        }
    }

    /// One candidate is chosen for certain.
    pub(crate) fn certain(&self, decision: &mut Decision, chosen: usize) {
        self.push(decision, decision.slots[chosen], 1.0, f32::NAN);
        decision.chosen = chosen;
    }

    /// Draws a candidate by its propensity.
    pub(crate) fn draw(&mut self, candidates: &[LoggedCandidate]) -> usize {
        let mut left: f32 = self.rng.random();
        for (i, candidate) in candidates.iter().enumerate() {
            left -= candidate.propensity;
            if left < 0.0 {
                return i;
            }
        }
        // Rounding can leave a little over: the last candidate that can be chosen at all.
        candidates.iter().rposition(|candidate| candidate.propensity > 0.0).unwrap_or(0)
    }

    /// Completes what is logged: the chosen endpoint's features and forecast, and all candidates' where sampled.
    fn record(&self, decision: &mut Decision, sampled: bool) {
        if decision.rows.is_empty() && sampled {
            for i in 0..decision.slots.len() {
                let row = self.row(decision.slots[i]);
                decision.rows.push(row);
            }
        }
        decision.has_all_rows = sampled && decision.rows.len() == decision.candidates.len();
        decision.features = match decision.rows.get(decision.chosen) {
            Some(row) => *row,
            None => self.row(decision.slots[decision.chosen]),
        };
        if let Some(loaded) = self.model {
            // Under other policies the forecast is still made for the chosen endpoint: it keeps the online
            // correction warm and lets the log judge the model on traffic that it did not route.
            if decision.forecast_p50.is_nan() {
                let forecast = loaded.model.forecast(&decision.features, loaded.model.group_of(self.view.tenant()));
                decision.forecast_p50 = loaded.median.of(&forecast);
                decision.forecast_tail = loaded.objective.of(&forecast);
            }
            decision.model_id = Some(Arc::clone(&loaded.id));
        }
    }
}

#[cfg(test)]
mod tests;
