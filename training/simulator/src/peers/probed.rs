//! The three rules that share Prequal's asynchronous probing and differ only in how they rank the pooled answers, as in
//! the comparison of the Prequal paper (NSDI'24, §5.2): so that the ranking is compared and not the signal.
//!
//! - *Hot-cold lexicographic* (Prequal): answers above the RIF quantile Q_RIF are hot; among cold ones the lowest
//!   latency, if all are hot the lowest RIF.
//! - *C3* (Suresh, Canini, Schmid, Feldmann, NSDI'15): lowest `R − 1/μ + q̂³/μ`, with `R` the client's EWMA of latency,
//!   `1/μ` the server's own latency over its parallelism, `q̂ = 1 + own·n + q`: own requests in flight times the number
//!   of clients, plus the reported queue. Over the cores of a processor-sharing server the queue is RIF per core.
//! - *Linear*: half latency, half RIF times the median latency at RIF 1.

use super::ProbeAnswer;
use super::probe_pool::{PROBES, Pooled, ProbePool};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Prequal's published best.
pub(crate) const Q_RIF: f32 = 0.84;

/// Weight of a new latency in C3's client EWMA (the paper's 0.9 for the old value).
const C3_NEW: f32 = 0.1;

/// How the pooled answers are ranked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Prequal.
    HotCold { quantile: f32 },
    /// C3's cubic score.
    C3 { cores: f64 },
    /// 50/50; the median latency at RIF 1 is a parameter of the rule (75 ms in the paper's testbed).
    Linear { unloaded_ms: f32 },
}

/// A probing peer.
#[derive(Debug)]
pub(crate) struct Probed {
    rule: Rule,
    servers: usize,
    pool: ProbePool,
    /// C3: the client's own EWMA of latency of each server, milliseconds.
    responses: Vec<f32>,
}

impl Probed {
    pub(crate) fn new(rule: Rule, servers: usize) -> Self {
        Self { rule, servers, pool: ProbePool::new(servers), responses: vec![f32::NAN; servers] }
    }

    pub(crate) fn set_servers(&mut self, servers: usize) {
        self.servers = servers;
        self.responses.resize(servers, f32::NAN);
    }

    /// Distinct random replicas.
    pub(crate) fn probes(&self, rng: &mut Pcg64Mcg, out: &mut Vec<u16>) {
        out.clear();
        while out.len() < PROBES.min(self.servers) {
            let server = rng.random_range(0..self.servers) as u16;
            if !out.contains(&server) {
                out.push(server);
            }
        }
    }

    pub(crate) fn answered(&mut self, answer: ProbeAnswer, rng: &mut Pcg64Mcg) {
        self.pool.add(answer, rng);
    }

    pub(crate) fn finished(&mut self, server: usize, latency_ms: f32) {
        if let Some(response) = self.responses.get_mut(server) {
            *response = if response.is_nan() { latency_ms } else { *response + C3_NEW * (latency_ms - *response) };
        }
    }

    pub(crate) fn choose(&mut self, in_flight: &[u32], proxies: usize, now: u64, rng: &mut Pcg64Mcg) -> usize {
        if !self.pool.is_usable(now) {
            return rng.random_range(0..self.servers);
        }
        let score = self.score(in_flight, proxies);
        let mut best = 0;
        for i in 1..self.pool.pooled.len() {
            if score(&self.pool.pooled[i]) < score(&self.pool.pooled[best]) {
                best = i;
            }
        }
        let server = usize::from(self.pool.pooled[best].answer.server);
        self.pool.used(best, score);
        server
    }

    /// What is minimised: (is hot, value). It borrows nothing, so that the pool can be thinned by it.
    fn score(&self, in_flight: &[u32], proxies: usize) -> impl Fn(&Pooled) -> (bool, f32) + use<> {
        let rule = self.rule;
        let hot_above = match rule {
            Rule::HotCold { quantile } => self.pool.hot_above(quantile),
            _ => u32::MAX,
        };
        let clients = proxies as f32;
        let c3: Vec<(u16, f32, f32)> = match rule {
            Rule::C3 { .. } => (self.pool.pooled.iter())
                .map(|pooled| {
                    let server = usize::from(pooled.answer.server);
                    let response = self.responses.get(server).copied().unwrap_or(f32::NAN);
                    (pooled.answer.server, in_flight.get(server).copied().unwrap_or(0) as f32, response)
                })
                .collect(),
            _ => Vec::new(),
        };
        move |pooled: &Pooled| {
            let ProbeAnswer { rif, latency_ms, server, .. } = pooled.answer;
            match rule {
                Rule::HotCold { .. } if rif > hot_above => (true, rif as f32),
                Rule::HotCold { .. } => (false, latency_ms),
                Rule::Linear { unloaded_ms } => (false, 0.5 * latency_ms + 0.5 * rif as f32 * unloaded_ms),
                Rule::C3 { cores } => {
                    let (_, own, response) =
                        c3.iter().find(|(known, ..)| *known == server).copied().unwrap_or((server, 0.0, f32::NAN));
                    let queue = 1.0 + own * clients + rif as f32;
                    let service = latency_ms;
                    let response = if response.is_nan() { latency_ms } else { response };
                    (false, response - service + (queue / cores as f32).powi(3) * service)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::stream;

    fn peer(rule: Rule, answers: &[(u16, u32, f32)]) -> (Probed, Pcg64Mcg) {
        let (mut peer, mut rng) = (Probed::new(rule, 100), stream(1, 1));
        for (server, rif, latency_ms) in answers {
            peer.answered(ProbeAnswer { server: *server, rif: *rif, latency_ms: *latency_ms, at: 0 }, &mut rng);
        }
        (peer, rng)
    }

    fn pick(rule: Rule, answers: &[(u16, u32, f32)]) -> usize {
        let (mut peer, mut rng) = peer(rule, answers);
        peer.choose(&[0; 100], 1, 0, &mut rng)
    }

    #[test]
    fn prequal_takes_the_fastest_cold_one_and_the_least_loaded_where_all_are_hot() {
        let answers = [(1, 9, 1.0), (2, 2, 30.0), (3, 3, 20.0), (4, 3, 25.0), (5, 2, 40.0), (6, 1, 50.0), (7, 1, 60.0)];
        assert_eq!(pick(Rule::HotCold { quantile: 0.84 }, &answers), 3, "1 is hot, 3 the fastest cold");
        assert_eq!(pick(Rule::HotCold { quantile: 1.0 }, &answers), 1, "nobody is hot");
        assert_eq!(pick(Rule::HotCold { quantile: 0.0 }, &[(1, 5, 1.0), (2, 5, 2.0), (3, 5, 0.5)]), 3);
    }

    #[test]
    fn linear_weighs_both() {
        let answers = [(1, 1, 10.0), (2, 0, 25.0), (3, 9, 1.0)];
        assert_eq!(pick(Rule::Linear { unloaded_ms: 10.0 }, &answers), 1);
    }

    #[test]
    fn c3_punishes_queues_cubically() {
        let answers = [(1, 12, 10.0), (2, 2, 40.0), (3, 30, 5.0)];
        assert_eq!(pick(Rule::C3 { cores: 4.0 }, &answers), 2);
    }

    #[test]
    fn without_answers_the_choice_is_random_and_probes_are_distinct() {
        let (mut peer, mut rng) = peer(Rule::Linear { unloaded_ms: 10.0 }, &[]);
        assert!(peer.choose(&[0; 100], 1, 0, &mut rng) < 100);
        let mut probes = Vec::new();
        peer.probes(&mut rng, &mut probes);
        assert!(probes.len() == 3 && probes[0] != probes[1] && probes[1] != probes[2] && probes[0] != probes[2]);
    }
}
