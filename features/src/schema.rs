//! The ordered list of every feature: its name, unit, scope and direction.
//!
//! One list is the single source for the proxy (which fills a row), the log (one column a feature), the
//! trainer (which reads the columns) and the artefact (which carries [`schema_hash`]). A model whose hash
//! differs is refused: a silent shift by one column is the worst failure that a learned router can have.
//!
//! Rejected: features registered at run time by name. It would allow "optional" features, but every reader
//! would need a map from name to position, and the hot path wants a plain array.

use crate::hash::Fnv1a;

/// Whose state a feature describes. It decides when the value can change: a [`Scope::Request`] feature is the
/// same for all candidates of a decision, the others differ between candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The request and its tenant and route.
    Request,
    /// One endpoint.
    Endpoint,
    /// One (tenant, endpoint) or (route, endpoint) pair.
    Pair,
}

/// One column of the feature row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSpec {
    /// Column name, also in the log.
    pub name: &'static str,
    /// Unit of the value; `ln_ms` is the natural logarithm of milliseconds, `ln1p_*` is `ln(1 + x)`.
    pub unit: &'static str,
    /// Whose state it describes.
    pub scope: Scope,
    /// True where the forecast must not decrease when the value grows.
    pub monotone: bool,
    /// What it is, in one line.
    pub doc: &'static str,
}

/// Position of each feature in a row, in the order of [`FEATURES`].
macro_rules! features {
    ($( $konst:ident, $name:literal, $unit:literal, $scope:ident, $monotone:literal, $doc:literal; )*) => {
        /// Indices into a feature row.
        pub mod index {
            features!(@index 0usize; $( $konst, $doc; )*);
        }
        /// All features in the order of the row.
        pub const FEATURES: &[FeatureSpec] = &[
            $( FeatureSpec { name: $name, unit: $unit, scope: Scope::$scope, monotone: $monotone, doc: $doc }, )*
        ];
    };
    (@index $n:expr; $konst:ident, $doc:literal; $( $rest:ident, $rdoc:literal; )*) => {
        #[doc = $doc]
        pub const $konst: usize = $n;
        features!(@index $n + 1usize; $( $rest, $rdoc; )*);
    };
    (@index $n:expr;) => {};
}

features! {
    ROUTE_COST, "route_cost", "ln_ms", Request, false, "expected log-latency of the route, shrunk toward the pool's";
    TENANT_COST, "tenant_cost", "ln_ms", Request, false, "expected log-latency of the tenant, shrunk toward the pool's";
    TENANT_ROUTE_COST, "tenant_route_cost", "ln_ms", Request, false, "expected log-latency of (tenant, route), shrunk toward the route's";
    TENANT_COUNT, "tenant_count", "ln1p_requests", Request, false, "decayed number of requests seen of the tenant";
    REQUEST_SIZE, "request_size", "ln1p_bytes", Request, false, "declared size of the request body";
    METHOD_WRITE, "method_write", "flag", Request, false, "1 where the method is not safe (POST, PUT, PATCH, DELETE)";
    PRIORITY, "priority", "class", Request, false, "priority of the request, 0 the most urgent";
    DAY_SIN, "day_sin", "ratio", Request, false, "sine of the time of day (UTC)";
    DAY_COS, "day_cos", "ratio", Request, false, "cosine of the time of day (UTC)";
    POOL_IN_FLIGHT, "pool_in_flight", "requests_per_endpoint", Request, false, "mean in-flight over the pool's endpoints";
    IN_FLIGHT, "in_flight", "requests", Endpoint, true, "requests that this proxy has in flight on the endpoint";
    OLDEST_IN_FLIGHT, "oldest_in_flight", "ln1p_ms", Endpoint, false, "age of the endpoint's oldest unfinished request";
    REPORTED_IN_FLIGHT, "reported_in_flight", "requests", Endpoint, true, "in-flight that the endpoint last reported";
    REPORTED_UTILISATION, "reported_utilisation", "ratio", Endpoint, true, "utilisation that the endpoint last reported";
    REPORT_AGE, "report_age", "ln1p_ms", Endpoint, false, "age of the endpoint's last report";
    SINCE_REPORT, "since_report", "requests", Endpoint, false, "requests dispatched to the endpoint since its last report";
    LATENCY_EWMA, "latency_ewma", "ln_ms", Endpoint, false, "decayed mean log-latency of the endpoint";
    LATENCY_P50, "latency_p50", "ln_ms", Endpoint, false, "median log-latency of the endpoint's recent requests";
    LATENCY_P95, "latency_p95", "ln_ms", Endpoint, false, "95th percentile log-latency of the endpoint's recent requests";
    ERROR_RATE, "error_rate", "ratio", Endpoint, false, "decayed share of the endpoint's requests that failed";
    THROUGHPUT, "throughput", "ln1p_rps", Endpoint, false, "decayed completion rate of the endpoint";
    ENDPOINT_AGE, "endpoint_age", "ln1p_secs", Endpoint, false, "time since the endpoint joined the pool";
    WEIGHT, "weight", "ratio", Endpoint, false, "configured weight of the endpoint over the pool's mean";
    ZONE_LOCAL, "zone_local", "flag", Endpoint, false, "1 where the endpoint is in the proxy's zone";
    ENDPOINT_RESIDUAL, "endpoint_residual", "ln_ratio", Endpoint, false, "decayed log of latency over expected cost on the endpoint";
    ENDPOINT_RESIDUAL_FAST, "endpoint_residual_fast", "ln_ratio", Endpoint, false, "the same with a memory of about ten requests";
    TENANT_ENDPOINT_RESIDUAL, "tenant_endpoint_residual", "ln_ratio", Pair, false, "decayed log of latency over expected cost of the tenant on the endpoint, shrunk toward the endpoint's";
    TENANT_ENDPOINT_COUNT, "tenant_endpoint_count", "ln1p_requests", Pair, false, "decayed number of the tenant's requests on the endpoint";
    TENANT_ENDPOINT_IDLE, "tenant_endpoint_idle", "ln1p_ms", Pair, false, "time since the tenant last used the endpoint (cache warmth)";
    ROUTE_ENDPOINT_RESIDUAL, "route_endpoint_residual", "ln_ratio", Pair, false, "decayed log of latency over expected cost of the route on the endpoint, shrunk toward the endpoint's";
    ROUTE_ENDPOINT_COUNT, "route_endpoint_count", "ln1p_requests", Pair, false, "decayed number of the route's requests on the endpoint";
}

/// Number of features in a row.
pub const FEATURE_COUNT: usize = FEATURES.len();

/// A feature row of one candidate, in the order of [`FEATURES`]. Missing values are NaN.
pub type Row = [f32; FEATURE_COUNT];

/// Bumped when a feature keeps its name but changes its meaning, which the hash of names and units cannot see.
pub const SCHEMA_VERSION: u32 = 1;

/// A hash of version, names, units and directions, carried by every segment and artefact.
pub fn schema_hash() -> u64 {
    let mut hash = Fnv1a::new();
    hash.write(&SCHEMA_VERSION.to_le_bytes());
    for feature in FEATURES {
        hash.write(feature.name.as_bytes());
        hash.write(&[0]);
        hash.write(feature.unit.as_bytes());
        hash.write(&[feature.monotone as u8]);
    }
    hash.finish()
}

/// Position of the feature called `name`, if there is one.
pub fn position(name: &str) -> Option<usize> {
    FEATURES.iter().position(|feature| feature.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_at_their_index() {
        for (i, feature) in FEATURES.iter().enumerate() {
            assert_eq!(position(feature.name), Some(i), "{} appears twice", feature.name);
        }
        assert_eq!(position("in_flight"), Some(index::IN_FLIGHT));
        assert_eq!(position("route_endpoint_count"), Some(index::ROUTE_ENDPOINT_COUNT));
        assert_eq!(index::ROUTE_ENDPOINT_COUNT + 1, FEATURE_COUNT);
    }

    /// The hash is part of the file formats: this value changes only together with `SCHEMA_VERSION` or the list.
    #[test]
    fn the_hash_is_stable_within_a_version() {
        assert_eq!(schema_hash(), schema_hash());
        assert_ne!(schema_hash(), 0);
    }
}
