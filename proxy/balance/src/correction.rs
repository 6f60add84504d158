//! The online correction: how far the loaded model's forecasts are off right now, per endpoint and per
//! (tenant, endpoint).
//!
//! A model is refitted every minutes; a brown-out starts in a second. Between refits the residual
//! ln(actual) − ln(forecast median) is tracked with a memory of about twenty requests and added to the
//! forecast. Each level is shrunk toward its parent, so that one slow request does not condemn a pair.

use tailcast_features::Tick;
use tailcast_features::decay::{DecayedMean, Memory};
use tailcast_features::hash::mix;
use tailcast_features::table::Table;

/// Memory of an endpoint's residual.
const ENDPOINT_MEMORY: Memory = Memory { half_life_secs: 5.0, max_requests: 20.0 };

/// Memory of a pair's residual: slower, pairs see fewer requests.
const PAIR_MEMORY: Memory = Memory { half_life_secs: 60.0, max_requests: 20.0 };

/// Requests of evidence that "no correction" counts for against an endpoint's residual, and an endpoint's
/// against a pair's.
const PRIOR: f32 = 4.0;

/// Endpoints and pairs remembered.
const ENDPOINTS: usize = 1_024;
/// See [`ENDPOINTS`].
const PAIRS: usize = 8_192;

/// Largest correction, log units: a factor of 20. Beyond that it is not a correction but a broken model, and
/// bounded arithmetic keeps one absurd latency from hiding an endpoint for minutes.
const MAX_CORRECTION: f32 = 3.0;

/// Residuals of one pool on one core.
#[derive(Debug)]
pub struct Corrections {
    endpoints: Table<DecayedMean>,
    pairs: Table<DecayedMean>,
}

impl Default for Corrections {
    fn default() -> Self {
        Self { endpoints: Table::new(ENDPOINTS), pairs: Table::new(PAIRS) }
    }
}

impl Corrections {
    /// Adds a residual, log units.
    pub fn observe(&mut self, endpoint: u64, tenant: u64, residual: f32, now: Tick) {
        let residual = residual.clamp(-MAX_CORRECTION, MAX_CORRECTION);
        self.endpoints.touch(endpoint, now).observe(residual, now, ENDPOINT_MEMORY);
        self.pairs.touch(mix(tenant, endpoint), now).observe(residual, now, PAIR_MEMORY);
    }

    /// What to add to the forecast of `tenant` on `endpoint`, log units; 0 where nothing is known.
    pub fn get(&self, endpoint: u64, tenant: u64, now: Tick) -> f32 {
        let own =
            self.endpoints.get(endpoint).map_or(0.0, |mean| mean.shrunk(0.0, PRIOR, now, ENDPOINT_MEMORY));
        self.pairs.get(mix(tenant, endpoint)).map_or(own, |mean| mean.shrunk(own, PRIOR, now, PAIR_MEMORY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brown_out_is_felt_within_tens_of_requests_and_forgotten_in_a_minute() {
        let mut corrections = Corrections::default();
        for i in 0..20 {
            corrections.observe(1, i, 5f32.ln(), Tick::ZERO);
        }
        assert!(corrections.get(1, 999, Tick::ZERO) > 1.2, "ln 5 = 1.61");
        assert_eq!(corrections.get(2, 999, Tick::ZERO), 0.0);
        assert!(corrections.get(1, 999, Tick::from_secs_f64(60.0)) < 0.1);
    }

    #[test]
    fn a_pair_goes_its_own_way_with_evidence() {
        let mut corrections = Corrections::default();
        for _ in 0..20 {
            corrections.observe(1, 7, -1.0, Tick::ZERO);
            corrections.observe(1, 8, 1.0, Tick::ZERO);
        }
        assert!(corrections.get(1, 7, Tick::ZERO) < -0.6);
        assert!(corrections.get(1, 8, Tick::ZERO) > 0.6);
    }

    #[test]
    fn an_absurd_latency_is_bounded() {
        let mut corrections = Corrections::default();
        corrections.observe(1, 7, 1e30, Tick::ZERO);
        assert!(corrections.get(1, 7, Tick::ZERO) <= MAX_CORRECTION);
    }
}
