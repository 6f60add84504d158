//! When a difference is no accident, however often and however long one looks.
//!
//! A block's observation is a difference of two shares, so it lies in [−1, 1]. As long as its mean is at most the margin,
//! `1 + λ·(x − margin)` has a mean of at most 1 for any `0 ≤ λ < 1/(1 + margin)`: it is a bet on harm that does not pay on
//! average. The Shiryaev–Roberts sum of products of such bets, `M ← (M + 1)·(1 + λ·(x − margin))`, starts a new bet at every
//! block, so harm that begins after a week of good service is found as fast as harm that was there at once; and an alarm at
//! `M ≥ n` comes on average no sooner than after `n` harmless blocks, whatever the distribution (Shin, Ramdas & Rinaldo,
//! "E-detectors", 2024; bets on a bounded mean: Waudby-Smith & Ramdas 2024). Bets of several sizes are averaged, since no
//! single one suits small and large harm.
//!
//! Rejected: a confidence sequence of the mean since the model was loaded (a week of good blocks hides an hour of bad
//! ones), and a t-test on a sliding window (looked at every second, it raises false alarms every day).

/// Harmless blocks between false alarms, at least: thirty days of the shortest blocks, in which the arms differ by all of
/// the margin. Arms that do not differ raise none at all.
const ALARM_AFTER: f64 = 30.0 * 86_400.0 * 10.0;

/// Sizes of the bets. The largest is below `1/(1 + margin)` for any margin up to 0.2.
const BETS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

/// Watches whether the mean of bounded observations is above a margin.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    margin: f64,
    wealth: [f64; BETS.len()],
}

impl Detector {
    /// For a margin of 0 to 0.2.
    pub(super) fn new(margin: f64) -> Self {
        Self { margin: margin.clamp(0.0, 0.2), wealth: [0.0; BETS.len()] }
    }

    /// Takes in one observation of [−1, 1]; true where the mean has risen above the margin.
    pub(super) fn observe(&mut self, value: f64) -> bool {
        let value = value.clamp(-1.0, 1.0);
        for (wealth, bet) in self.wealth.iter_mut().zip(BETS) {
            *wealth = (*wealth + 1.0) * (1.0 + bet * (value - self.margin));
        }
        self.wealth.iter().sum::<f64>() / BETS.len() as f64 >= ALARM_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// A difference of two shares of ten requests each, of which 5 % and `slow` are slow.
    fn block(random: &mut Pcg64Mcg, slow: f64) -> f64 {
        let mut share = |of: f64| (0..10).filter(|_| random.random_bool(of)).count() as f64 / 10.0;
        share(slow) - share(0.05)
    }

    #[test]
    fn equal_arms_raise_no_alarm_in_half_a_day() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut detector = Detector::new(0.01);
        assert!((0..43_200 * 10).all(|_| !detector.observe(block(&mut random, 0.05))));
    }

    #[test]
    fn harm_that_begins_after_a_day_is_found_as_fast_as_harm_from_the_start() {
        for (slow, within) in [(0.15, 600), (0.5, 60)] {
            for quiet in [0, 86_400] {
                let mut random = Pcg64Mcg::seed_from_u64(2);
                let mut detector = Detector::new(0.01);
                (0..quiet).for_each(|_| assert!(!detector.observe(block(&mut random, 0.05))));
                let found = (1..=within).find(|_| detector.observe(block(&mut random, slow)));
                assert!(found.is_some(), "{slow} after {quiet} blocks was not found in {within}");
            }
        }
    }

    #[test]
    fn every_bet_keeps_its_wealth_positive_at_the_worst_observation() {
        let mut detector = Detector::new(1.0);
        for value in [-1.0, -5.0, 1.0, -1.0] {
            detector.observe(value);
            assert!(detector.wealth.iter().all(|wealth| *wealth > 0.0), "{detector:?}");
        }
    }
}
