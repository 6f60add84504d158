//! Exact propensities: the probability of each candidate under the policy, given what it saw.

use tailcast_features::log::LoggedCandidate;

/// Equal shares among the candidates that `is_best` accepts, zero for the others; all where it accepts none.
pub(crate) fn uniform_where(candidates: &mut [LoggedCandidate], is_best: impl Fn(&LoggedCandidate) -> bool) {
    let best = candidates.iter().filter(|candidate| is_best(candidate)).count();
    let all = best == 0;
    let share = 1.0 / if all { candidates.len().max(1) } else { best } as f32;
    for candidate in candidates {
        candidate.propensity = if all || is_best(candidate) { share } else { 0.0 };
    }
}

/// The place at `uniform`, of [0, 1), where each candidate takes as much as its propensity.
pub(crate) fn at(candidates: &[LoggedCandidate], uniform: f32) -> usize {
    let mut left = uniform;
    for (i, candidate) in candidates.iter().enumerate() {
        left -= candidate.propensity;
        if left < 0.0 {
            return i;
        }
    }
    // Rounding can leave a little over: the last candidate that can be chosen at all.
    candidates.iter().rposition(|candidate| candidate.propensity > 0.0).unwrap_or(0)
}

/// The lowest score of `draws` different uniform draws, ties by a fair coin: among n candidates, k that tie and beat w
/// others are chosen, together, with probability (C(w + k, d) − C(w, d)) / C(n, d).
pub(crate) fn best_of(candidates: &mut [LoggedCandidate], draws: usize) {
    let n = candidates.len();
    let draws = draws.clamp(1, n.max(1));
    // Scores side by side and no branches: the inner loop then runs in vector registers.
    let mut near = [0.0f32; NEAR];
    for (score, candidate) in near.iter_mut().zip(candidates.iter()) {
        *score = candidate.score;
    }
    // C(m, d) / C(n, d), as a product that never leaves 0 to 1.
    let missed = |m: f32| (0..draws).map(|i| (m - i as f32).max(0.0) / (n - i) as f32).product::<f32>();
    for i in 0..n {
        let own = candidates[i].score;
        let mut beaten: f32 = near[..n.min(NEAR)].iter().map(|other| f32::from(u8::from(own < *other))).sum();
        let mut tied: f32 = near[..n.min(NEAR)].iter().map(|other| f32::from(u8::from(own == *other))).sum();
        for other in candidates.iter().skip(NEAR) {
            beaten += f32::from(u8::from(own < other.score));
            tied += f32::from(u8::from(own == other.score));
        }
        candidates[i].propensity = (missed(beaten + tied) - missed(beaten)) / tied.max(1.0);
    }
}

/// Candidates whose scores are copied side by side: larger pools are rare.
const NEAR: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates(scores: &[u8]) -> Vec<LoggedCandidate> {
        scores
            .iter()
            .enumerate()
            .map(|(i, score)| LoggedCandidate { endpoint: i as u64, propensity: 0.0, score: f32::from(*score) })
            .collect()
    }

    fn sum(candidates: &[LoggedCandidate]) -> f32 {
        candidates.iter().map(|candidate| candidate.propensity).sum()
    }

    #[test]
    fn the_best_of_two_of_three_is_never_the_worst_and_of_all_always_the_best() {
        let mut all = candidates(&[1, 2, 3]);
        let mut chosen = |draws, expected: [f32; 3]| {
            best_of(&mut all, draws);
            all.iter().zip(expected).all(|(candidate, expected)| (candidate.propensity - expected).abs() < 1e-6)
        };
        assert!(chosen(2, [2.0 / 3.0, 1.0 / 3.0, 0.0]));
        assert!(chosen(1, [1.0 / 3.0; 3]));
        assert!(chosen(9, [1.0, 0.0, 0.0]));
    }

    proptest! {
        #[test]
        fn propensities_sum_to_one(scores in prop::collection::vec(0u8..6, 1..40), draws in 1usize..9) {
            let mut all = candidates(&scores);
            best_of(&mut all, draws);
            prop_assert!((sum(&all) - 1.0).abs() < 1e-4);
            let least = f32::from(*scores.iter().min().unwrap_or(&0));
            uniform_where(&mut all, |candidate| candidate.score <= least);
            prop_assert!((sum(&all) - 1.0).abs() < 1e-4);
        }
    }
}
