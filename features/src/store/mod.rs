//! The online feature store: what a proxy remembers of endpoints, tenants, routes and pairs, and the rows it
//! makes of that.
//!
//! Call order for one request: [`FeatureStore::view`] once, [`FeatureStore::row`] for each candidate,
//! [`FeatureStore::dispatched`] for the chosen endpoint, [`FeatureStore::completed`] when it ends. Nothing else
//! changes the state, so replaying the same events gives bit-equal rows: that is what the parity test does, and
//! how a recorded trace becomes training rows.
//!
//! A store belongs to one core. In-flight counts that span cores are handed in as [`Load`].

mod cost;
mod endpoint;
mod request;

pub use endpoint::{EndpointFacts, LoadReport};
pub use request::{RequestFacts, RequestView};

use crate::approx::ln_1p;
use crate::decay::{DecayedMean, Memory};
use crate::hash::mix;
use crate::outcome::Outcome;
use crate::schema::{FEATURE_COUNT, Row, index};
use crate::table::Table;
use crate::tick::Tick;
use cost::Costs;
use endpoint::EndpointState;

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
    /// (tenant, route), (tenant, endpoint) and (route, endpoint) pairs remembered, each.
    pub pairs: usize,
}

impl Default for StoreLimits {
    /// About 4 MiB a core: thousands of tenants on tens of endpoints.
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
    tenant_endpoints: Table<DecayedMean>,
    route_endpoints: Table<DecayedMean>,
    endpoints: Vec<EndpointState>,
}

impl FeatureStore {
    /// An empty store for a pool of endpoints, in slot order.
    pub fn new(endpoints: &[EndpointFacts], limits: StoreLimits, now: Tick) -> Self {
        let mut store = Self {
            costs: Costs::new(limits),
            tenant_endpoints: Table::new(limits.pairs),
            route_endpoints: Table::new(limits.pairs),
            endpoints: Vec::new(),
        };
        store.set_endpoints(endpoints, now);
        store
    }

    /// Replaces the endpoints of the pool. An endpoint that stays (same key) keeps its state, whatever slot
    /// it had; weight and zone are taken from the new facts.
    pub fn set_endpoints(&mut self, endpoints: &[EndpointFacts], now: Tick) {
        let mut old = std::mem::take(&mut self.endpoints);
        let mean_weight = mean(endpoints.iter().map(|facts| facts.weight));
        self.endpoints = endpoints
            .iter()
            .map(|facts| {
                let mut state = match old.iter().position(|state| state.key() == facts.key) {
                    Some(position) => old.swap_remove(position),
                    None => EndpointState::new(facts.key, now),
                };
                state.set_facts(facts, mean_weight);
                state
            })
            .collect();
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
        *row = [f32::NAN; FEATURE_COUNT];
        view.write(row);
        row[index::POOL_IN_FLIGHT] = load.pool_mean;
        let Some(endpoint) = self.endpoints.get(slot) else { return };
        endpoint.write(load.in_flight, now, row);
        let residual = endpoint.residual();
        let tenant = self.tenant_endpoints.get(mix(view.tenant(), endpoint.key()));
        let route = self.route_endpoints.get(mix(view.route(), endpoint.key()));
        let (of_tenant, count) = pair_evidence(tenant, residual, now);
        row[index::TENANT_ENDPOINT_RESIDUAL] = of_tenant;
        row[index::TENANT_ENDPOINT_COUNT] = count;
        row[index::TENANT_ENDPOINT_IDLE] = tenant.map_or(f32::NAN, |pair| ln_1p(now.millis_since(pair.last())));
        let (of_route, count) = pair_evidence(route, residual, now);
        row[index::ROUTE_ENDPOINT_RESIDUAL] = of_route;
        row[index::ROUTE_ENDPOINT_COUNT] = count;
    }

    /// Notes that a request went to `slot`.
    pub fn dispatched(&mut self, slot: usize, now: Tick) {
        if let Some(endpoint) = self.endpoints.get_mut(slot) {
            endpoint.dispatched(now);
        }
    }

    /// Notes how a request ended that was dispatched to the endpoint with this key at `dispatched_at`. An
    /// endpoint that has left the pool meanwhile still teaches the request costs.
    pub fn completed(&mut self, view: &RequestView, endpoint: u64, dispatched_at: Tick, outcome: &Outcome, now: Tick) {
        let ln_ms = outcome.ln_ms();
        let residual = ln_ms - view.expected_ln_ms();
        // A censored latency is a lower bound: it teaches only where it is already longer than expected.
        let teaches = outcome.kind.is_latency_evidence() || (outcome.kind.is_censored() && residual > 0.0);
        if let Some(state) = self.endpoints.iter_mut().find(|state| state.key() == endpoint) {
            state.finished(dispatched_at, outcome.kind.is_endpoint_failure(), now);
            if teaches {
                state.observe(ln_ms, residual, now);
            }
        }
        if teaches {
            self.costs.observe(view, ln_ms, now);
            let tenant = mix(view.tenant(), endpoint);
            let route = mix(view.route(), endpoint);
            self.tenant_endpoints.touch(tenant, now).observe(residual, now, PAIR_MEMORY);
            self.route_endpoints.touch(route, now).observe(residual, now, PAIR_MEMORY);
        }
    }

    /// Takes in a load report of the endpoint in `slot`.
    pub fn reported(&mut self, slot: usize, report: LoadReport, now: Tick) {
        if let Some(endpoint) = self.endpoints.get_mut(slot) {
            endpoint.reported(report, now);
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
        let pair = self.tenant_endpoints.get(mix(tenant, endpoint))?;
        pair.is_known().then(|| (pair.mean(), pair.weight(now, PAIR_MEMORY)))
    }
}

/// A pair's residual, shrunk to its endpoint's, and the logarithm of its evidence. The evidence decays, and that is the
/// dear part, so it is computed once for both.
fn pair_evidence(pair: Option<&DecayedMean>, endpoint: f32, now: Tick) -> (f32, f32) {
    let Some(pair) = pair else { return (f32::NAN, 0.0) };
    let weight = pair.weight(now, PAIR_MEMORY);
    let parent = if endpoint.is_nan() { 0.0 } else { endpoint };
    let residual = if pair.is_known() { pair.shrunk_by(weight, parent, PAIR_PRIOR) } else { f32::NAN };
    (residual, ln_1p(weight))
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 1.0 } else { sum / count as f32 }
}

#[cfg(test)]
mod tests;
