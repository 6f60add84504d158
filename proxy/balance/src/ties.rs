//! The near-ties of the best candidate, and who of them is chosen with which probability.
//!
//! Mostly few of many candidates are good enough, so they are listed once and everything after that is a matter of those
//! few. Scratch space: it only allocates to grow.

use crate::propensity;
use tailcast_features::Tick;
use tailcast_features::log::LoggedCandidate;

/// Candidates within a ratio of the best.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    places: Vec<usize>,
    ties: Vec<LoggedCandidate>,
    /// When each tie last reported, the newest first.
    ages: Vec<(Tick, usize)>,
    newest: Vec<LoggedCandidate>,
}

impl Ties {
    /// The place of the best open candidate, the first of equals; `None` where none is open.
    pub(crate) fn best(scores: &[f32], open: &[bool]) -> Option<usize> {
        let open = scores.iter().zip(open).enumerate().filter(|(_, (_, open))| **open);
        open.map(|(place, (score, _))| (place, *score))
            .reduce(|best, other| if other.1 < best.1 { other } else { best })
            .map(|(place, _)| place)
    }

    /// Finds the open candidates whose score is at most `limit`.
    pub(crate) fn find(&mut self, scores: &[f32], open: &[bool], limit: f32) {
        // Written in any case, counted where it is one: no branch on what cannot be guessed.
        self.places.resize(scores.len(), 0);
        let mut count = 0;
        for (place, (score, open)) in scores.iter().zip(open).enumerate() {
            self.places[count] = place;
            count += usize::from(*open & (*score <= limit));
        }
        self.places.truncate(count);
        self.ties.clear();
        let tie = |place: &usize| LoggedCandidate { endpoint: 0, propensity: 0.0, score: scores[*place] };
        self.ties.extend(self.places.iter().map(tie));
    }

    /// Each with the same probability.
    pub(crate) fn share_equally(&mut self) {
        propensity::uniform_where(&mut self.ties, |_| true);
    }

    /// The best of so many draws.
    pub(crate) fn best_of(&mut self, draws: usize) {
        propensity::best_of(&mut self.ties, draws);
    }

    /// The best of so many draws among those of which there is the newest report: as many as are drawn, and all that are
    /// as new as the oldest of them.
    pub(crate) fn best_of_newest(&mut self, draws: usize, reported_at: impl Fn(usize) -> Tick) {
        self.ages.clear();
        self.ages.extend(self.places.iter().enumerate().map(|(tie, place)| (reported_at(*place), tie)));
        self.ages.sort_unstable_by(|a, b| b.cmp(a));
        let least = self.ages.get(draws.saturating_sub(1)).or(self.ages.last()).map_or(Tick::ZERO, |age| age.0);
        self.newest.clear();
        self.newest.extend(self.ages.iter().filter(|(at, _)| *at >= least).map(|(_, tie)| self.ties[*tie]));
        propensity::best_of(&mut self.newest, draws);
        self.ties.iter_mut().for_each(|tie| tie.propensity = 0.0);
        for ((_, tie), newest) in self.ages.iter().zip(&self.newest) {
            self.ties[*tie].propensity = newest.propensity;
        }
    }

    /// The places of the ties among the candidates, and their propensities.
    pub(crate) fn propensities(&self) -> impl Iterator<Item = (usize, f32)> {
        self.places.iter().zip(&self.ties).map(|(place, tie)| (*place, tie.propensity))
    }

    /// The candidate at `uniform`, of [0, 1), in the order of the candidates; the first where there is no tie.
    pub(crate) fn draw(&self, uniform: f32) -> usize {
        let place = propensity::at(&self.ties, uniform);
        self.places.get(place).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ties_are_the_open_ones_near_the_best_and_only_they_are_drawn(
            scored in prop::collection::vec((0u8..30, any::<bool>()), 1..60), ratio in 1.0f32..1.5, uniform in 0.0f32..1.0
        ) {
            let scores: Vec<f32> = scored.iter().map(|(score, _)| 10.0 + f32::from(*score)).collect();
            let open: Vec<bool> = scored.iter().map(|(_, open)| *open).collect();
            let best = (0..scores.len()).filter(|i| open[*i]).map(|i| scores[i]).fold(f32::INFINITY, f32::min);
            let expected: Vec<usize> =
                (0..scores.len()).filter(|i| open[*i] && scores[*i] <= best * ratio).collect();
            let mut ties = Ties::default();
            for _ in 0..2 {
                ties.find(&scores, &open, best * ratio);
                ties.best_of(2);
                let places: Vec<usize> = ties.propensities().map(|(place, _)| place).collect();
                prop_assert_eq!(&places, &expected);
                prop_assert!(expected.is_empty() || expected.contains(&ties.draw(uniform)));
                prop_assert_eq!(Ties::best(&scores, &open).map(|place| scores[place]), expected.iter().map(|i| scores[*i]).reduce(f32::min));
                // The three that reported last, and no other: here the last places.
                ties.best_of_newest(3, |place| Tick::from_nanos(place as u64));
                let newest = expected.len().saturating_sub(3);
                for (tie, (_, propensity)) in ties.propensities().enumerate() {
                    prop_assert!(tie >= newest || propensity == 0.0);
                }
                let sum: f32 = ties.propensities().map(|(_, propensity)| propensity).sum();
                prop_assert!(expected.is_empty() || (sum - 1.0).abs() < 1e-4);
            }
        }
    }
}
