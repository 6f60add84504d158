//! The event loop of one run.
//!
//! Delays of the network are constant, so messages on the way are queues in order of arrival and need no heap; the
//! servers' next finishes are a tournament; only changes by the clock are in a heap. A request costs one arrival, one
//! event at the server, one finish and one answer, and allocates nothing once the buffers have grown.

mod door;
mod flow;
mod next;
pub(crate) mod proxy;
pub(crate) mod request;
mod signals;
pub(crate) mod timed;

use crate::chance::stream;
use crate::error::SimError;
use crate::log::SimLog;
use crate::measures::Measures;
use crate::peers::ProbeAnswer;
use crate::policy::{Part, Policy};
use crate::scenario::{Cell, Scenario};
use crate::server::{Discipline, Server};
use crate::workload::{MILLISECOND, SECOND, Workload, tenant_count};
use door::Doors;
use next::Tournament;
use proxy::{Brain, Proxy, server_name};
use rand_pcg::Pcg64Mcg;
use request::Requests;
use std::collections::VecDeque;
use std::sync::Arc;
use tailcast_balance::{BalancerOptions, Decision, PolicyKind};
use tailcast_features::hash::hash_name;
use tailcast_features::store::LoadReport;
use tailcast_model::Model;
use timed::{Timed, Timeline};

/// No decision belongs to a request.
const NO_DECISION: u32 = u32::MAX;

/// Wall-clock start of every simulation: 2026-01-01 00:00 UTC, microseconds since the Unix epoch.
pub(crate) const EPOCH_US: i64 = 1_767_225_600_000_000;

/// What one run is.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) cell: Cell,
    pub(crate) policy: Policy,
    pub(crate) base: BalancerOptions,
    pub(crate) seed: u64,
    pub(crate) model: Option<Arc<Model>>,
    /// Rows to log; 0 none.
    pub(crate) log_rows: usize,
    /// Policies that take turns by chance while logging: kind and share.
    pub(crate) mix: Vec<(PolicyKind, f64)>,
    pub(crate) by_second: bool,
}

/// What one run gives.
pub(crate) struct RunResult {
    pub(crate) measures: Measures,
    pub(crate) log: SimLog,
    /// Requests that arrived; only the tests count these three.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) arrivals: u64,
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) ends: u64,
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) in_flight_left: usize,
    pub(crate) refits: u32,
}

/// Retrains on the log so far; `None` keeps the model.
pub(crate) type Retrain<'a> = &'a mut dyn FnMut(&SimLog) -> Option<Arc<Model>>;

struct Engine<'a> {
    plan: &'a RunPlan<'a>,
    now: u64,
    servers: Vec<Server>,
    factors: Vec<Vec<f64>>,
    present: usize,
    proxies: Vec<Proxy>,
    doors: Doors,
    requests: Requests,
    decisions: Vec<Decision>,
    free_decisions: Vec<u32>,
    keys: Vec<(u64, u16)>,
    tenants: Vec<u64>,
    routes: Vec<u64>,
    finishes: Tournament,
    to_server: VecDeque<(u64, u32)>,
    to_client: VecDeque<(u64, u32)>,
    timeouts: VecDeque<(u64, u32, u32)>,
    probes_out: VecDeque<(u64, u16, u16)>,
    probes_back: VecDeque<(u64, u16, ProbeAnswer)>,
    reports: VecDeque<(u64, Vec<LoadReport>)>,
    timeline: Timeline,
    delay: u64,
    signal_delay: u64,
    probe_delay: u64,
    timeout: u64,
    measures: Measures,
    log: SimLog,
    rng: Pcg64Mcg,
    probe_targets: Vec<u16>,
    last_poll: Vec<(f64, u64, u64)>,
    last_report: Vec<(f64, u64)>,
    arrivals: u64,
    ends: u64,
    refits: u32,
    until: u64,
    hidden: bool,
    /// Probes that a production proxy sends for each request.
    probes: usize,
    /// Whether load reports come to it.
    reported: bool,
    unloaded_ms: f32,
}

/// Runs one policy on one seed.
///
/// # Errors
/// The trace cannot be read.
pub(crate) fn run(plan: &RunPlan<'_>, retrain: Retrain<'_>) -> Result<RunResult, SimError> {
    let until_secs = plan.scenario.warmup_secs + plan.scenario.measure_secs;
    let mut workload = Workload::new(plan.scenario, &plan.cell, plan.seed, until_secs)?;
    let mut engine = Engine::new(plan, until_secs);
    let mut arrival = workload.next();
    loop {
        let (finish_at, finish_server) = engine.finishes.first();
        let sources = [
            engine.timeline.next_at(),
            arrival.as_ref().map_or(u64::MAX, |arrival| arrival.at),
            engine.to_server.front().map_or(u64::MAX, |message| message.0),
            finish_at,
            engine.to_client.front().map_or(u64::MAX, |message| message.0),
            engine.timeouts.front().map_or(u64::MAX, |timeout| timeout.0),
            engine.probes_out.front().map_or(u64::MAX, |message| message.0),
            engine.probes_back.front().map_or(u64::MAX, |message| message.0),
            engine.reports.front().map_or(u64::MAX, |message| message.0),
            engine.doors.next_at(),
        ];
        let (mut source, mut at) = (0, sources[0]);
        for (i, time) in sources.iter().enumerate().skip(1) {
            if *time < at {
                (source, at) = (i, *time);
            }
        }
        if arrival.is_none() && engine.requests.live() == 0 {
            break;
        }
        engine.now = at;
        match source {
            0 => engine.change(retrain),
            1 => {
                if let Some(arrival) = arrival.take() {
                    engine.knock(&arrival);
                }
                arrival = workload.next();
            }
            2 => engine.reach_server(),
            3 => engine.finish(finish_server),
            4 => engine.reach_client(),
            5 => engine.time_out(),
            6 => engine.reach_with_probe(),
            7 => engine.take_answer(),
            8 => engine.take_reports(),
            _ => engine.wait_ends(),
        }
    }
    Ok(RunResult {
        measures: engine.measures,
        log: engine.log,
        arrivals: engine.arrivals,
        ends: engine.ends,
        in_flight_left: engine
            .proxies
            .iter()
            .flat_map(|proxy| &proxy.endpoints)
            .map(|e| e.in_flight() as usize)
            .sum::<usize>()
            + engine.proxies.iter().flat_map(|proxy| &proxy.in_flight).map(|count| *count as usize).sum::<usize>()
            + engine.servers.iter().map(|server| server.rif() as usize).sum::<usize>()
            + engine.doors.left(),
        refits: engine.refits,
    })
}

impl<'a> Engine<'a> {
    fn new(plan: &'a RunPlan<'a>, until_secs: f64) -> Self {
        let scenario = plan.scenario;
        let nanos = |secs: f64| (secs * SECOND) as u64;
        let mut servers = Vec::new();
        let mut present = 0;
        for (class, of) in scenario.classes.iter().enumerate() {
            let discipline = match of.fifo {
                Some((workers, queue)) => Discipline::Fifo { workers, queue },
                None => Discipline::ProcessorSharing,
            };
            let cache = scenario.cache.map(|cache| cache.tenants);
            servers.extend((0..of.count).map(|_| Server::new(class, discipline, of.cores, of.speed, cache)));
            present += if of.joins_at_secs.is_none() { of.count } else { 0 };
        }
        let mut timeline = Timeline::of(scenario, plan.seed);
        let proxies: Vec<Proxy> = (0..plan.cell.proxies)
            .map(|i| {
                let seed = tailcast_features::hash::mix(plan.seed, 50 + i as u64);
                Proxy::new(plan.policy, &plan.base, scenario, present, plan.model.as_ref(), seed)
            })
            .collect();
        if let Some(Brain::Peer(peer)) = proxies.first().map(|proxy| &proxy.brain)
            && let Some(period) = peer.poll_period()
        {
            timeline.push(period, Timed::Poll);
        }
        let reported = plan.policy != Policy::Without(Part::Reports);
        if plan.cell.report_period_ms > 0.0 && reported {
            timeline.push((plan.cell.report_period_ms * MILLISECOND) as u64, Timed::Report);
        }
        if scenario.training.retrain_every_secs > 0.0 && plan.log_rows > 0 && plan.mix.is_empty() {
            timeline.push(nanos(scenario.training.retrain_every_secs), Timed::Retrain);
        }
        let mut keys: Vec<(u64, u16)> = (0..servers.len()).map(|i| (hash_name(&server_name(i)), i as u16)).collect();
        keys.sort_unstable();
        let hidden = plan.policy == Policy::PredictiveHidden;
        Self {
            finishes: Tournament::new(servers.len()),
            factors: scenario.routes.iter().map(|route| route.class_factor.clone()).collect(),
            tenants: (0..tenant_count(scenario)).map(|t| hash_name(&tenant_name(if hidden { 0 } else { t }))).collect(),
            routes: scenario.routes.iter().map(|r| hash_name(if hidden { "/" } else { &r.path })).collect(),
            last_poll: vec![(0.0, 0, 0); servers.len()],
            last_report: vec![(0.0, 0); servers.len()],
            servers,
            present,
            doors: Doors::new(scenario.admission, proxies.len()),
            proxies,
            keys,
            timeline,
            now: 0,
            requests: Requests::default(),
            decisions: Vec::new(),
            free_decisions: Vec::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            timeouts: VecDeque::new(),
            probes_out: VecDeque::new(),
            probes_back: VecDeque::new(),
            reports: VecDeque::new(),
            delay: (scenario.network_delay_ms * MILLISECOND) as u64,
            signal_delay: (scenario.signal_delay_ms * MILLISECOND) as u64,
            probe_delay: if scenario.stale_probes {
                (plan.cell.report_period_ms * 0.5 * MILLISECOND) as u64
            } else {
                0
            },
            timeout: (scenario.timeout_ms * MILLISECOND) as u64,
            measures: Measures::new(scenario, plan.by_second),
            log: SimLog::new(plan.log_rows),
            rng: stream(plan.seed, 3),
            probe_targets: Vec::new(),
            arrivals: 0,
            ends: 0,
            refits: 0,
            until: nanos(until_secs),
            hidden,
            probes: if plan.policy == Policy::Without(Part::Probes) { 0 } else { scenario.probes },
            reported,
            unloaded_ms: scenario.unloaded_ms(),
            plan,
        }
    }
}

/// Name of a tenant.
pub(crate) fn tenant_name(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

#[cfg(test)]
mod tests;
