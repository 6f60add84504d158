//! The near-ties of the best candidate, and who of them is chosen with which probability.
//!
//! Mostly few of many candidates are good enough, so they are listed once and everything after that is a matter of those
//! few. Scratch space: it only allocates to grow.

use crate::propensity;
use tailcast_features::log::LoggedCandidate;

/// Candidates within a ratio of the best.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    places: Vec<usize>,
    ties: Vec<LoggedCandidate>,
}

impl Ties {
    /// Finds the open candidates whose score is at most `ratio` times that of the best open one.
    pub(crate) fn find(&mut self, scores: &[f32], open: &[bool], ratio: f32) {
        let best = scores
            .iter()
            .zip(open)
            .fold(f32::INFINITY, |best, (score, open)| best.min(if *open { *score } else { f32::INFINITY }));
        let limit = best * ratio;
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

    /// The better of two.
    pub(crate) fn two_choices(&mut self) {
        propensity::two_choices(&mut self.ties);
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
                ties.find(&scores, &open, ratio);
                ties.two_choices();
                let places: Vec<usize> = ties.propensities().map(|(place, _)| place).collect();
                prop_assert_eq!(&places, &expected);
                prop_assert!(expected.is_empty() || expected.contains(&ties.draw(uniform)));
            }
        }
    }
}
