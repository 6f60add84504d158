//! The seeded generator of the demo trace: a minute of one site's traffic, as a recorder before the proxy sees it.
//!
//! Arrivals are Poisson with a rate that wanders (a mean-reverting walk of its logarithm), tenants are as popular
//! as Zipf's law says, and each tenant mixes the routes in its own way. The decision is to generate the demo's
//! traffic and commit the result: recorded traffic of others may not be copied here, and a committed file is the
//! same on every machine, whatever its floating-point library. Rejected: generating at the start of the demo,
//! where a change of a random-number crate would silently change what is measured.
//!
//! Endpoint, status and latency are unknown in it, because who sends the traffic does not know them.

use crate::trace::{Trace, TraceRow};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, Gamma, LogNormal, Normal, StandardNormal, Zipf};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

/// Seed of the committed trace.
pub const SEED: u64 = 20_260_101;

/// Length of the trace: the demo replays it once a policy, and a minute holds enough requests for a p99 per route.
const SECONDS: f64 = 60.0;

/// Mean rate. With the mix below it keeps half of the demo's 96 workers busy where requests are spread blindly.
const REQUESTS_PER_SECOND: f64 = 610.0;

/// First arrival: 2026-01-05 09:00:00 UTC, a Monday morning.
const START_US: i64 = 1_767_603_600_000_000;

/// Tenants: six times what fits the cache of one endpoint, and half of what fits all twelve, so that where a
/// tenant goes matters.
const TENANTS: usize = 60;

/// Exponent of the tenants' popularity; one is what shares of customers usually follow.
const ZIPF_EXPONENT: f64 = 1.0;

/// How much a tenant's mix follows the overall one: the shape of a Gamma draw per route, 1 being wildly different.
const MIX_SHAPE: f64 = 3.0;

/// Spread of the rate's logarithm: mild bursts, 95 % of the time within 30 % of the mean.
const BURST_SIGMA: f64 = 0.15;

/// What is left of a burst after one second.
const BURST_MEMORY: f64 = 0.7;

/// What requests of one kind are like.
struct Kind {
    route: &'static str,
    method: &'static str,
    /// Share of all requests.
    share: f64,
    /// Median size of the request's body in bytes; zero where it has none.
    body_bytes: f64,
    /// Median size of the response in bytes.
    response_bytes: f64,
}

/// The routes that the demo's endpoints serve.
const KINDS: [Kind; 6] = [
    Kind { route: "/api/search", method: "GET", share: 0.22, body_bytes: 0.0, response_bytes: 600.0 },
    Kind { route: "/api/checkout", method: "POST", share: 0.10, body_bytes: 400.0, response_bytes: 250.0 },
    Kind { route: "/api/render/{id}", method: "GET", share: 0.20, body_bytes: 0.0, response_bytes: 900.0 },
    Kind { route: "/api/feed", method: "GET", share: 0.14, body_bytes: 0.0, response_bytes: 700.0 },
    Kind { route: "/api/items/{id}", method: "GET", share: 0.18, body_bytes: 0.0, response_bytes: 300.0 },
    Kind { route: "/api/upload", method: "POST", share: 0.16, body_bytes: 2_000.0, response_bytes: 150.0 },
];

/// Spread of the sizes' logarithm: the 99th percentile is about four times the median.
const SIZE_SIGMA: f64 = 0.6;

/// Largest body or response, so that the demo measures routing and not the loopback's bandwidth.
const MAX_SIZE_BYTES: f64 = 32_768.0;

/// The parameters of a distribution were refused; they are constants, so a test rules it out.
#[derive(Debug, thiserror::Error)]
#[error("cannot generate the demo trace: {0}")]
pub struct DemoError(String);

fn bad(error: impl std::fmt::Display) -> DemoError {
    DemoError(error.to_string())
}

/// The demo trace of a seed.
///
/// # Errors
/// A constant of this module is not allowed by its distribution.
pub fn generate(seed: u64) -> Result<Trace, DemoError> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let tenants = tenants(&mut rng)?;
    let popularity = Zipf::new(TENANTS as f64, ZIPF_EXPONENT).map_err(bad)?;
    let kinds = kinds()?;
    let rates = rates(&mut rng)?;
    let mut rows = Vec::with_capacity((REQUESTS_PER_SECOND * SECONDS * 1.1) as usize);
    let mut at = 0.0;
    while let Some(rate) = rates.get(at as usize) {
        let gap: f64 = Exp1.sample(&mut rng);
        at += gap / rate;
        if at >= SECONDS {
            break;
        }
        let rank: f64 = popularity.sample(&mut rng);
        let Some(tenant) = tenants.get(rank as usize - 1) else { continue };
        let Some(kind) = kinds.get(tenant.pick(rng.random())) else { continue };
        rows.push(TraceRow {
            arrival_us: START_US + (at * 1e6) as i64,
            tenant: Arc::clone(&tenant.name),
            route: Arc::clone(&kind.route),
            method: Arc::clone(&kind.method),
            request_bytes: Some(kind.body.as_ref().map_or(0, |law| size(law, &mut rng))),
            response_bytes: Some(size(&kind.response, &mut rng)),
            endpoint: None,
            status: None,
            latency_us: None,
        });
    }
    Ok(Trace::new(rows))
}

fn size(law: &LogNormal<f64>, rng: &mut Pcg64Mcg) -> u64 {
    law.sample(rng).clamp(1.0, MAX_SIZE_BYTES).round() as u64
}

/// A kind with its names shared and its laws made.
struct MadeKind {
    route: Arc<str>,
    method: Arc<str>,
    body: Option<LogNormal<f64>>,
    response: LogNormal<f64>,
}

fn kinds() -> Result<Vec<MadeKind>, DemoError> {
    let law = |median: f64| LogNormal::new(median.ln(), SIZE_SIGMA).map_err(bad);
    KINDS
        .iter()
        .map(|kind| {
            Ok(MadeKind {
                route: Arc::from(kind.route),
                method: Arc::from(kind.method),
                body: if kind.body_bytes > 0.0 { Some(law(kind.body_bytes)?) } else { None },
                response: law(kind.response_bytes)?,
            })
        })
        .collect()
}

/// A tenant and its mix of routes, as cumulated shares.
struct Tenant {
    name: Arc<str>,
    cumulated: [f64; KINDS.len()],
}

impl Tenant {
    fn pick(&self, uniform: f64) -> usize {
        self.cumulated.iter().position(|share| uniform < *share).unwrap_or(KINDS.len() - 1)
    }
}

fn tenants(rng: &mut Pcg64Mcg) -> Result<Vec<Tenant>, DemoError> {
    let weight = Gamma::new(MIX_SHAPE, 1.0 / MIX_SHAPE).map_err(bad)?;
    let tenants = (1..=TENANTS).map(|number| {
        let mut cumulated = [0.0; KINDS.len()];
        let mut sum = 0.0;
        for (slot, kind) in cumulated.iter_mut().zip(&KINDS) {
            sum += kind.share * weight.sample(rng);
            *slot = sum;
        }
        Tenant { name: Arc::from(format!("tenant-{number:02}")), cumulated: cumulated.map(|share| share / sum) }
    });
    Ok(tenants.collect())
}

/// The rate in each second: a first-order autoregressive walk of its logarithm, scaled to the mean.
fn rates(rng: &mut Pcg64Mcg) -> Result<Vec<f64>, DemoError> {
    let shock = Normal::new(0.0, BURST_SIGMA * (1.0 - BURST_MEMORY * BURST_MEMORY).sqrt()).map_err(bad)?;
    let first: f64 = StandardNormal.sample(rng);
    let mut level = first * BURST_SIGMA;
    let mut rates: Vec<f64> = Vec::with_capacity(SECONDS as usize);
    for _ in 0..SECONDS as usize {
        rates.push(level.exp());
        level = level * BURST_MEMORY + shock.sample(rng);
    }
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    Ok(rates.into_iter().map(|rate| rate / mean * REQUESTS_PER_SECOND).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_committed_file_is_what_the_generator_writes() {
        let committed = crate::demo_trace().unwrap();
        let generated = generate(SEED).unwrap();
        assert_eq!(
            committed.len(),
            generated.len(),
            "run: cargo run --release -p tailcast-datasets --bin generate_demo_trace"
        );
        for (row, (committed, generated)) in committed.rows().iter().zip(generated.rows()).enumerate() {
            assert_eq!(committed, generated, "row {row}");
        }
    }

    #[test]
    fn the_demo_trace_is_a_minute_of_many_tenants_on_six_routes() {
        let trace = crate::demo_trace().unwrap();
        assert!(trace.duration() > Duration::from_secs(50), "{:?}", trace.duration());
        assert!((580.0..640.0).contains(&trace.mean_rate()), "{} requests a second", trace.mean_rate());
        assert_eq!((trace.tenants(), trace.routes(), trace.endpoints()), (TENANTS, KINDS.len(), 0));
        let busiest = trace.rows().iter().filter(|row| &*row.tenant == "tenant-01").count() as f64;
        assert!((0.15..0.30).contains(&(busiest / trace.len() as f64)), "{busiest}");
        for row in trace.rows() {
            assert_eq!(tailcast_features::route::template(&row.route), *row.route);
            assert_eq!(row.request_bytes == Some(0), &*row.method == "GET");
            assert!(row.response_bytes.unwrap() <= 32_768);
            assert_eq!((row.status, row.latency_us), (None, None));
        }
    }

    #[test]
    fn tenants_mix_the_routes_differently() {
        let trace = crate::demo_trace().unwrap();
        let share = |tenant: &str| {
            let of: Vec<_> = trace.rows().iter().filter(|row| &*row.tenant == tenant).collect();
            of.iter().filter(|row| &*row.route == "/api/render/{id}").count() as f64 / of.len() as f64
        };
        let shares: Vec<f64> = (1..=10).map(|number| share(&format!("tenant-{number:02}"))).collect();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most > 1.5 * least, "{shares:?}");
    }

    #[test]
    fn another_seed_gives_another_trace_of_the_same_kind() {
        let (one, two) = (generate(1).unwrap(), generate(2).unwrap());
        assert_ne!(one, two);
        assert_eq!(generate(1).unwrap(), one);
        assert!((one.len() as f64 / two.len() as f64 - 1.0).abs() < 0.1);
    }
}
