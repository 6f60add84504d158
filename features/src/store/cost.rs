//! Expected cost of a request, whatever endpoint serves it: decayed log-latency of route, tenant and
//! (tenant, route), each shrunk toward its parent by evidence (pair → route → pool).

use super::StoreLimits;
use super::request::{RequestFacts, RequestView};
use crate::decay::{DecayedMean, Memory};
use crate::hash::mix;
use crate::table::Table;
use crate::tick::Tick;

/// Memory of costs: they belong to the work, not to the moment, so they are kept for minutes.
const COST_MEMORY: Memory = Memory { half_life_secs: 300.0, max_requests: 500.0 };

/// Requests of evidence that a parent counts for. Log-latencies within one (tenant, route) spread by about 0.5,
/// between them by about 1: a handful of own requests says more than the parent.
const PRIOR: f32 = 5.0;

#[derive(Debug, Clone)]
pub(super) struct Costs {
    pool: DecayedMean,
    routes: Table<DecayedMean>,
    tenants: Table<DecayedMean>,
    tenant_routes: Table<DecayedMean>,
}

impl Costs {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self {
            pool: DecayedMean::default(),
            routes: Table::new(limits.routes),
            tenants: Table::new(limits.tenants),
            tenant_routes: Table::new(limits.pairs),
        }
    }

    pub(super) fn view(&self, facts: &RequestFacts, now: Tick) -> RequestView {
        let mut view = RequestView::new(facts);
        let pool = self.pool.mean();
        let shrunk = |cost: Option<&DecayedMean>, parent: f32| {
            cost.map_or(parent, |cost| cost.shrunk(parent, PRIOR, now, COST_MEMORY))
        };
        let tenant = self.tenants.get(facts.tenant);
        view.route_cost = shrunk(self.routes.get(facts.route), pool);
        view.tenant_cost = shrunk(tenant, pool);
        view.tenant_route_cost = shrunk(self.tenant_routes.get(mix(facts.tenant, facts.route)), view.route_cost);
        view.tenant_count = tenant.map_or(0.0, |cost| cost.weight(now, COST_MEMORY));
        view
    }

    pub(super) fn observe(&mut self, view: &RequestView, ln_ms: f32, now: Tick) {
        let (tenant, route) = (view.tenant(), view.route());
        self.pool.observe(ln_ms, now, COST_MEMORY);
        self.routes.touch(route, now).observe(ln_ms, now, COST_MEMORY);
        self.tenants.touch(tenant, now).observe(ln_ms, now, COST_MEMORY);
        self.tenant_routes.touch(mix(tenant, route), now).observe(ln_ms, now, COST_MEMORY);
    }

    pub(super) fn tenant_requests(&self, tenant: u64, now: Tick) -> f32 {
        self.tenants.get(tenant).map_or(0.0, |cost| cost.weight(now, COST_MEMORY))
    }
}
