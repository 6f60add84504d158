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

/// The lower score of two different uniform draws, ties by a fair coin: among n candidates, one that beats w and
/// ties with t others is chosen with probability (w + t/2) / C(n, 2).
pub(crate) fn two_choices(candidates: &mut [LoggedCandidate]) {
    let n = candidates.len();
    if n < 2 {
        candidates.iter_mut().for_each(|candidate| candidate.propensity = 1.0);
        return;
    }
    let pairs = (n * (n - 1) / 2) as f32;
    // Scores side by side and no branches: the inner loop then runs in vector registers.
    let mut near = [0.0f32; NEAR];
    for (score, candidate) in near.iter_mut().zip(candidates.iter()) {
        *score = candidate.score;
    }
    for i in 0..n {
        let own = candidates[i].score;
        let wins_over = |other: f32| (f32::from(u8::from(own < other)) + f32::from(u8::from(own <= other))) * 0.5;
        let mut wins: f32 = near[..n.min(NEAR)].iter().map(|other| wins_over(*other)).sum();
        for other in candidates.iter().skip(NEAR) {
            wins += wins_over(other.score);
        }
        // It ties with itself, which the sum counts as half a win.
        candidates[i].propensity = (wins - 0.5).max(0.0) / pairs;
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
    fn the_worst_of_two_choices_is_never_chosen_and_the_best_most_often() {
        let mut all = candidates(&[1, 2, 3]);
        two_choices(&mut all);
        let propensities: Vec<f32> = all.iter().map(|candidate| candidate.propensity).collect();
        assert_eq!(propensities, vec![2.0 / 3.0, 1.0 / 3.0, 0.0]);
    }

    proptest! {
        #[test]
        fn propensities_sum_to_one(scores in prop::collection::vec(0u8..6, 1..40)) {
            let mut all = candidates(&scores);
            two_choices(&mut all);
            prop_assert!((sum(&all) - 1.0).abs() < 1e-4);
            let least = f32::from(*scores.iter().min().unwrap_or(&0));
            uniform_where(&mut all, |candidate| candidate.score <= least);
            prop_assert!((sum(&all) - 1.0).abs() < 1e-4);
        }
    }
}
