//! The peers that `proxy/balance` does not have: each with its source and its published parameters.
//!
//! A peer sees what its authors let it see: its own requests in flight, answers to its probes, or polled statistics.
//! The policies that production has (round robin, random, least request, least loaded, peak-EWMA) run as production
//! code and are not here.

pub(crate) mod oracle;
pub(crate) mod probe_pool;
pub(crate) mod probed;
pub(crate) mod weighted_round_robin;
pub(crate) mod yarp;

use crate::policy::Policy;
use probed::{Probed, Rule};
use rand_pcg::Pcg64Mcg;
use weighted_round_robin::WeightedRoundRobin;
use yarp::Yarp;

/// Statistics of one server as a poll sees them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Polled {
    /// Requests in flight.
    pub(crate) rif: u32,
    /// Requests completed a second since the last poll.
    pub(crate) goodput: f64,
    /// Cores in use over cores allotted, since the last poll.
    pub(crate) utilisation: f64,
}

/// An answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProbeAnswer {
    pub(crate) server: u16,
    pub(crate) rif: u32,
    pub(crate) latency_ms: f32,
    /// When it was answered, nanoseconds.
    pub(crate) at: u64,
}

/// One proxy's peer policy.
#[derive(Debug)]
pub(crate) enum Peer {
    Probed(Probed),
    WeightedRoundRobin(WeightedRoundRobin),
    Yarp(Yarp),
}

impl Peer {
    /// The peer behind a policy; `None` where it is no peer of this module.
    pub(crate) fn new(policy: Policy, servers: usize, cores: f64, unloaded_ms: f32) -> Option<Self> {
        Some(match policy {
            Policy::Prequal(quantile) => {
                Self::Probed(Probed::new(Rule::HotCold { quantile: quantile.unwrap_or(probed::Q_RIF) }, servers))
            }
            Policy::C3 => Self::Probed(Probed::new(Rule::C3 { cores }, servers)),
            Policy::Linear => Self::Probed(Probed::new(Rule::Linear { unloaded_ms }, servers)),
            Policy::WeightedRoundRobin => Self::WeightedRoundRobin(WeightedRoundRobin::new(servers)),
            Policy::Yarp => Self::Yarp(Yarp::new(servers)),
            _ => return None,
        })
    }

    /// Follows a pool that grew.
    pub(crate) fn set_servers(&mut self, servers: usize) {
        match self {
            Self::Probed(peer) => peer.set_servers(servers),
            Self::WeightedRoundRobin(peer) => peer.set_servers(servers),
            Self::Yarp(peer) => peer.set_servers(servers),
        }
    }

    /// Picks a server; `in_flight` is this proxy's own count.
    pub(crate) fn choose(&mut self, in_flight: &[u32], proxies: usize, now: u64, rng: &mut Pcg64Mcg) -> usize {
        match self {
            Self::Probed(peer) => peer.choose(in_flight, proxies, now, rng),
            Self::WeightedRoundRobin(peer) => peer.choose(),
            Self::Yarp(peer) => peer.choose(rng),
        }
    }

    /// Servers to probe for one arriving request.
    pub(crate) fn probes(&mut self, rng: &mut Pcg64Mcg, out: &mut Vec<u16>) {
        if let Self::Probed(peer) = self {
            peer.probes(rng, out);
        }
    }

    /// Takes in a probe's answer.
    pub(crate) fn answered(&mut self, answer: ProbeAnswer, rng: &mut Pcg64Mcg) {
        if let Self::Probed(peer) = self {
            peer.answered(answer, rng);
        }
    }

    /// Learns of an answer of `server`.
    pub(crate) fn finished(&mut self, server: usize, latency_ms: f32) {
        if let Self::Probed(peer) = self {
            peer.finished(server, latency_ms);
        }
    }

    /// Nanoseconds between polls; `None` where nothing is polled.
    pub(crate) fn poll_period(&self) -> Option<u64> {
        match self {
            Self::Probed(_) => None,
            Self::WeightedRoundRobin(_) => Some(weighted_round_robin::PERIOD),
            Self::Yarp(_) => Some(yarp::PERIOD),
        }
    }

    /// Takes in a poll.
    pub(crate) fn polled(&mut self, servers: &[Polled], rng: &mut Pcg64Mcg) {
        match self {
            Self::Probed(_) => {}
            Self::WeightedRoundRobin(peer) => peer.polled(servers, rng),
            Self::Yarp(peer) => peer.polled(servers),
        }
    }
}
