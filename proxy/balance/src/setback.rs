//! Set-backs: an endpoint that has just failed is doubted at once, before a rate can say so.
//!
//! A decayed error rate needs tens of failures to move, and passive ejection a row of them; an endpoint that refuses
//! everything in a tenth of a millisecond swallows as many requests as it is given until then. After k failures in a row
//! the chance that the next one fails too is estimated as k / (k + 1) (Laplace's rule of succession over the row), and
//! the doubt halves with time, so that an endpoint that recovered is tried again. Where failures are common in the whole
//! pool (a bad release, a route that is broken) one failure says nothing of the endpoint, and the doubt fades faster by
//! as much: otherwise a pool with one percent of errors would always avoid a third of itself.
//!
//! Rejected: waiting for the model. The error head sees the decayed rate, which after one failure is one in a hundred.

use crate::endpoint::Endpoint;
use std::sync::Arc;
use tailcast_features::Tick;
use tailcast_features::decay::{DecayedMean, Memory};

/// The pool's failure rate is taken over about this many requests.
const POOL_MEMORY: Memory = Memory { half_life_secs: 60.0, max_requests: 2_000.0 };

/// Half-life of a doubt in a pool that hardly fails, seconds: a retry every half minute costs next to nothing.
const HALF_LIFE_SECS: f32 = 5.0;

/// Failure rate of the pool at which doubts fade twice as fast.
const COMMON_RATE: f32 = 0.002;

/// From this doubt on an endpoint is not explored, and not chosen while others are open.
pub(crate) const CLOSED: f32 = 0.02;

/// Set-backs of one pool on one core, by slot.
#[derive(Debug, Default)]
pub(crate) struct Setbacks {
    /// Failures in a row and when the last was.
    rows: Vec<(u32, Tick)>,
    /// Endpoints whose last request failed: mostly none, and then nobody need be asked for.
    failing: usize,
    pool: DecayedMean,
}

impl Setbacks {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self { rows: vec![(0, Tick::ZERO); endpoints], failing: 0, pool: DecayedMean::default() }
    }

    /// Follows a change of the pool: endpoints that stay keep their set-backs.
    pub(crate) fn set_endpoints(&mut self, old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) {
        self.rows = new
            .iter()
            .map(|endpoint| {
                let slot = old.iter().position(|known| known.key() == endpoint.key());
                slot.and_then(|slot| self.rows.get(slot).copied()).unwrap_or_default()
            })
            .collect();
        self.failing = self.rows.iter().filter(|(failures, _)| *failures > 0).count();
    }

    /// False where no endpoint is doubted at all.
    pub(crate) fn any(&self) -> bool {
        self.failing > 0
    }

    /// Learns from the end of a request.
    pub(crate) fn observe(&mut self, slot: usize, failed: bool, now: Tick) {
        self.pool.observe(f32::from(u8::from(failed)), now, POOL_MEMORY);
        if let Some(row) = self.rows.get_mut(slot) {
            let before = row.0 > 0;
            *row = if failed { (row.0.saturating_add(1), now) } else { (0, now) };
            self.failing = self.failing + usize::from(failed) - usize::from(before);
        }
    }

    /// How likely the next request to `slot` fails, as far as the last few say; 0 after a success.
    pub(crate) fn doubt(&self, slot: usize, now: Tick) -> f32 {
        let Some((failures, at)) = self.rows.get(slot).copied().filter(|(failures, _)| *failures > 0) else {
            return 0.0;
        };
        let half_life = HALF_LIFE_SECS / (1.0 + self.pool.mean().max(0.0) / COMMON_RATE);
        let failures = failures as f32;
        failures / (failures + 1.0) * (-now.secs_since(at) / half_life).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_doubted_at_once_and_a_success_or_time_clears_it() {
        let mut setbacks = Setbacks::new(2);
        (0..2_000).for_each(|_| setbacks.observe(1, false, Tick::ZERO));
        setbacks.observe(0, true, Tick::ZERO);
        assert_eq!(setbacks.doubt(1, Tick::ZERO), 0.0);
        assert!((setbacks.doubt(0, Tick::ZERO) - 0.5).abs() < 1e-6);
        assert!(setbacks.doubt(0, Tick::from_secs_f64(30.0)) < CLOSED);
        setbacks.observe(0, true, Tick::ZERO);
        assert!(setbacks.doubt(0, Tick::ZERO) > 0.6);
        setbacks.observe(0, false, Tick::ZERO);
        assert_eq!(setbacks.doubt(0, Tick::ZERO), 0.0);
    }

    #[test]
    fn where_failures_are_common_a_doubt_fades_fast() {
        let mut setbacks = Setbacks::new(1);
        (0..2_000).for_each(|i| setbacks.observe(0, i % 20 == 0, Tick::ZERO));
        setbacks.observe(0, true, Tick::ZERO);
        assert!(setbacks.doubt(0, Tick::from_secs_f64(1.0)) < CLOSED);
    }
}
