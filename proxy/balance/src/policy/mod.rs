//! The closed set of policies. An enum, not a trait: every policy is known here, the hot path has no virtual
//! call, and a name in a config either exists or is refused with the list of those that do.

mod least_loaded;
pub(crate) mod predictive;
mod rotation;
mod two_choices;

use crate::decision::{Decision, Reason};
use crate::scene::Scene;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

pub(crate) use predictive::Predictive;
pub(crate) use rotation::Rotation;

/// How an endpoint is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Each eligible endpoint in turn.
    RoundRobin,
    /// A uniformly random endpoint.
    Random,
    /// The less loaded of two random endpoints (Mitzenmacher 2001; Envoy's default `LEAST_REQUEST`).
    LeastRequest,
    /// The least loaded endpoint of all.
    LeastLoaded,
    /// The lower of two random endpoints by peak-EWMA latency x (in-flight + 1) (Finagle, linkerd).
    PeakEwma,
    /// The lowest forecast of this request on that endpoint, inside a herd-safe rule.
    Predictive,
}

impl PolicyKind {
    /// All policies, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::RoundRobin, Self::Random, Self::LeastRequest, Self::LeastLoaded, Self::PeakEwma, Self::Predictive];

    /// The name in configs and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::LeastLoaded => "least_loaded",
            Self::PeakEwma => "peak_ewma",
            Self::Predictive => "predictive",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A policy name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy {0:?}, expected one of {known}", known = PolicyKind::ALL.map(PolicyKind::name).join(", "))]
pub struct UnknownPolicy(pub String);

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

/// State that single policies keep between decisions.
#[derive(Debug, Default)]
pub(crate) struct PolicyState {
    pub(crate) rotation: Rotation,
    pub(crate) predictive: Predictive,
}

impl PolicyState {
    /// Fills candidates, propensities, reason and choice of `decision`. `decision.slots` holds the eligible slots
    /// and is never empty.
    pub(crate) fn choose(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        if decision.slots.len() == 1 {
            scene.certain(decision, 0);
            decision.reason = Reason::OnlyOne;
            return;
        }
        match decision.policy {
            PolicyKind::RoundRobin => self.rotation.choose(scene, decision),
            PolicyKind::Random => {
                let count = decision.slots.len();
                scene.uniform(decision);
                decision.chosen = scene.below(count);
                decision.reason = Reason::Chance;
            }
            PolicyKind::LeastRequest => {
                let cost = |scene: &Scene<'_>, slot: usize| f64::from(scene.in_flight(slot));
                two_choices::choose(scene, decision, cost);
                decision.reason = Reason::LeastLoad;
            }
            PolicyKind::LeastLoaded => least_loaded::choose(scene, decision),
            PolicyKind::PeakEwma => {
                let cost = |scene: &Scene<'_>, slot: usize| scene.peak_ewma_cost(slot);
                two_choices::choose(scene, decision, cost);
                decision.reason = Reason::PeakEwma;
            }
            PolicyKind::Predictive => self.predictive.choose(scene, decision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_refused_with_those_that_do() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "magic".parse::<PolicyKind>().map_err(|error| error.to_string());
        assert!(matches!(&error, Err(text) if text.contains("magic") && text.contains("peak_ewma")), "{error:?}");
    }
}
