//! A pool with a past and a model, for benchmarks of the decision. Run them with `cargo bench -p tailcast-bench-decision`.

mod imported;

pub use imported::ensemble;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use std::time::Duration;
use tailcast_balance::{Balancer, BalancerOptions, Decision, Endpoint, EndpointSpec, PolicyKind};
use tailcast_features::{FEATURE_COUNT, Outcome, OutcomeKind, RequestFacts, Tick};
use tailcast_model::forest::{ForestParts, Split, Tree};
use tailcast_model::{ArtefactError, Forest, Model, ModelParts};

/// Trees of the model: as many as the trainer makes by default.
pub const TREES: usize = 100;

/// Levels of what every model here forecasts.
pub const QUANTILES: [f32; 3] = [0.5, 0.95, 0.99];

/// Levels of each tree.
pub const DEPTH: usize = 6;

/// A forest over all features with random questions and small leaves: what a trained one costs, without training.
///
/// # Errors
/// Never, unless the limits of the model change.
pub fn forest(seed: u64) -> Result<Forest, ArtefactError> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let borders: Vec<Vec<f32>> = (0..FEATURE_COUNT).map(|_| (0..200).map(|i| i as f32 * 0.1 - 5.0).collect()).collect();
    let trees = (0..TREES)
        .map(|_| Tree {
            splits: (0..DEPTH)
                .map(|_| Split {
                    feature: random.random_range(0..FEATURE_COUNT as u16),
                    bin: random.random_range(1..200u8),
                })
                .collect(),
            leaves: (0..3 << DEPTH).map(|_| random.random_range(-0.05..0.05f32)).collect(),
        })
        .collect();
    Forest::new(ForestParts { borders, base: vec![2.0, 3.0, 4.0], trees })
}

/// A balancer of `endpoints` endpoints that has served some thousand requests, all candidates scored.
#[derive(Debug)]
pub struct Scene {
    balancer: Balancer,
    decision: Decision,
    tenants: Vec<RequestFacts>,
    now: Tick,
    at: usize,
}

impl Scene {
    /// Makes the pool, its model and its past.
    ///
    /// # Errors
    /// Never, unless the limits of the model change.
    pub fn new(endpoints: usize, policy: PolicyKind) -> Result<Self, ArtefactError> {
        let model = Model::new(ModelParts::new(QUANTILES.to_vec(), forest(1)?))?;
        Ok(Self::with_model(endpoints, policy, model))
    }

    /// The same with a given model.
    pub fn with_model(endpoints: usize, policy: PolicyKind, model: Model) -> Self {
        Self::with(endpoints, BalancerOptions { policy, ..BalancerOptions::default() }, model)
    }

    /// The same under `predictive` where the highest of the model's three quantiles is minimised, so that all three are
    /// summed: by default the rule reads the median alone.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn of_tail(endpoints: usize) -> Result<Self, ArtefactError> {
        let mut options = BalancerOptions { policy: PolicyKind::Predictive, ..BalancerOptions::default() };
        options.predictive.objective_quantile = 0.99;
        let model = Model::new(ModelParts::new(QUANTILES.to_vec(), forest(1)?))?;
        Ok(Self::with(endpoints, options, model))
    }

    fn with(endpoints: usize, mut options: BalancerOptions, model: Model) -> Self {
        let specs =
            (0..endpoints).map(|number| EndpointSpec { name: format!("endpoint-{number}"), weight: 1.0, zone: None });
        let pool = specs.map(|spec| Arc::new(Endpoint::new(&spec, 1))).collect();
        options.predictive.candidates.all_up_to = endpoints;
        // What is measured is the decision; logging the rows of all candidates is measured with the log.
        options.candidate_features_share = 0.0;
        options.control.share = 0.0;
        let mut balancer = Balancer::new(pool, options, 0, 7, Tick::ZERO);
        balancer.set_model(Some(Arc::new(model)));
        let tenants = (0..50)
            .flat_map(|tenant| {
                (0..6).map(move |route| {
                    RequestFacts::new(&format!("tenant-{tenant}"), &format!("/route/{route}"), "GET", None, 0)
                })
            })
            .collect();
        let mut scene = Self { balancer, decision: Decision::default(), tenants, now: Tick::ZERO, at: 0 };
        for _ in 0..endpoints * 500 {
            scene.request();
        }
        scene
    }

    /// One request: decided, then finished 100 µs later.
    pub fn request(&mut self) {
        self.decide();
        self.finish();
    }

    /// The decision alone. To be followed by [`Scene::finish`].
    pub fn decide(&mut self) -> f32 {
        self.at = (self.at * 31 + 17) % self.tenants.len();
        self.now = self.now.after(Duration::from_micros(100));
        let facts = &self.tenants[self.at];
        match self.balancer.decide(facts, &[], self.now, &mut self.decision) {
            Ok(()) => self.decision.propensity(),
            Err(_) => f32::NAN,
        }
    }

    /// The end of the request.
    pub fn finish(&mut self) {
        let latency = Duration::from_micros(500 + (self.at as u64 * 37) % 4_000);
        let outcome = Outcome { kind: OutcomeKind::Success, status: 200, latency };
        self.balancer.finish(&mut self.decision, &outcome, self.now);
    }
}
