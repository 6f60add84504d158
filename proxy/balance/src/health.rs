//! Passive health: an endpoint that fails several times in a row is ejected for a while.
//!
//! Ejection is capped to a share of the pool, so that a failure that all endpoints have in common (a bad
//! deploy, a dead database) cannot empty it; and when too few endpoints are left, all are taken ("panic mode",
//! as in Envoy), because a sick endpoint serves more than none.

use crate::endpoint::Endpoint;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::Tick;

/// Settings of passive ejection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// Failures in a row before an ejection; 0 turns ejection off.
    pub consecutive_failures: u32,
    /// First ejection, milliseconds; the n-th in a row lasts n times as long.
    pub ejection_ms: u64,
    /// Largest share of the pool that may be ejected, 0 to 1.
    pub max_ejected_ratio: f32,
    /// Below this share of eligible endpoints all are taken, 0 to 1.
    pub panic_ratio: f32,
}

impl Default for HealthOptions {
    /// Envoy's outlier detection: 5 failures in a row; the shares are more careful than its 10 % and 50 %
    /// because the forecast already avoids what fails.
    fn default() -> Self {
        Self { consecutive_failures: 5, ejection_ms: 5_000, max_ejected_ratio: 0.5, panic_ratio: 0.3 }
    }
}

/// Longest ejection as a multiple of the first.
const MAX_EJECTION_MULTIPLE: u32 = 10;

#[derive(Debug, Clone, Copy, Default)]
struct EndpointHealth {
    failures: u32,
    ejected_until: Option<Tick>,
    ejections: u32,
    /// Ejections without a success in between; sets the length of the next.
    streak: u32,
}

/// Health of all endpoints of a pool, by slot.
#[derive(Debug, Default)]
pub struct Health {
    states: Vec<EndpointHealth>,
}

impl Health {
    /// All healthy.
    pub fn new(endpoints: usize) -> Self {
        Self { states: vec![EndpointHealth::default(); endpoints] }
    }

    /// Follows a change of the pool: endpoints that stay keep their health.
    pub fn set_endpoints(&mut self, old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) {
        self.states = new
            .iter()
            .map(|endpoint| {
                let slot = old.iter().position(|known| known.key() == endpoint.key());
                slot.and_then(|slot| self.states.get(slot).copied()).unwrap_or_default()
            })
            .collect();
    }

    /// Writes the slots that may take a request, in ascending order. True in panic mode.
    pub fn eligible(
        &self,
        endpoints: &[Arc<Endpoint>],
        exclude: &[u64],
        options: &HealthOptions,
        now: Tick,
        slots: &mut Vec<usize>,
    ) -> bool {
        slots.clear();
        let open = |slot: &usize| !exclude.contains(&endpoints[*slot].key());
        slots.extend((0..endpoints.len()).filter(|slot| !self.is_ejected(*slot, now)));
        let panicking = (slots.len() as f32) < options.panic_ratio * endpoints.len() as f32;
        if panicking {
            slots.clear();
            slots.extend(0..endpoints.len());
        }
        slots.retain(open);
        if slots.is_empty() {
            // Only ejected endpoints are left untried: one of them is better than an error of our own.
            slots.extend((0..endpoints.len()).filter(open));
        }
        panicking
    }

    /// Learns from the end of a request.
    pub fn observe(&mut self, slot: usize, failed: bool, options: &HealthOptions, now: Tick) {
        let ejected = (0..self.states.len()).filter(|slot| self.is_ejected(*slot, now)).count();
        let allowed = (self.states.len() as f32 * options.max_ejected_ratio) as usize;
        let already = self.is_ejected(slot, now);
        let Some(state) = self.states.get_mut(slot) else { return };
        if !failed {
            state.failures = 0;
            // A late success of a request from before the ejection does not shorten it.
            if !already {
                state.streak = 0;
            }
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let due = options.consecutive_failures > 0 && state.failures >= options.consecutive_failures;
        if due && !already && ejected < allowed {
            state.streak = (state.streak + 1).min(MAX_EJECTION_MULTIPLE);
            state.ejections = state.ejections.saturating_add(1);
            state.failures = 0;
            let length = Duration::from_millis(options.ejection_ms.saturating_mul(u64::from(state.streak)));
            state.ejected_until = Some(now.after(length));
        }
    }

    /// True while the endpoint in `slot` is ejected.
    pub fn is_ejected(&self, slot: usize, now: Tick) -> bool {
        self.states.get(slot).and_then(|state| state.ejected_until).is_some_and(|until| now < until)
    }

    /// Ejections of `slot` so far.
    pub fn ejections(&self, slot: usize) -> u32 {
        self.states.get(slot).map_or(0, |state| state.ejections)
    }

    /// Failures in a row of `slot`.
    pub fn consecutive_failures(&self, slot: usize) -> u32 {
        self.states.get(slot).map_or(0, |state| state.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointSpec;
    use proptest::prelude::*;

    fn pool(count: usize) -> Vec<Arc<Endpoint>> {
        (0..count)
            .map(|i| {
                let spec = EndpointSpec { name: format!("e{i}"), weight: 1.0, zone: None };
                Arc::new(Endpoint::new(&spec, 1))
            })
            .collect()
    }

    fn eligible(health: &Health, pool: &[Arc<Endpoint>], exclude: &[u64], now: Tick) -> (Vec<usize>, bool) {
        let mut slots = Vec::new();
        let panicking = health.eligible(pool, exclude, &HealthOptions::default(), now, &mut slots);
        (slots, panicking)
    }

    fn fail(health: &mut Health, slot: usize, times: u32, now: Tick) {
        for _ in 0..times {
            health.observe(slot, true, &HealthOptions::default(), now);
        }
    }

    #[test]
    fn five_failures_in_a_row_eject_and_time_brings_back() {
        let pool = pool(4);
        let mut health = Health::new(4);
        fail(&mut health, 1, 4, Tick::ZERO);
        health.observe(1, false, &HealthOptions::default(), Tick::ZERO);
        fail(&mut health, 1, 4, Tick::ZERO);
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO).0, vec![0, 1, 2, 3]);
        fail(&mut health, 1, 1, Tick::ZERO);
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO).0, vec![0, 2, 3]);
        assert_eq!(eligible(&health, &pool, &[], Tick::from_secs_f64(5.1)).0, vec![0, 1, 2, 3]);
    }

    #[test]
    fn a_second_ejection_in_a_row_lasts_longer() {
        let mut health = Health::new(4);
        fail(&mut health, 0, 5, Tick::ZERO);
        let again = Tick::from_secs_f64(6.0);
        fail(&mut health, 0, 5, again);
        assert!(health.is_ejected(0, Tick::from_secs_f64(15.0)));
        assert!(!health.is_ejected(0, Tick::from_secs_f64(16.1)));
    }

    #[test]
    fn what_was_tried_is_not_tried_again_and_an_ejected_one_is_better_than_none() {
        let pool = pool(2);
        let mut health = Health::new(2);
        fail(&mut health, 0, 5, Tick::ZERO);
        let (slots, _) = eligible(&health, &pool, &[pool[1].key()], Tick::ZERO);
        assert_eq!(slots, vec![0]);
        let (slots, _) = eligible(&health, &pool, &[pool[0].key(), pool[1].key()], Tick::ZERO);
        assert!(slots.is_empty());
    }

    proptest! {
        #[test]
        fn ejection_never_exceeds_its_share(failures in prop::collection::vec(0usize..8, 0..400)) {
            let mut health = Health::new(8);
            for slot in failures {
                health.observe(slot, true, &HealthOptions::default(), Tick::ZERO);
            }
            let ejected = (0..8).filter(|slot| health.is_ejected(*slot, Tick::ZERO)).count();
            prop_assert!(ejected <= 4);
        }
    }
}
