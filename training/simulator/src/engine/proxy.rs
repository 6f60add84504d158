//! One simulated proxy: the production balancer, a peer, or the oracle.

use crate::peers::Peer;
use crate::policy::{Part, Policy};
use crate::scenario::Scenario;
use std::sync::Arc;
use tailcast_balance::{Balancer, BalancerOptions, Endpoint, EndpointSpec, PolicyKind};
use tailcast_features::Tick;
use tailcast_model::Model;

/// What decides.
#[derive(Debug)]
pub(crate) enum Brain {
    /// The production code.
    Production { balancer: Box<Balancer> },
    /// A peer of this crate.
    Peer(Peer),
    /// Sees the servers; `blind` to the work of the request at hand.
    Oracle { blind: bool },
}

/// A proxy and its endpoints.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) brain: Brain,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// Its own requests in flight, for peers.
    pub(crate) in_flight: Vec<u32>,
}

/// The production options of a policy row: defaults, less the part that an ablation leaves out.
pub(crate) fn options_of(policy: Policy, base: &BalancerOptions) -> BalancerOptions {
    let mut options = BalancerOptions { candidate_features_share: 0.0, ..base.clone() };
    // A row is one policy, all of it: the control is another one.
    options.control.share = 0.0;
    options.policy = match policy {
        Policy::Production(kind) => kind,
        _ => PolicyKind::Predictive,
    };
    let predictive = &mut options.predictive;
    match policy {
        Policy::Without(Part::Correction) => predictive.use_correction = false,
        Policy::Without(Part::Bandit) => predictive.use_bandit = false,
        Policy::Without(Part::ErrorPenalty) => predictive.error_penalty_ms = 0.0,
        Policy::Without(Part::CausedSlowdown) => predictive.caused_slowdown_weight = 0.0,
        Policy::Without(Part::RifGuard) => predictive.rif_quantile = 1.0,
        Policy::Without(Part::NearTies) => predictive.near_tie_ratio = 0.0,
        Policy::Without(Part::HerdTies) => predictive.herd_tie_ratio = 0.0,
        Policy::Without(Part::Homes) => {
            predictive.candidates.homes = 0;
            predictive.candidates.warm_ratio = f32::INFINITY;
        }
        Policy::Without(Part::Exploration) => {
            options.exploration.start = 0.0;
            options.exploration.floor = 0.0;
        }
        _ => {}
    }
    options
}

impl Proxy {
    pub(crate) fn new(
        policy: Policy,
        base: &BalancerOptions,
        scenario: &Scenario,
        servers: usize,
        model: Option<&Arc<Model>>,
        seed: u64,
    ) -> Self {
        let endpoints: Vec<Arc<Endpoint>> = (0..scenario.server_count())
            .map(|slot| {
                let spec = EndpointSpec { name: server_name(slot), weight: 1.0, zone: None };
                Arc::new(Endpoint::new(&spec, 1))
            })
            .collect();
        let cores = scenario.classes.iter().map(|class| class.cores * class.count as f64).sum::<f64>()
            / scenario.server_count().max(1) as f64;
        let brain = match (policy, Peer::new(policy, servers, cores, scenario.unloaded_ms())) {
            (Policy::Oracle | Policy::OracleBlind, _) => Brain::Oracle { blind: policy == Policy::OracleBlind },
            (_, Some(peer)) => Brain::Peer(peer),
            (_, None) => {
                let options = options_of(policy, base);
                let mut balancer = Balancer::new(endpoints[..servers].to_vec(), options, 0, seed, Tick::ZERO);
                if policy.is_learned() {
                    balancer.set_model(model.cloned());
                }
                Brain::Production { balancer: Box::new(balancer) }
            }
        };
        Self { brain, in_flight: vec![0; endpoints.len()], endpoints }
    }
}

/// Name of a server's endpoint; its hash is the endpoint's identity.
pub(crate) fn server_name(slot: usize) -> String {
    format!("10.0.{}.{}:8080", slot / 250, slot % 250 + 1)
}
