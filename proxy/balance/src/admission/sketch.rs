//! Heavy hitters among unnamed tenants, in bounded memory: the space-saving sketch, decayed.
//!
//! A fixed number of counters. A key that has none takes over the smallest counter and with it that counter's count,
//! kept as its possible error; so a count is never too low, its excess is at most the error, and every key above
//! 1/counters of the traffic has a counter. All counts halve once a period, so that a tenant that left is forgotten.
//! Source: Metwally, Agrawal, El Abbadi, *Efficient Computation of Frequent and Top-k Elements in Data Streams*, ICDT'05.
//!
//! Rejected: an LRU table of tenants, which a flood of names sweeps clean; and the stream-summary list of the paper: the
//! smallest of 256 counters is found in some fifty nanoseconds, and only for a key without one.

use std::collections::HashMap;
use std::time::Duration;
use tailcast_features::Tick;

/// Counts halve this often: a tenant that is quiet for a minute keeps 2 % of its count.
const HALVING: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Counter {
    key: u64,
    count: u32,
    error: u32,
}

/// The sketch.
#[derive(Debug)]
pub(super) struct SpaceSaving {
    counters: Vec<Counter>,
    places: HashMap<u64, u32>,
    capacity: usize,
    total: u64,
    halved: Tick,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its counter.
    pub(super) place: usize,
    /// True where it certainly has more than 1/capacity of the traffic.
    pub(super) is_heavy: bool,
    /// True where the counter was another key's until now.
    pub(super) is_new: bool,
}

impl SpaceSaving {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            counters: Vec::with_capacity(capacity),
            places: HashMap::with_capacity(capacity),
            capacity,
            total: 0,
            halved: Tick::ZERO,
        }
    }

    /// Counts a key.
    pub(super) fn observe(&mut self, key: u64, now: Tick) -> Found {
        if now.since(self.halved) >= HALVING {
            self.halve(now);
        }
        self.total += 1;
        let known = self.places.get(&key).map(|place| *place as usize);
        let (place, is_new) = match known {
            Some(place) => (place, false),
            None => (self.take_over(key), true),
        };
        let counter = &mut self.counters[place];
        counter.count = counter.count.saturating_add(1);
        let sure = u64::from(counter.count - counter.error);
        Found { place, is_heavy: sure * self.capacity as u64 >= self.total, is_new }
    }

    fn take_over(&mut self, key: u64) -> usize {
        if self.counters.len() < self.capacity {
            self.counters.push(Counter { key, count: 0, error: 0 });
            self.places.insert(key, (self.counters.len() - 1) as u32);
            return self.counters.len() - 1;
        }
        let smallest = self.counters.iter().enumerate().min_by_key(|(_, counter)| counter.count);
        let (place, count, before) = smallest.map_or((0, 0, 0), |(place, of)| (place, of.count, of.key));
        self.places.remove(&before);
        self.counters[place] = Counter { key, count, error: count };
        self.places.insert(key, place as u32);
        place
    }

    fn halve(&mut self, now: Tick) {
        self.halved = now;
        self.total /= 2;
        for counter in &mut self.counters {
            // Both alike: what is sure stays half as sure, never more.
            let sure = (counter.count - counter.error) / 2;
            counter.error /= 2;
            counter.count = counter.error + sure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_million_names_do_not_hide_a_heavy_one_and_none_of_them_is_heavy() {
        let mut sketch = SpaceSaving::new(64);
        let mut wrong = 0;
        for i in 0..1_000_000u64 {
            let now = Tick::from_nanos(i * 1_000);
            let flood = sketch.observe(1_000 + i, now);
            wrong += u32::from(flood.is_heavy && i > 64);
            if i % 10 == 0 {
                let heavy = sketch.observe(7, now);
                assert!(heavy.is_heavy || i < 1_000, "after {i}");
            }
        }
        assert_eq!((wrong, sketch.counters.len(), sketch.places.len()), (0, 64, 64));
    }

    #[test]
    fn who_left_is_forgotten() {
        let mut sketch = SpaceSaving::new(4);
        for _ in 0..1_000 {
            sketch.observe(1, Tick::ZERO);
        }
        let mut now = Tick::ZERO;
        for i in 0..400u64 {
            now = now.after(Duration::from_secs(1));
            sketch.observe(10 + i % 4, now);
        }
        assert!(!sketch.places.contains_key(&1));
    }

    proptest! {
        #[test]
        fn a_count_is_never_too_low_and_its_excess_at_most_its_error(keys in prop::collection::vec(0u64..40, 1..600)) {
            let mut sketch = SpaceSaving::new(8);
            let mut exact = HashMap::new();
            for key in keys {
                *exact.entry(key).or_insert(0u32) += 1;
                sketch.observe(key, Tick::ZERO);
            }
            for counter in &sketch.counters {
                let truth = exact[&counter.key];
                prop_assert!(counter.count >= truth && counter.count - counter.error <= truth);
            }
        }
    }
}
