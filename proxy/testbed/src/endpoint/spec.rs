//! What an emulated endpoint is like.

use serde::{Deserialize, Serialize};

/// How long requests of a route take once a worker has them: log-normal around a mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteLaw {
    /// Path prefix; the longest that fits a path counts.
    pub path_prefix: String,
    /// Mean service time, milliseconds.
    pub mean_ms: f64,
    /// Spread of its natural logarithm.
    pub sigma: f64,
}

/// A cache of tenants' data: a request whose tenant is not in it takes longer and brings it in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// Tenants that fit; the least recently used one goes first.
    pub tenants: usize,
    /// How many times longer a miss takes.
    pub miss_factor: f64,
}

/// One emulated endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSpec {
    /// Name, sent back as `x-endpoint`.
    pub name: String,
    /// Requests in service at a time.
    pub workers: usize,
    /// Requests that may wait for a worker; one more is answered with 503.
    pub queue: usize,
    /// Service times.
    pub routes: Vec<RouteLaw>,
    /// Cache, if it has one.
    pub cache: Option<CacheSpec>,
    /// Sends its load with every answer, in the ORCA header `endpoint-load-metrics`.
    pub reports_load: bool,
    /// Header that carries the tenant.
    pub tenant_header: String,
    /// Seed of the service times.
    pub seed: u64,
}

impl EndpointSpec {
    /// An endpoint that serves everything in `mean_ms`.
    pub fn uniform(name: &str, workers: usize, mean_ms: f64) -> Self {
        Self {
            name: name.to_owned(),
            workers,
            queue: 10_000,
            routes: vec![RouteLaw { path_prefix: "/".to_owned(), mean_ms, sigma: 0.0 }],
            cache: None,
            reports_load: false,
            tenant_header: "x-tenant".to_owned(),
            seed: 1,
        }
    }

    /// The law of a path; `None` where no prefix fits.
    pub fn law(&self, path: &str) -> Option<&RouteLaw> {
        self.routes.iter().filter(|law| path.starts_with(&law.path_prefix)).max_by_key(|law| law.path_prefix.len())
    }
}

/// Routes of the demo: path prefix, mean milliseconds on the class that suits it, whether that is the first class.
const DEMO_ROUTES: [(&str, f64, bool); 6] = [
    ("/api/search", 9.0, true),
    ("/api/checkout", 12.0, true),
    ("/api/render", 16.0, true),
    ("/api/feed", 7.0, false),
    ("/api/items", 5.0, false),
    ("/api/upload", 14.0, false),
];

/// How many times longer a route takes on the class that does not suit it.
const DEMO_MISMATCH: f64 = 5.0;

/// Spread of the demo's service times: the 99th percentile of a service is twice its median.
const DEMO_SIGMA: f64 = 0.3;

/// Endpoints of the demo.
const DEMO_ENDPOINTS: usize = 12;

/// Twelve endpoints in two hardware classes of six. Each has eight workers and a cache of ten tenants whose miss
/// takes 2.5 times as long. See the test below for the load that the demo's traffic puts on them.
pub fn demo_fleet(seed: u64) -> Vec<EndpointSpec> {
    (0..DEMO_ENDPOINTS)
        .map(|number| {
            let first_class = number < DEMO_ENDPOINTS / 2;
            let routes = DEMO_ROUTES.map(|(path_prefix, mean_ms, suits_first)| RouteLaw {
                path_prefix: path_prefix.to_owned(),
                mean_ms: if suits_first == first_class { mean_ms } else { mean_ms * DEMO_MISMATCH },
                sigma: DEMO_SIGMA,
            });
            let class = if first_class { "compute" } else { "memory" };
            EndpointSpec {
                name: format!("{class}-{}", number % (DEMO_ENDPOINTS / 2) + 1),
                workers: 8,
                queue: 1_000,
                routes: routes.to_vec(),
                cache: Some(CacheSpec { tenants: 10, miss_factor: 2.5 }),
                reports_load: false,
                tenant_header: "x-tenant".to_owned(),
                seed: seed.wrapping_mul(1_000).wrapping_add(number as u64),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let mut spec = EndpointSpec::uniform("a", 1, 1.0);
        spec.routes.push(RouteLaw { path_prefix: "/api/items".into(), mean_ms: 9.0, sigma: 0.0 });
        assert_eq!(spec.law("/api/items/3").unwrap().mean_ms, 9.0);
        assert_eq!(spec.law("/other").unwrap().mean_ms, 1.0);
        assert!(spec.law("*").is_none());
    }

    /// Utilisation of the workers at the demo's rate: stressed but not collapsed where requests are spread
    /// blindly and miss the caches, relaxed where each goes where it belongs.
    #[test]
    fn the_demo_stresses_a_blind_policy_and_leaves_room_for_a_seeing_one() {
        let trace = tailcast_datasets::demo_trace().unwrap();
        let fleet = demo_fleet(1);
        let rate = trace.mean_rate();
        let mean = |pick: &dyn Fn(&str) -> f64| {
            trace.rows().iter().map(|row| pick(&row.route)).sum::<f64>() / trace.len() as f64
        };
        let blind = mean(&|route| {
            let all = fleet.iter().map(|endpoint| endpoint.law(route).unwrap().mean_ms).sum::<f64>();
            all / fleet.len() as f64 * 2.5
        });
        let seeing = mean(&|route| {
            fleet.iter().map(|endpoint| endpoint.law(route).unwrap().mean_ms).fold(f64::INFINITY, f64::min)
        });
        let workers: usize = fleet.iter().map(|endpoint| endpoint.workers).sum();
        let utilisation = |mean_ms: f64| rate * mean_ms / 1e3 / workers as f64;
        let (blind, seeing) = (utilisation(blind), utilisation(seeing));
        assert!((0.25..0.75).contains(&blind), "blind {blind}");
        assert!(seeing < 0.15, "seeing {seeing}");
    }
}
