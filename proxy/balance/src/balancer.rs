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
use crate::scene::{LoadedModel, Scene, Scratch};
use crate::setback::Setbacks;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tailcast_features::store::{LoadReport, StoreLimits};
use tailcast_features::{EndpointFacts, FeatureStore, Outcome, OutcomeKind, RequestFacts, Tick, index};
use tailcast_model::Model;

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
    scratch: Scratch,
    fallbacks: u64,
    panics: u64,
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
            corrections: Corrections::new(endpoints.len()),
            exploration: Exploration::default(),
            rng: Pcg64Mcg::seed_from_u64(seed),
            in_flight: Vec::with_capacity(endpoints.len()),
            loads: Loads::new(endpoints.len()),
            setbacks: Setbacks::new(endpoints.len()),
            scratch: Scratch::default(),
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
            keys: self.store.keys(),
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
            sampled,
            now,
        };
        self.policies.choose(&mut scene, decision);
        scene.record(decision, &mut self.scratch);
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
        if let Some(slot) = self.store.slot_of(key) {
            if outcome.kind.is_latency_evidence() && decision.forecast_p50.is_finite() {
                let residual = outcome.ln_ms() - decision.forecast_p50;
                self.corrections.observe(slot, view.tenant(), view.route(), residual, now);
            }
            self.health.learn(slot, outcome, &self.options.health, now);
            // A client that went away says nothing of the endpoint.
            if outcome.kind != OutcomeKind::ClientAbort {
                self.setbacks.observe(slot, outcome.kind.is_endpoint_failure(), now);
            }
        }
    }

    /// Takes in a load report of an endpoint; unknown keys are ignored.
    pub fn report(&mut self, endpoint: u64, report: LoadReport, now: Tick) {
        if let Some(slot) = self.store.slot_of(endpoint) {
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
        self.corrections = Corrections::new(self.endpoints.len());
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
        let old_slots: Vec<Option<usize>> =
            endpoints.iter().map(|endpoint| self.store.slot_of(endpoint.key())).collect();
        self.corrections.remap(&old_slots, self.endpoints.len());
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

#[cfg(test)]
mod tests;
