//! The request's side of a row: what all candidates of one decision have in common.

use crate::approx::ln_1p;
use crate::hash::hash_name;
use crate::schema::{Row, index};

/// What is known of a request before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// Stable hash of the tenant's name.
    pub tenant: u64,
    /// Stable hash of the route template.
    pub route: u64,
    /// True for methods that are not safe (RFC 9110 §9.2.1).
    pub is_write: bool,
    /// Declared body size; `None` where the request did not say.
    pub body_bytes: Option<u64>,
    /// Priority class, 0 the most urgent.
    pub priority: u8,
    /// Wall-clock arrival, microseconds since the Unix epoch: only the time of day is read.
    pub unix_us: i64,
}

impl RequestFacts {
    /// Facts of a request from its names. An absent body of a safe method counts as empty, not as unknown.
    pub fn new(tenant: &str, route: &str, method: &str, body_bytes: Option<u64>, unix_us: i64) -> Self {
        let is_write = !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
        Self {
            tenant: hash_name(tenant),
            route: hash_name(route),
            is_write,
            body_bytes: body_bytes.or(if is_write { None } else { Some(0) }),
            priority: 0,
            unix_us,
        }
    }
}

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// The request's features, its keys, and the cost that the store expected when it arrived.
#[derive(Debug, Clone, Copy)]
pub struct RequestView {
    tenant: u64,
    route: u64,
    pub(super) route_cost: f32,
    pub(super) tenant_cost: f32,
    pub(super) tenant_route_cost: f32,
    pub(super) tenant_count: f32,
    request_size: f32,
    method_write: f32,
    priority: f32,
    day_sin: f32,
    day_cos: f32,
}

impl RequestView {
    pub(super) fn new(facts: &RequestFacts) -> Self {
        let day = facts.unix_us.rem_euclid(DAY_US) as f32 / DAY_US as f32;
        let (day_sin, day_cos) = (day * std::f32::consts::TAU).sin_cos();
        Self {
            tenant: facts.tenant,
            route: facts.route,
            route_cost: f32::NAN,
            tenant_cost: f32::NAN,
            tenant_route_cost: f32::NAN,
            tenant_count: 0.0,
            request_size: facts.body_bytes.map_or(f32::NAN, |bytes| ln_1p(bytes as f32)),
            method_write: f32::from(u8::from(facts.is_write)),
            priority: f32::from(facts.priority),
            day_sin,
            day_cos,
        }
    }

    /// Hash of the tenant.
    pub fn tenant(&self) -> u64 {
        self.tenant
    }

    /// Hash of the route.
    pub fn route(&self) -> u64 {
        self.route
    }

    /// Decayed evidence of the tenant at arrival, in requests.
    pub fn tenant_requests(&self) -> f32 {
        self.tenant_count
    }

    /// Expected log-latency of this (tenant, route) at arrival; 0 (one millisecond) before anything is known,
    /// so that the first residuals are finite and soon forgotten.
    pub fn expected_ln_ms(&self) -> f32 {
        if self.tenant_route_cost.is_nan() { 0.0 } else { self.tenant_route_cost }
    }

    pub(super) fn write(&self, row: &mut Row) {
        row[index::ROUTE_COST] = self.route_cost;
        row[index::TENANT_COST] = self.tenant_cost;
        row[index::TENANT_ROUTE_COST] = self.tenant_route_cost;
        row[index::TENANT_COUNT] = ln_1p(self.tenant_count);
        row[index::REQUEST_SIZE] = self.request_size;
        row[index::METHOD_WRITE] = self.method_write;
        row[index::PRIORITY] = self.priority;
        row[index::DAY_SIN] = self.day_sin;
        row[index::DAY_COS] = self.day_cos;
    }
}
