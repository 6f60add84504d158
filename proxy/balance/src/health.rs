//! Which endpoints may take a request: not closed, not ejected, not full; and all where too few are left.
//!
//! Ejection is capped to a share of the pool, so that a failure that all endpoints have in common (a bad
//! deploy, a dead database) cannot empty it; and when too few endpoints are left, all are taken ("panic mode",
//! as in Envoy), because a sick endpoint serves more than none. What ejects is in [`crate::outlier`] and here: failures
//! in a row at once, statistics once an interval. An endpoint that comes back or joins takes a growing share
//! of its turns ("slow start"); it is thinned out of the eligible set instead of given a smaller weight, so that
//! it works with every policy.

use crate::endpoint::{Closed, Endpoint};
use crate::outlier::{OutlierOptions, Windows};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::{Outcome, OutcomeKind, Tick};

/// Settings of health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// Failures in a row before an ejection; 0 turns it off.
    pub consecutive_failures: u32,
    /// First ejection, milliseconds; the n-th in a row lasts n times as long.
    pub ejection_ms: u64,
    /// Largest share of the pool that may be ejected, 0 to 1.
    pub max_ejected_ratio: f32,
    /// Below this share of eligible endpoints all are taken, 0 to 1.
    pub panic_ratio: f32,
    /// Time over which an endpoint that joined or came back grows to its full share, milliseconds; 0 turns it off.
    pub slow_start_ms: u64,
    /// Ejection by statistics.
    pub outlier: OutlierOptions,
}

impl Default for HealthOptions {
    /// Envoy's outlier detection: 5 failures in a row; the shares are more careful than its 10 % and 50 %
    /// because the forecast already avoids what fails.
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            ejection_ms: 5_000,
            max_ejected_ratio: 0.5,
            panic_ratio: 0.3,
            slow_start_ms: 0,
            outlier: OutlierOptions::default(),
        }
    }
}

/// Longest ejection as a multiple of the first.
const MAX_EJECTION_MULTIPLE: u32 = 10;

/// Share of its turns that an endpoint gets at the beginning of its slow start: with none it would learn nothing.
const FIRST_SHARE: f64 = 0.1;

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
    windows: Windows,
    /// Counts decisions while somebody is in slow start.
    turns: Cell<u32>,
}

impl Health {
    /// All healthy.
    pub fn new(endpoints: usize) -> Self {
        Self {
            states: vec![EndpointHealth::default(); endpoints],
            windows: Windows::new(endpoints),
            turns: Cell::new(0),
        }
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
        self.windows = Windows::new(new.len());
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
        let mut limited = false;
        slots.extend((0..endpoints.len()).filter(|slot| {
            let endpoint = &endpoints[*slot];
            limited |= endpoint.limit().is_some();
            endpoint.is_open() && !self.is_ejected(*slot, now)
        }));
        // The common case needs no second look at the pool.
        let few = (slots.len() as f32) < options.panic_ratio * endpoints.len() as f32;
        let drained = |slot: &usize| endpoints[*slot].is_closed(Closed::Draining);
        let panicking = few && {
            let serving = (0..endpoints.len()).filter(|slot| !drained(slot)).count();
            (slots.len() as f32) < options.panic_ratio * serving as f32
        };
        if panicking {
            slots.clear();
            slots.extend((0..endpoints.len()).filter(|slot| !drained(slot)));
        } else if options.slow_start_ms > 0 {
            self.thin_out(endpoints, options, now, slots);
        }
        let open = |slot: &usize| !exclude.contains(&endpoints[*slot].key()) && !endpoints[*slot].is_full();
        // Mostly nothing was tried before and nothing has a limit.
        if limited || !exclude.is_empty() {
            slots.retain(open);
        }
        if slots.is_empty() {
            // Only ejected endpoints are left untried: one of them is better than an error of our own.
            slots.extend((0..endpoints.len()).filter(|slot| open(slot) && !drained(slot)));
        }
        panicking
    }

    /// Leaves endpoints in slow start out of most of their turns, but never empties the set.
    fn thin_out(&self, endpoints: &[Arc<Endpoint>], options: &HealthOptions, now: Tick, slots: &mut Vec<usize>) {
        let window = Duration::from_millis(options.slow_start_ms);
        let share = |slot: usize| {
            let ejected = self.states.get(slot).and_then(|state| state.ejected_until);
            let since = ejected.max(endpoints[slot].joined_at())?;
            let age = now.since(since);
            (age < window).then(|| (age.as_secs_f64() / window.as_secs_f64()).max(FIRST_SHARE))
        };
        let Some(full) = slots.iter().position(|slot| share(*slot).is_none()) else { return };
        let keep = slots[full];
        let turn = self.turns.get().wrapping_add(1);
        self.turns.set(turn);
        // Multiples of the golden ratio are spread evenly, so a share of 0.1 is every tenth turn and no luck.
        let place = (f64::from(turn) * 0.618_033_988_749_894_9).fract();
        slots.retain(|slot| *slot == keep || share(*slot).is_none_or(|share| place < share));
    }

    /// Learns from the end of a request.
    pub fn learn(&mut self, slot: usize, outcome: &Outcome, options: &HealthOptions, now: Tick) {
        if outcome.kind == OutcomeKind::ClientAbort {
            // It says nothing about the endpoint, so it must not end a row of failures either.
            return;
        }
        self.observe(slot, outcome.kind.is_endpoint_failure(), options, now);
        if options.outlier.is_on() {
            self.windows.observe(slot, outcome);
            if let Some(outliers) = self.windows.close(&options.outlier, now) {
                for slot in outliers {
                    self.eject(slot, options, now);
                }
            }
        }
    }

    /// Learns whether a request failed.
    pub fn observe(&mut self, slot: usize, failed: bool, options: &HealthOptions, now: Tick) {
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
        if options.consecutive_failures > 0 && state.failures >= options.consecutive_failures {
            self.eject(slot, options, now);
        }
    }

    /// Ejects an endpoint, unless it is or too many others are.
    fn eject(&mut self, slot: usize, options: &HealthOptions, now: Tick) {
        let ejected = (0..self.states.len()).filter(|slot| self.is_ejected(*slot, now)).count();
        let allowed = (self.states.len() as f32 * options.max_ejected_ratio) as usize;
        if self.is_ejected(slot, now) || ejected >= allowed {
            return;
        }
        let Some(state) = self.states.get_mut(slot) else { return };
        state.streak = (state.streak + 1).min(MAX_EJECTION_MULTIPLE);
        state.ejections = state.ejections.saturating_add(1);
        state.failures = 0;
        let length = Duration::from_millis(options.ejection_ms.saturating_mul(u64::from(state.streak)));
        state.ejected_until = Some(now.after(length));
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
    fn a_client_that_goes_away_neither_fails_an_endpoint_nor_acquits_it() {
        let mut health = Health::new(4);
        let options = HealthOptions::default();
        let outcome = |kind, status| Outcome { kind, status, latency: Duration::from_millis(1) };
        for _ in 0..20 {
            health.learn(0, &outcome(OutcomeKind::ClientAbort, 0), &options, Tick::ZERO);
        }
        assert!(!health.is_ejected(0, Tick::ZERO));
        for _ in 0..5 {
            health.learn(0, &outcome(OutcomeKind::ServerError, 500), &options, Tick::ZERO);
            health.learn(0, &outcome(OutcomeKind::ClientAbort, 0), &options, Tick::ZERO);
        }
        assert!(health.is_ejected(0, Tick::ZERO));
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

    #[test]
    fn what_is_drained_gets_nothing_even_in_panic_mode_and_what_fails_its_checks_does() {
        let pool = pool(4);
        let health = Health::new(4);
        pool[0].set_closed(Closed::Draining, true);
        pool[1].set_closed(Closed::Unhealthy, true);
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO), (vec![2, 3], false));
        pool[2].set_closed(Closed::Unhealthy, true);
        pool[3].set_closed(Closed::Unhealthy, true);
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO), (vec![1, 2, 3], true));
        for endpoint in &pool {
            endpoint.set_closed(Closed::Draining, true);
        }
        assert!(eligible(&health, &pool, &[], Tick::ZERO).0.is_empty());
    }

    #[test]
    fn a_pool_that_is_mostly_drained_is_no_panic() {
        let pool = pool(10);
        let health = Health::new(10);
        pool[..8].iter().for_each(|endpoint| endpoint.set_closed(Closed::Draining, true));
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO), (vec![8, 9], false));
    }

    #[test]
    fn a_full_endpoint_is_left_out_and_never_overfilled() {
        let spec = EndpointSpec { name: "e".into(), weight: 1.0, zone: None };
        let pool = vec![Arc::new(Endpoint::new(&spec, 1).limited(Some(1)))];
        let health = Health::new(1);
        let token = pool[0].start(0);
        assert!(eligible(&health, &pool, &[], Tick::ZERO).0.is_empty());
        drop(token);
        assert_eq!(eligible(&health, &pool, &[], Tick::ZERO).0, vec![0]);
    }

    #[test]
    fn an_endpoint_that_joins_grows_into_its_share() {
        let pool = pool(3);
        let health = Health::new(3);
        pool[2].joined(Tick::from_secs_f64(100.0));
        let options = HealthOptions { slow_start_ms: 10_000, ..HealthOptions::default() };
        let share = |now: f64| {
            let mut slots = Vec::new();
            let turns = 1_000;
            let taken = (0..turns).filter(|_| {
                health.eligible(&pool, &[], &options, Tick::from_secs_f64(now), &mut slots);
                assert!(slots.starts_with(&[0, 1]));
                slots.contains(&2)
            });
            taken.count() as f64 / f64::from(turns)
        };
        for (now, expected) in [(100.0, 0.1), (105.0, 0.5), (109.0, 0.9), (110.0, 1.0)] {
            let share = share(now);
            assert!((share - expected).abs() < 0.02, "{now}: {share}");
        }
        // Where all have just joined, all are taken.
        pool.iter().for_each(|endpoint| endpoint.joined(Tick::from_secs_f64(200.0)));
        let mut slots = Vec::new();
        health.eligible(&pool, &[], &options, Tick::from_secs_f64(200.0), &mut slots);
        assert_eq!(slots, vec![0, 1, 2]);
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
