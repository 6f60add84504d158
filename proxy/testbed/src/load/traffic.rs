//! Traffic by a law: Poisson arrivals, tenants by Zipf's law, routes by their shares.
//!
//! A recorded trace is better evidence where there is one. A law is for benchmarks in which one thing at a time shall
//! differ, at a rate that can be chosen; the same seed gives every proxy the same requests at the same times.

use super::shot::Shot;
use rand::SeedableRng;
use rand_distr::{Distribution, Exp, Zipf, weighted::WeightedIndex};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use std::time::Duration;

/// A route and how often it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteShare {
    /// Route template.
    pub route: String,
    /// Share of the requests, relative to the others'.
    pub share: f64,
}

/// Traffic by a law.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Mean arrivals a second; the times between them are exponential.
    pub rate_rps: f64,
    /// Number of tenants.
    pub tenants: u32,
    /// Exponent of Zipf's law over the tenants; 0 makes all equal.
    pub zipf: f64,
    /// Routes; at least one.
    pub routes: Vec<RouteShare>,
    /// Seed of all chance.
    pub seed: u64,
}

/// Traffic that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The rate is no rate.
    #[error("rate {0} is out of range, expected more than 0 and finite")]
    Rate(f64),
    /// No tenant, or an exponent that is none.
    #[error("{tenants} tenants by Zipf's law with exponent {zipf}, expected at least one and an exponent of 0 or more")]
    Tenants {
        /// Number of tenants.
        tenants: u32,
        /// Exponent.
        zipf: f64,
    },
    /// No route, or shares that cannot be drawn from.
    #[error("routes cannot be drawn by their shares: {0}")]
    Routes(String),
}

impl Traffic {
    /// All requests due before `length`, in order of time.
    ///
    /// # Errors
    /// Where rate, tenants or routes are out of range.
    pub fn shots(&self, length: Duration) -> Result<Vec<Shot>, TrafficError> {
        // Exp::new takes an infinite rate, which would never reach the end.
        let gaps = Exp::new(self.rate_rps).ok().filter(|_| self.rate_rps.is_finite() && self.rate_rps > 0.0);
        let gaps = gaps.ok_or(TrafficError::Rate(self.rate_rps))?;
        let out_of_range = TrafficError::Tenants { tenants: self.tenants, zipf: self.zipf };
        let ranks = Zipf::new(f64::from(self.tenants), self.zipf).map_err(|_| out_of_range)?;
        let shares = self.routes.iter().map(|route| route.share);
        let choice = WeightedIndex::new(shares).map_err(|error| TrafficError::Routes(error.to_string()))?;
        let tenants: Vec<Arc<str>> = (1..=self.tenants).map(|rank| Arc::from(format!("tenant-{rank}"))).collect();
        let routes: Vec<Arc<str>> = self.routes.iter().map(|route| Arc::from(route.route.as_str())).collect();
        let method: Arc<str> = Arc::from("GET");

        let mut rng = Pcg64Mcg::seed_from_u64(self.seed);
        let mut shots = Vec::with_capacity((self.rate_rps * length.as_secs_f64() * 1.1) as usize);
        let mut at = 0.0;
        loop {
            at += gaps.sample(&mut rng);
            if at >= length.as_secs_f64() {
                return Ok(shots);
            }
            let rank = ranks.sample(&mut rng) as usize;
            shots.push(Shot {
                at: Duration::from_secs_f64(at),
                tenant: Arc::clone(&tenants[rank.clamp(1, tenants.len()) - 1]),
                route: Arc::clone(&routes[choice.sample(&mut rng)]),
                method: Arc::clone(&method),
                body_bytes: 0,
                response_bytes: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn traffic() -> Traffic {
        let route = |route: &str, share| RouteShare { route: route.to_owned(), share };
        Traffic { rate_rps: 1_000.0, tenants: 50, zipf: 1.0, routes: vec![route("/a", 3.0), route("/b", 1.0)], seed: 7 }
    }

    fn share(shots: &[Shot], is_counted: impl Fn(&Shot) -> bool) -> f64 {
        shots.iter().filter(|shot| is_counted(shot)).count() as f64 / shots.len() as f64
    }

    #[test]
    fn rate_routes_and_tenants_follow_their_laws() {
        let shots = traffic().shots(Duration::from_secs(20)).unwrap();
        assert!((19_400..20_600).contains(&shots.len()), "four standard deviations are 566: {}", shots.len());
        assert!(shots.is_sorted_by_key(|shot| shot.at));
        let of_a = share(&shots, |shot| &*shot.route == "/a");
        assert!((of_a - 0.75).abs() < 0.015, "{of_a}");
        // The first of 50 has 1 / H(50) of all by Zipf's law, H the harmonic number 4.499.
        let of_first = share(&shots, |shot| &*shot.tenant == "tenant-1");
        assert!((of_first - 0.2223).abs() < 0.015, "{of_first}");
    }

    /// A Poisson process: times between arrivals have a standard deviation equal to their mean.
    #[test]
    fn arrivals_are_as_irregular_as_chance() {
        let shots = traffic().shots(Duration::from_secs(20)).unwrap();
        let gaps: Vec<f64> = shots.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{}", variance.sqrt() / mean);
    }

    #[test]
    fn the_same_seed_is_the_same_traffic_and_another_is_not() {
        let of = |seed| Traffic { seed, ..traffic() }.shots(Duration::from_secs(1)).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_value() {
        let error = |traffic: Traffic| traffic.shots(Duration::from_secs(1)).unwrap_err().to_string();
        for rate_rps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(error(Traffic { rate_rps, ..traffic() }).contains(&rate_rps.to_string()));
        }
        assert!(error(Traffic { tenants: 0, ..traffic() }).contains("0 tenants"));
        assert!(error(Traffic { zipf: -1.0, ..traffic() }).contains("-1"));
        assert!(error(Traffic { routes: Vec::new(), ..traffic() }).contains("routes"));
    }
}
