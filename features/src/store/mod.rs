//! The online feature store: what a proxy remembers of endpoints, tenants, routes and pairs, and the rows it
//! makes of that.
//!
//! Call order for one request: [`FeatureStore::view`] once, [`FeatureStore::columns`] for all candidates (or
//! [`FeatureStore::row`] for one of them), [`FeatureStore::dispatched`] for the chosen endpoint,
//! [`FeatureStore::completed`] when it ends. Nothing else changes the state, so replaying the same events gives bit-equal rows: that is what the parity test does, and
//! how a recorded trace becomes training rows.
//!
//! A store belongs to one core. In-flight counts that span cores are handed in as [`Load`].

mod cost;
mod endpoint;
mod lanes;
mod request;

pub use endpoint::{EndpointFacts, LoadReport};
pub use request::{RequestFacts, RequestView};

use crate::columns::{Columns, FIRST_OWN, Lane, OWN};
use crate::decay::Memory;
use crate::lanes::{LANES, Loop, MeanLanes, block_of, run};
use crate::outcome::Outcome;
use crate::pairs::Pairs;
use crate::schema::{FEATURE_COUNT, Row, index};
use crate::tick::Tick;
use cost::Costs;
use endpoint::EndpointState;
use lanes::EndpointLanes;

/// Memory of pair residuals: a pair at one request a second keeps two minutes; never more than 40 requests, so
/// that a cache that was lost is noticed within tens of requests.
const PAIR_MEMORY: Memory = Memory { half_life_secs: 120.0, max_requests: 40.0 };

/// Requests of evidence that an endpoint's own residual counts for against a pair's.
const PAIR_PRIOR: f32 = 2.0;

/// Bounds of a store.
#[derive(Debug, Clone, Copy)]
pub struct StoreLimits {
    /// Tenants remembered.
    pub tenants: usize,
    /// Routes remembered.
    pub routes: usize,
    /// (tenant, route), (tenant, endpoint) and (route, endpoint) pairs remembered, each; those of endpoints in blocks of
    /// neighbours that are taken to be half full.
    pub pairs: usize,
}

impl Default for StoreLimits {
    /// About 5 MiB a core: thousands of tenants on tens of endpoints.
    fn default() -> Self {
        Self { tenants: 8_192, routes: 1_024, pairs: 32_768 }
    }
}

/// Requests in flight, summed over cores by the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// On this endpoint.
    pub in_flight: u32,
    /// Mean over the endpoints of the pool.
    pub pool_mean: f32,
}

/// The state of one pool on one core.
#[derive(Debug, Clone)]
pub struct FeatureStore {
    costs: Costs,
    tenant_endpoints: Pairs,
    route_endpoints: Pairs,
    endpoints: Vec<EndpointState>,
    /// What rows need of the endpoints, by slot.
    lanes: Vec<EndpointLanes>,
    keys: Vec<u64>,
}

impl FeatureStore {
    /// An empty store for a pool of endpoints, in slot order.
    pub fn new(endpoints: &[EndpointFacts], limits: StoreLimits, now: Tick) -> Self {
        let mut store = Self {
            costs: Costs::new(limits),
            tenant_endpoints: Pairs::new(limits.pairs),
            route_endpoints: Pairs::new(limits.pairs),
            endpoints: Vec::new(),
            lanes: Vec::new(),
            keys: Vec::new(),
        };
        store.set_endpoints(endpoints, now);
        store
    }

    /// Replaces the endpoints of the pool. An endpoint that stays (same key) keeps its state and its pairs, whatever slot
    /// it had; weight and zone are taken from the new facts. One that leaves is forgotten.
    pub fn set_endpoints(&mut self, endpoints: &[EndpointFacts], now: Tick) {
        let old_slots: Vec<Option<usize>> = endpoints.iter().map(|facts| self.slot_of(facts.key)).collect();
        self.tenant_endpoints.remap(&old_slots, self.endpoints.len());
        self.route_endpoints.remap(&old_slots, self.endpoints.len());
        let old = std::mem::take(&mut self.endpoints);
        let mean_weight = mean(endpoints.iter().map(|facts| facts.weight));
        self.endpoints = endpoints
            .iter()
            .zip(&old_slots)
            .map(|(facts, slot)| {
                let known = slot.and_then(|slot| old.get(slot)).cloned();
                let mut state = known.unwrap_or_else(|| EndpointState::new(now));
                state.set_facts(facts, mean_weight);
                state
            })
            .collect();
        self.keys = endpoints.iter().map(|facts| facts.key).collect();
        self.lanes.clear();
        self.lanes.resize(endpoints.len().div_ceil(LANES), EndpointLanes::default());
        for slot in 0..endpoints.len() {
            self.refresh(slot);
        }
    }

    /// Writes what rows need of an endpoint after it has changed.
    fn refresh(&mut self, slot: usize) {
        if let (Some(state), Some(lanes)) = (self.endpoints.get(slot), self.lanes.get_mut(slot / LANES)) {
            lanes.copy(slot % LANES, &state.lane(), 0);
        }
    }

    /// Keys of the endpoints, by slot.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The slot of the endpoint with this key.
    pub fn slot_of(&self, key: u64) -> Option<usize> {
        self.keys.iter().position(|known| *known == key)
    }

    /// Number of endpoints.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// What all candidates of one decision have in common.
    pub fn view(&self, facts: &RequestFacts, now: Tick) -> RequestView {
        self.costs.view(facts, now)
    }

    /// Writes the feature row of `slot` for a request. Out-of-range slots give an all-missing row.
    pub fn row(&self, view: &RequestView, slot: usize, load: Load, now: Tick, row: &mut Row) {
        *row = shared(view, load.pool_mean);
        let Some(lanes) = self.lanes.get(slot / LANES).filter(|_| slot < self.endpoints.len()) else { return };
        let mut endpoint = EndpointLanes::<1>::default();
        endpoint.copy(0, lanes, slot % LANES);
        let mut own: Lane<1> = [[f32::NAN]; OWN];
        let of = |pairs: &Pairs, owner| {
            let mut pair = MeanLanes::<1>::default();
            pair.set(0, pairs.block(owner, slot / LANES).map(|block| block.get(slot % LANES)).unwrap_or_default());
            pair
        };
        let tenant = of(&self.tenant_endpoints, view.tenant());
        let route = of(&self.route_endpoints, view.route());
        endpoint.derive(&tenant, &route, &[load.in_flight as f32], now, &mut own);
        row[FIRST_OWN..].copy_from_slice(own.as_flattened());
    }

    /// Writes the features of a request on each of `slots`, which ascend: the same values as [`FeatureStore::row`].
    /// `in_flight` is by slot.
    pub fn columns(
        &self,
        view: &RequestView,
        slots: &[usize],
        in_flight: &[u32],
        pool_mean: f32,
        now: Tick,
        out: &mut Columns,
    ) {
        run(Derive { store: self, view, slots, in_flight, pool_mean, now, out });
    }

    /// What rows need of some endpoints that are no neighbours.
    #[inline(never)]
    fn gather(&self, slots: &[usize]) -> EndpointLanes {
        let mut gathered = EndpointLanes::default();
        for (lane, slot) in slots.iter().enumerate() {
            if let Some(lanes) = self.lanes.get(slot / LANES) {
                gathered.copy(lane, lanes, slot % LANES);
            }
        }
        gathered
    }

    /// Notes that a request went to `slot`.
    pub fn dispatched(&mut self, slot: usize, now: Tick) {
        if let Some(endpoint) = self.endpoints.get_mut(slot) {
            endpoint.dispatched(now);
            self.refresh(slot);
        }
    }

    /// Notes how a request ended that was dispatched to the endpoint with this key at `dispatched_at`. An
    /// endpoint that has left the pool meanwhile still teaches the request costs.
    pub fn completed(&mut self, view: &RequestView, endpoint: u64, dispatched_at: Tick, outcome: &Outcome, now: Tick) {
        let ln_ms = outcome.ln_ms();
        let residual = ln_ms - view.expected_ln_ms();
        // A censored latency is a lower bound: it teaches only where it is already longer than expected.
        let teaches = outcome.kind.is_latency_evidence() || (outcome.kind.is_censored() && residual > 0.0);
        let slot = self.slot_of(endpoint);
        if let Some((slot, state)) = slot.and_then(|slot| Some((slot, self.endpoints.get_mut(slot)?))) {
            state.finished(dispatched_at, outcome.kind.is_endpoint_failure(), now);
            if teaches {
                state.observe(ln_ms, residual, now);
                self.tenant_endpoints.observe(view.tenant(), slot, residual, now, PAIR_MEMORY);
                self.route_endpoints.observe(view.route(), slot, residual, now, PAIR_MEMORY);
            }
            self.refresh(slot);
        }
        if teaches {
            self.costs.observe(view, ln_ms, now);
        }
    }

    /// Takes in a load report of the endpoint in `slot`.
    pub fn reported(&mut self, slot: usize, report: LoadReport, now: Tick) {
        if let Some(endpoint) = self.endpoints.get_mut(slot) {
            endpoint.reported(report, now);
            self.refresh(slot);
        }
    }

    /// Peak-sensitive latency estimate of `slot` in milliseconds.
    pub fn peak_ewma_ms(&self, slot: usize, now: Tick) -> f32 {
        self.endpoints.get(slot).map_or(f32::NAN, |endpoint| endpoint.peak_ewma_ms(now))
    }

    /// Decayed evidence of a tenant, in requests.
    pub fn tenant_requests(&self, tenant: u64, now: Tick) -> f32 {
        self.costs.tenant_requests(tenant, now)
    }

    /// Mean log-latency residual of a tenant on an endpoint and its evidence, if there is any.
    pub fn tenant_affinity(&self, tenant: u64, endpoint: u64, now: Tick) -> Option<(f32, f32)> {
        let slot = self.slot_of(endpoint)?;
        let pair = self.tenant_endpoints.block(tenant, slot / LANES)?.get(slot % LANES);
        pair.is_known().then(|| (pair.mean(), pair.weight(now, PAIR_MEMORY)))
    }
}

/// What all candidates have in common; the rest is missing.
#[inline(always)]
fn shared(view: &RequestView, pool_mean: f32) -> Row {
    let mut row = [f32::NAN; FEATURE_COUNT];
    view.write(&mut row);
    row[index::POOL_IN_FLIGHT] = pool_mean;
    row
}

/// The features of one decision: a loop over blocks of candidates.
struct Derive<'a> {
    store: &'a FeatureStore,
    view: &'a RequestView,
    slots: &'a [usize],
    in_flight: &'a [u32],
    pool_mean: f32,
    now: Tick,
    out: &'a mut Columns,
}

impl Loop for Derive<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { store, view, slots, in_flight, now, .. } = self;
        let blocks = self.out.reset(shared(view, self.pool_mean), slots.len());
        for (block, slots) in blocks.zip(slots.chunks(LANES)) {
            let mut loads = [0.0; LANES];
            for (load, slot) in loads.iter_mut().zip(slots) {
                *load = in_flight.get(*slot).copied().unwrap_or(0) as f32;
            }
            let (mut tenant, mut route, mut some) = (None, None, None);
            let tenant = store.tenant_endpoints.read(view.tenant(), slots, &mut tenant);
            let route = store.route_endpoints.read(view.route(), slots, &mut route);
            // The common case: neighbours are all candidates, and are read where they lie.
            let endpoints = match block_of(slots).and_then(|number| store.lanes.get(number)) {
                Some(block) => block,
                None => &*some.insert(store.gather(slots)),
            };
            endpoints.derive(tenant, route, &loads, now, block);
        }
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 1.0 } else { sum / count as f32 }
}

#[cfg(test)]
mod tests;
