//! Training from a trace that Tailcast never wrote.
//!
//! The trace's requests are replayed in event order – arrivals and completions from one queue – through the same
//! [`FeatureStore`] that serves, so its rows are what a proxy in that place would have logged. In-flight counts
//! come from the overlap of the requests. Two things are not in such a trace and are estimated: the candidates
//! (endpoints of the pool that served lately) and the propensities (each endpoint's share of the route's recent
//! requests, with one request added to each so that none is zero). Rejected: computing features over the whole
//! trace with window functions: it would be a second definition of every feature, and they would drift apart.

mod candidates;
mod pools;

use crate::dataset::{Dataset, DatasetRow, Propensities};
use crate::error::TrainError;
use candidates::RecentChoices;
use pools::Pools;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use tailcast_datasets::{Trace, TraceRow};
use tailcast_features::hash::hash_name;
use tailcast_features::outcome::ln_ms;
use tailcast_features::store::{Load, StoreLimits};
use tailcast_features::{
    EndpointFacts, FEATURE_COUNT, FeatureStore, Outcome, OutcomeKind, RequestFacts, RequestView, Row, Tick,
};

/// The policy name of rows from a trace.
pub const RECORDED_POLICY: &str = "recorded";

/// One request in so many carries the features of all its candidates, as in a proxy's log.
const SAMPLE_EVERY: usize = 8;

/// Status that nginx logs where the client went away; the importers use it for all recorders.
const CLIENT_CLOSED: u16 = 499;

/// Status of a proxy whose endpoint did not answer in time.
const GATEWAY_TIMEOUT: u16 = 504;

/// What became of the trace's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceReport {
    /// Rows in the trace.
    pub rows: usize,
    /// Rows that became training rows.
    pub used: usize,
    /// Rows left out because they name no endpoint.
    pub without_endpoint: usize,
    /// Rows left out because they have an endpoint and no latency.
    pub without_latency: usize,
    /// Pools found: endpoints that ever served a common route are one pool.
    pub pools: usize,
    /// Pools of one endpoint: their rows teach latencies, and leave a router nothing to choose.
    pub single_endpoint_pools: usize,
    /// Endpoints found.
    pub endpoints: usize,
    /// What is estimated and not recorded.
    pub note: String,
}

/// Replays a trace into training rows, in order of arrival.
///
/// # Errors
/// No row has both an endpoint and a latency; the message says which is missing.
pub fn dataset_from_trace(trace: &Trace) -> Result<(Dataset, TraceReport), TrainError> {
    replay(trace.rows())
}

/// A trace row that can teach.
struct Served<'a> {
    row: &'a TraceRow,
    endpoint: &'a str,
    outcome: Outcome,
    at: Tick,
}

/// A request in service: ordered by its end, then by its number, so that equal ends have one order.
type InService = Reverse<(u64, usize)>;

fn replay(rows: &[TraceRow]) -> Result<(Dataset, TraceReport), TrainError> {
    let (served, mut report) = served(rows)?;
    let pools = Pools::of(served.iter().map(|served| (&*served.row.route, served.endpoint)));
    report.pools = pools.len();
    report.single_endpoint_pools = (0..pools.len()).filter(|pool| pools.endpoints(*pool).len() == 1).count();
    report.endpoints = pools.endpoint_count();
    let mut state: Vec<PoolState> = (0..pools.len()).map(|pool| PoolState::new(&pools, pool)).collect();
    let mut ends: BinaryHeap<InService> = BinaryHeap::new();
    let mut open: Vec<Option<(RequestView, usize, usize)>> = Vec::with_capacity(served.len());
    let mut dataset = Dataset::with_capacity(served.len(), Propensities::Estimated);
    for (number, request) in served.iter().enumerate() {
        // A request that ends in the same microsecond has ended when the next one is routed.
        while let Some(Reverse((end, ended))) =
            ends.peek().copied().filter(|Reverse((end, _))| *end <= request.at.nanos())
        {
            ends.pop();
            if let (Some(Some((view, pool, slot))), Some(ended)) = (open.get(ended), served.get(ended)) {
                state[*pool].completed(view, *slot, ended, Tick::from_nanos(end));
            }
        }
        let Some((pool, slot)) = pools.place(request.endpoint) else {
            open.push(None);
            continue;
        };
        let view = state[pool].dispatched(&mut dataset, request, slot, number, pools.name(pool));
        ends.push(Reverse((request.at.after(request.outcome.latency).nanos(), number)));
        open.push(Some((view, pool, slot)));
    }
    Ok((dataset, report))
}

fn served(rows: &[TraceRow]) -> Result<(Vec<Served<'_>>, TraceReport), TrainError> {
    let mut report = TraceReport {
        rows: rows.len(),
        note: "candidates and propensities are estimated from what was served lately".to_owned(),
        ..TraceReport::default()
    };
    let mut usable: Vec<&TraceRow> = Vec::with_capacity(rows.len());
    for row in rows {
        match (row.endpoint.as_deref().filter(|name| !name.is_empty()), row.latency_us) {
            (None, _) => report.without_endpoint += 1,
            (Some(_), None) => report.without_latency += 1,
            (Some(_), Some(latency)) if latency > crate::checks::MAX_LATENCY_US => report.without_latency += 1,
            (Some(_), Some(_)) => usable.push(row),
        }
    }
    report.used = usable.len();
    if usable.is_empty() {
        let mut missing = Vec::new();
        if report.without_endpoint > 0 || rows.is_empty() {
            missing.push(format!("the column endpoint is missing in {} rows", report.without_endpoint));
        }
        let without_latency = rows.iter().filter(|row| row.latency_us.is_none()).count();
        if without_latency > 0 || rows.is_empty() {
            missing.push(format!("the column latency_us is missing in {without_latency} rows"));
        }
        return Err(TrainError::TraceLacks { rows: rows.len(), missing: missing.join(" and ") });
    }
    usable.sort_by_key(|row| row.arrival_us);
    let start = usable.first().map_or(0, |row| row.arrival_us);
    let served = usable
        .into_iter()
        .map(|row| Served {
            row,
            endpoint: row.endpoint.as_deref().unwrap_or(""),
            outcome: Outcome {
                kind: outcome(row.status),
                status: row.status.unwrap_or(0),
                latency: Duration::from_micros(row.latency_us.unwrap_or(0)),
            },
            at: Tick::from_nanos(row.arrival_us.abs_diff(start).saturating_mul(1_000)),
        })
        .collect();
    Ok((served, report))
}

/// A trace without status recorded only what worked.
fn outcome(status: Option<u16>) -> OutcomeKind {
    match status {
        None => OutcomeKind::Success,
        Some(0) => OutcomeKind::ConnectionError,
        Some(CLIENT_CLOSED) => OutcomeKind::ClientAbort,
        Some(GATEWAY_TIMEOUT) => OutcomeKind::Timeout,
        Some(status) => OutcomeKind::of_status(status),
    }
}

/// Everything that one pool remembers while the trace runs.
struct PoolState {
    store: FeatureStore,
    keys: Vec<u64>,
    in_flight: Vec<u32>,
    recent: RecentChoices,
}

impl PoolState {
    fn new(pools: &Pools, pool: usize) -> Self {
        let keys: Vec<u64> = pools.endpoints(pool).iter().map(|name| hash_name(name)).collect();
        let facts: Vec<EndpointFacts> =
            keys.iter().map(|key| EndpointFacts { key: *key, weight: 1.0, zone_local: None }).collect();
        Self {
            store: FeatureStore::new(&facts, limits(pools.len()), Tick::ZERO),
            in_flight: vec![0; keys.len()],
            recent: RecentChoices::new(keys.len()),
            keys,
        }
    }

    fn load(&self, slot: usize) -> Load {
        let total: u32 = self.in_flight.iter().sum();
        Load { in_flight: self.in_flight[slot], pool_mean: total as f32 / self.in_flight.len() as f32 }
    }

    fn row(&self, view: &RequestView, slot: usize, at: Tick) -> Row {
        let mut row = [f32::NAN; FEATURE_COUNT];
        self.store.row(view, slot, self.load(slot), at, &mut row);
        row
    }

    /// Writes the row of a request as the policy would have seen it, then counts it in.
    fn dispatched(
        &mut self,
        dataset: &mut Dataset,
        request: &Served<'_>,
        slot: usize,
        number: usize,
        pool: &str,
    ) -> RequestView {
        let row = request.row;
        let facts = RequestFacts::new(&row.tenant, &row.route, &row.method, row.request_bytes, row.arrival_us);
        let view = self.store.view(&facts, request.at);
        let (slots, candidates) = self.recent.candidates(facts.route, slot, request.at, &self.keys);
        let propensity = slots
            .iter()
            .position(|candidate| *candidate == slot)
            .and_then(|position| candidates.get(position))
            .map_or(1.0, |candidate| candidate.propensity);
        let rows: Option<Arc<[Row]>> = (number.is_multiple_of(SAMPLE_EVERY) && slots.len() > 1)
            .then(|| slots.iter().map(|candidate| self.row(&view, *candidate, request.at)).collect());
        let logged = DatasetRow {
            arrival_us: row.arrival_us,
            pool,
            tenant: &row.tenant,
            route: &row.route,
            policy: RECORDED_POLICY,
            endpoint: request.endpoint,
            propensity,
            outcome: request.outcome.kind,
            ln_ms: ln_ms(request.outcome.latency),
        };
        dataset.push(&logged, &self.row(&view, slot, request.at), candidates, rows);
        self.store.dispatched(slot, request.at);
        self.in_flight[slot] += 1;
        self.recent.chosen(facts.route, slot, request.at);
        view
    }

    fn completed(&mut self, view: &RequestView, slot: usize, request: &Served<'_>, end: Tick) {
        self.in_flight[slot] = self.in_flight[slot].saturating_sub(1);
        self.store.completed(view, self.keys[slot], request.at, &request.outcome, end);
    }
}

/// Pools up to which each has the full limits of a proxy; beyond, they share them, so that a trace of a thousand
/// services still fits into memory.
const POOLS_AT_FULL_SIZE: usize = 16;

fn limits(pools: usize) -> StoreLimits {
    let full = StoreLimits::default();
    let share = pools.div_ceil(POOLS_AT_FULL_SIZE).max(1);
    let of = |limit: usize| (limit / share).max(64);
    StoreLimits { tenants: of(full.tenants), routes: of(full.routes), pairs: of(full.pairs) }
}

#[cfg(test)]
mod tests;
