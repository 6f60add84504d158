//! Who could have served a request of a trace, and with which probability: estimated from the recent past.

use crate::dataset::Candidate;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::Tick;

/// An endpoint that served nothing for so long may have left the pool.
const RECENT: Duration = Duration::from_secs(600);

/// Requests of a route that count at most: shares follow a change of weights within some hundred requests.
const MAX_CHOICES: usize = 256;

/// The recent choices of one pool.
pub(super) struct RecentChoices {
    last_served: Vec<Option<Tick>>,
    routes: HashMap<u64, VecDeque<(Tick, usize)>>,
}

impl RecentChoices {
    pub(super) fn new(endpoints: usize) -> Self {
        Self { last_served: vec![None; endpoints], routes: HashMap::new() }
    }

    /// The slots of the endpoints that served the pool lately and of `chosen`, ascending, and beside them their
    /// estimated propensities `(nₑ + 1) / (N + k)` over the route's `N` recent requests among `k` candidates.
    pub(super) fn candidates(
        &mut self,
        route: u64,
        chosen: usize,
        now: Tick,
        keys: &[u64],
    ) -> (Vec<usize>, Arc<[Candidate]>) {
        let is_recent = |last: &Option<Tick>| last.is_some_and(|last| now.since(last) <= RECENT);
        let slots: Vec<usize> = (0..keys.len())
            .filter(|slot| *slot == chosen || self.last_served.get(*slot).is_some_and(is_recent))
            .collect();
        let choices = self.routes.entry(route).or_default();
        while choices.front().is_some_and(|(at, _)| now.since(*at) > RECENT) {
            choices.pop_front();
        }
        let mut counts = vec![1.0f32; slots.len()];
        for (_, slot) in choices.iter() {
            if let Ok(position) = slots.binary_search(slot) {
                counts[position] += 1.0;
            }
        }
        let total: f32 = counts.iter().sum();
        let candidates = slots
            .iter()
            .zip(&counts)
            .map(|(slot, count)| Candidate { endpoint: keys[*slot], propensity: count / total })
            .collect();
        (slots, candidates)
    }

    /// Notes a choice.
    pub(super) fn chosen(&mut self, route: u64, slot: usize, now: Tick) {
        if let Some(last) = self.last_served.get_mut(slot) {
            *last = Some(now);
        }
        let choices = self.routes.entry(route).or_default();
        if choices.len() == MAX_CHOICES {
            choices.pop_front();
        }
        choices.push_back((now, slot));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn shares_are_smoothed_counts_of_the_route_and_idle_endpoints_drop_out() {
        let keys = [10, 11, 12];
        let mut recent = RecentChoices::new(3);
        let at = Tick::from_secs_f64;
        recent.chosen(1, 2, at(0.0));
        for i in 0..3 {
            recent.chosen(1, 0, at(500.0 + f64::from(i)));
        }
        recent.chosen(2, 1, at(505.0));
        let (slots, candidates) = recent.candidates(1, 0, at(590.0), &keys);
        assert_eq!(slots, [0, 1, 2]);
        let shares: Vec<f32> = candidates.iter().map(|candidate| candidate.propensity).collect();
        assert_eq!(shares, [4.0 / 7.0, 1.0 / 7.0, 2.0 / 7.0]);
        let (slots, candidates) = recent.candidates(1, 0, at(700.0), &keys);
        assert_eq!(slots, [0, 1], "endpoint 12 served nothing for ten minutes");
        assert!((candidates.iter().map(|c| c.propensity).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
