//! The way of a request: to a proxy, to a server, and back; or to a timeout on the way.

use super::request::{Phase, Request};
use super::{Brain, EPOCH_US, Engine, NO_DECISION};
use crate::log::SimRow;
use crate::measures::End;
use crate::peers::oracle;
use crate::server::{Admission, Server};
use crate::workload::{Arrival, MILLISECOND};
use rand::RngExt;
use std::time::Duration;
use tailcast_balance::Decision;
use tailcast_features::outcome::ln_ms;
use tailcast_features::store::LoadReport;
use tailcast_features::{Outcome, OutcomeKind, RequestFacts, Tick};

impl Engine<'_> {
    /// Sends a request to a server; its slot, or none where there is no server.
    pub(super) fn dispatch(&mut self, arrival: &Arrival) -> Option<u32> {
        let (server, decision) = self.choose(arrival);
        let Some(server) = server else {
            // No endpoint at all: the proxy answers 503 itself.
            self.ends += 1;
            self.measures.ended(arrival.at, arrival.tenant, 0, 0, End::Refused);
            return None;
        };
        let slot = self.requests.insert(Request {
            arrived: arrival.at,
            dispatched: self.now,
            work: arrival.work,
            rif_at_arrival: 0,
            decision,
            tenant: arrival.tenant,
            generation: 0,
            reached: 0,
            server: server as u16,
            proxy: arrival.proxy,
            route: arrival.route,
            phase: Phase::Outbound,
            refused: false,
            client_gone: false,
            policy_logged: self.plan.log_rows > 0,
        });
        self.servers[server].inbound += 1;
        self.to_server.push_back((self.now + self.delay, slot));
        self.timeouts.push_back((self.now + self.timeout, slot, self.requests.get(slot).generation));
        Some(slot)
    }

    /// The server and the decision of the proxy at which a request arrived.
    pub(super) fn choose(&mut self, arrival: &Arrival) -> (Option<usize>, u32) {
        let (now, cell) = (self.now, &self.plan.cell);
        let proxy = &mut self.proxies[usize::from(arrival.proxy)];
        match &mut proxy.brain {
            Brain::Oracle { blind } => {
                let mean = self.plan.scenario.routes[usize::from(arrival.route)].work.mean_ms() * MILLISECOND;
                let known = if *blind { mean } else { arrival.work };
                let work = |server: &Server| {
                    let mut work = known * self.factors[usize::from(arrival.route)][server.class];
                    if let (Some(cache), Some(of)) = (&server.cache, self.plan.scenario.cache) {
                        work *= if cache.holds(arrival.tenant) { 1.0 } else { of.miss_factor };
                    }
                    work
                };
                let mut best = (f64::INFINITY, 0);
                let start = self.rng.random_range(0..self.present);
                for i in 0..self.present {
                    let slot = (start + i) % self.present;
                    self.servers[slot].advance(now);
                    let cost = oracle::cost(&self.servers[slot], work(&self.servers[slot]));
                    if cost < best.0 {
                        best = (cost, slot);
                    }
                }
                proxy.in_flight[best.1] += 1;
                (Some(best.1), NO_DECISION)
            }
            Brain::Peer(peer) => {
                let chosen = peer.choose(&proxy.in_flight, cell.proxies, now, &mut self.rng);
                peer.probes(&mut self.rng, &mut self.probe_targets);
                for server in &self.probe_targets {
                    self.probes_out.push_back((now + self.delay, arrival.proxy, *server));
                }
                self.probe_targets.clear();
                proxy.in_flight[chosen] += 1;
                (Some(chosen), NO_DECISION)
            }
            Brain::Production { balancer } => {
                for _ in 0..self.probes {
                    let server = self.rng.random_range(0..self.present) as u16;
                    self.probes_out.push_back((now + self.delay, arrival.proxy, server));
                }
                let mut draw = if self.plan.mix.is_empty() { 0.0 } else { self.rng.random::<f64>() };
                for (kind, share) in &self.plan.mix {
                    draw -= share;
                    if draw < 0.0 {
                        balancer.set_policy(*kind);
                        break;
                    }
                }
                let index = self.free_decisions.pop().unwrap_or_else(|| {
                    self.decisions.push(Decision::default());
                    (self.decisions.len() - 1) as u32
                });
                let decision = &mut self.decisions[index as usize];
                let facts = RequestFacts {
                    tenant: self.tenants[arrival.tenant as usize],
                    route: self.routes[usize::from(arrival.route)],
                    is_write: false,
                    body_bytes: if self.hidden { Some(0) } else { arrival.body_bytes },
                    priority: 0,
                    unix_us: EPOCH_US + (now / 1_000) as i64,
                };
                if balancer.decide(&facts, &[], Tick::from_nanos(now), decision).is_err() {
                    self.free_decisions.push(index);
                    return (None, NO_DECISION);
                }
                let key = decision.endpoint().map_or(0, |endpoint| endpoint.key());
                let place = self.keys.binary_search_by_key(&key, |(key, _)| *key).unwrap_or(0);
                (Some(usize::from(self.keys[place].1)), index)
            }
        }
    }

    pub(super) fn reach_server(&mut self) {
        let Some((_, slot)) = self.to_server.pop_front() else { return };
        let now = self.now;
        let request = self.requests.get_mut(slot);
        let server = &mut self.servers[usize::from(request.server)];
        server.inbound -= 1;
        if request.phase == Phase::Abandoned {
            self.requests.remove(slot);
            return;
        }
        let mut work = request.work * self.factors[usize::from(request.route)][server.class];
        if let (Some(cache), Some(of)) = (&mut server.cache, self.plan.scenario.cache)
            && !server.failing
            && !cache.touch(request.tenant)
        {
            work *= of.miss_factor;
        }
        request.rif_at_arrival = server.rif();
        request.reached = now;
        match server.arrive(slot, work, now) {
            Admission::Served => request.phase = Phase::AtServer,
            Admission::Refused => {
                request.phase = Phase::Inbound;
                request.refused = true;
                self.to_client.push_back((now + self.delay, slot));
            }
        }
        self.finishes.set(usize::from(request.server), server.next_finish());
    }

    pub(super) fn finish(&mut self, at: usize) {
        let now = self.now;
        let requests = &self.requests;
        let alive = |slot: u32| requests.get(slot).phase == Phase::AtServer;
        let ended = self.servers[at].finish(now, alive);
        if let Some((slot, live)) = ended {
            let request = self.requests.get_mut(slot);
            if live {
                let ms = (now - request.reached) as f32 * 1e-6;
                self.servers[at].latencies.record(request.rif_at_arrival, ms, now);
                if request.client_gone {
                    self.requests.remove(slot);
                } else {
                    request.phase = Phase::Inbound;
                    self.to_client.push_back((now + self.delay, slot));
                }
            } else {
                self.requests.remove(slot);
            }
        }
        let next = self.servers[at].next_finish();
        self.finishes.set(at, next);
    }

    pub(super) fn reach_client(&mut self) {
        let Some((_, slot)) = self.to_client.pop_front() else { return };
        let request = *self.requests.get(slot);
        if request.phase == Phase::Abandoned {
            self.requests.remove(slot);
            return;
        }
        let (kind, status, end) = if request.refused {
            (OutcomeKind::ServerError, 503, End::Refused)
        } else {
            (OutcomeKind::Success, 200, End::Answered)
        };
        self.end(slot, kind, status, end);
        self.requests.remove(slot);
    }

    pub(super) fn time_out(&mut self) {
        let Some((_, slot, generation)) = self.timeouts.pop_front() else { return };
        let request = *self.requests.get(slot);
        if request.generation != generation
            || matches!(request.phase, Phase::Free | Phase::Abandoned)
            || request.client_gone
        {
            return;
        }
        self.end(slot, OutcomeKind::Timeout, 504, End::TimedOut);
        let request = self.requests.get_mut(slot);
        if request.phase == Phase::AtServer && !self.plan.scenario.cancel_on_timeout {
            request.client_gone = true;
            return;
        }
        let was_at_server = request.phase == Phase::AtServer;
        request.phase = Phase::Abandoned;
        if was_at_server {
            let at = usize::from(request.server);
            let requests = &self.requests;
            self.servers[at].abandon(slot, self.now, |slot| requests.get(slot).phase == Phase::AtServer);
            let next = self.servers[at].next_finish();
            self.finishes.set(at, next);
        }
    }

    /// The client's end of a request: measures, the proxy's learning, the log.
    pub(super) fn end(&mut self, slot: u32, kind: OutcomeKind, status: u16, end: End) {
        let request = *self.requests.get(slot);
        let (at, now) = (usize::from(request.server), self.now);
        // The client counts its wait at the door, the proxy what the server took.
        let nanos = now - request.dispatched;
        self.ends += 1;
        self.measures.ended(request.arrived, request.tenant, self.servers[at].class, now - request.arrived, end);
        let proxy = &mut self.proxies[usize::from(request.proxy)];
        match &mut proxy.brain {
            Brain::Production { balancer } => {
                let decision = &mut self.decisions[request.decision as usize];
                let outcome = Outcome { kind, status, latency: Duration::from_nanos(nanos) };
                let tick = Tick::from_nanos(now);
                balancer.finish(decision, &outcome, tick);
                if self.plan.cell.piggyback && self.reported && end == End::Answered {
                    // As of the server's departure: one network delay ago.
                    let report = report_of(&self.servers[at]);
                    balancer.report(proxy.endpoints[at].key(), report, tick);
                }
                if request.policy_logged {
                    let row = SimRow {
                        arrived: request.arrived,
                        tenant: request.tenant,
                        route: request.route,
                        server: request.server,
                        propensity: decision.propensity(),
                        outcome: kind,
                        ln_ms: ln_ms(outcome.latency),
                    };
                    self.log.push(row, decision.features());
                }
                self.free_decisions.push(request.decision);
            }
            Brain::Peer(peer) => {
                proxy.in_flight[at] -= 1;
                if end != End::Refused {
                    peer.finished(at, nanos as f32 * 1e-6);
                }
            }
            Brain::Oracle { .. } => proxy.in_flight[at] -= 1,
        }
        self.leave(slot, request.proxy, end != End::Refused);
    }
}

fn report_of(server: &Server) -> LoadReport {
    let rif = server.rif() as f32;
    LoadReport { in_flight: rif, utilisation: (rif / server.full_cores as f32).min(1.0) }
}
