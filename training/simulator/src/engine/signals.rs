//! What is not a request: probes, polls, load reports, and changes at a time.

use super::timed::Timed;
use super::{Brain, Engine, Retrain};
use crate::peers::{Polled, ProbeAnswer};
use crate::server::Server;
use crate::workload::{MILLISECOND, SECOND};
use std::sync::Arc;
use tailcast_features::Tick;
use tailcast_features::store::LoadReport;

/// What a replica that answers probes reports as its `application_utilization` (ORCA leaves its meaning to the
/// application): its own estimate of latency at its load, over that of an idle one. So a probe of ours carries the two
/// numbers that one of Prequal's does, and no more. NaN before the first request.
fn application_utilisation(latency_ms: f32, unloaded_ms: f32) -> f32 {
    if latency_ms > 0.0 { latency_ms / unloaded_ms } else { f32::NAN }
}

impl Engine<'_> {
    pub(super) fn reach_with_probe(&mut self) {
        let Some((_, proxy, server)) = self.probes_out.pop_front() else { return };
        let of = &self.servers[usize::from(server)];
        // An overloaded or failing replica does not answer probes well: a failing one is silent.
        if of.failing {
            return;
        }
        let rif = of.rif();
        let latency_ms = of.latencies.estimate(rif, self.now);
        let answer = ProbeAnswer { server, rif, latency_ms, at: self.now };
        self.probes_back.push_back((self.now + self.delay + self.signal_delay + self.probe_delay, proxy, answer));
    }

    pub(super) fn take_answer(&mut self) {
        let Some((_, proxy, answer)) = self.probes_back.pop_front() else { return };
        let proxy = &mut self.proxies[usize::from(proxy)];
        match &mut proxy.brain {
            Brain::Peer(peer) => peer.answered(answer, &mut self.rng),
            Brain::Production { balancer } => {
                let utilisation = application_utilisation(answer.latency_ms, self.unloaded_ms);
                let report = LoadReport { in_flight: answer.rif as f32, utilisation };
                balancer.report(proxy.endpoints[usize::from(answer.server)].key(), report, Tick::from_nanos(self.now));
            }
            Brain::Oracle { .. } => {}
        }
    }

    pub(super) fn take_reports(&mut self) {
        let Some((_, reports)) = self.reports.pop_front() else { return };
        let tick = Tick::from_nanos(self.now);
        for proxy in &mut self.proxies {
            if let Brain::Production { balancer } = &mut proxy.brain {
                for (endpoint, report) in proxy.endpoints.iter().zip(&reports) {
                    balancer.report(endpoint.key(), *report, tick);
                }
            }
        }
    }

    pub(super) fn change(&mut self, retrain: Retrain<'_>) {
        let Some(change) = self.timeline.pop() else { return };
        let now = self.now;
        let again = now < self.until;
        match change {
            Timed::BrownOut { first, count, factor } => {
                self.alter(first..first + count, |server| server.brown_out = factor)
            }
            Timed::Failing { first, count, failing } => {
                self.alter(first..first + count, |server| server.failing = failing)
            }
            Timed::Warm { server, factor } => self.alter(server..server + 1, |server| server.warmth = factor),
            Timed::Antagonist { server, on } => {
                let Some(other) = self.plan.scenario.antagonists else { return };
                let (cores, speed) = if on { (other.guarantee, other.speed) } else { (other.spill, 1.0) };
                self.alter(server..server + 1, |server| {
                    server.cores = server.full_cores * cores;
                    server.contention = speed;
                });
            }
            Timed::SwapClasses { route } => self.factors[route].reverse(),
            Timed::Join { servers } => {
                self.present = servers;
                for proxy in &mut self.proxies {
                    match &mut proxy.brain {
                        Brain::Production { balancer } => {
                            balancer.set_endpoints(proxy.endpoints[..servers].to_vec(), Tick::from_nanos(now));
                        }
                        Brain::Peer(peer) => peer.set_servers(servers),
                        Brain::Oracle { .. } => {}
                    }
                }
            }
            Timed::Poll if again => self.poll(),
            Timed::Report if again => self.report(),
            Timed::Retrain if again => {
                if let Some(model) = retrain(&self.log) {
                    self.refits += 1;
                    for proxy in &mut self.proxies {
                        if let Brain::Production { balancer } = &mut proxy.brain {
                            balancer.set_model(Some(Arc::clone(&model)));
                        }
                    }
                }
                let period = self.plan.scenario.training.retrain_every_secs;
                self.timeline.push(now + (period * SECOND) as u64, Timed::Retrain);
            }
            Timed::Poll | Timed::Report | Timed::Retrain => {}
        }
    }

    pub(super) fn alter(&mut self, range: std::ops::Range<usize>, change: impl Fn(&mut Server)) {
        for at in range {
            let Some(server) = self.servers.get_mut(at) else { continue };
            server.advance(self.now);
            change(server);
            self.finishes.set(at, server.next_finish());
        }
    }

    /// A poll of all servers for the peers that need one; all proxies poll at the same instant.
    pub(super) fn poll(&mut self) {
        let now = self.now;
        let mut polled = Vec::with_capacity(self.present);
        for (server, last) in self.servers.iter_mut().zip(&mut self.last_poll).take(self.present) {
            server.advance(now);
            let (busy, completed) = (server.busy_core_nanos(), server.completed);
            let secs = (now - last.2) as f64 / SECOND;
            polled.push(Polled {
                rif: server.rif(),
                goodput: (completed - last.1) as f64 / secs.max(1e-9),
                // Of its allocation, which is what a server knows of itself; what the machine has left it does not see.
                utilisation: (busy - last.0) / ((now - last.2).max(1) as f64 * server.full_cores),
            });
            *last = (busy, completed, now);
        }
        let mut period = None;
        for proxy in &mut self.proxies {
            if let Brain::Peer(peer) = &mut proxy.brain {
                peer.polled(&polled, &mut self.rng);
                period = peer.poll_period();
            }
        }
        if let Some(period) = period {
            self.timeline.push(now + period, Timed::Poll);
        }
    }

    /// Load reports of all servers to all proxies.
    pub(super) fn report(&mut self) {
        let now = self.now;
        let mut reports = Vec::with_capacity(self.present);
        for (server, last) in self.servers.iter_mut().zip(&mut self.last_report).take(self.present) {
            server.advance(now);
            let busy = server.busy_core_nanos();
            let utilisation = if self.plan.scenario.probes > 0 {
                application_utilisation(server.latencies.estimate(server.rif(), now), self.unloaded_ms)
            } else {
                ((busy - last.0) / ((now - last.1).max(1) as f64 * server.full_cores)) as f32
            };
            reports.push(LoadReport { in_flight: server.rif() as f32, utilisation });
            *last = (busy, now);
        }
        self.reports.push_back((now + self.delay + self.signal_delay, reports));
        self.timeline.push(now + (self.plan.cell.report_period_ms * MILLISECOND) as u64, Timed::Report);
    }
}
