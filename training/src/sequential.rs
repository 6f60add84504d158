//! A live A/B from the log: control against treatment, with a test that may be looked at every day.
//!
//! A small share of the traffic goes by a control policy for ever, so the log holds both arms side by side. Time is cut
//! into blocks; in each the difference of the arms is one number. So what hits both arms at once (a spike, a
//! brown-out, the night) falls out, and rows of one block, which go together, count as one observation and not as
//! thousands. Over the blocks runs a normal-mixture confidence sequence (Robbins 1970; Waudby-Smith, Arbour, Sinha,
//! Kennedy & Ramdas 2024, theorem 2.2 for an estimated variance):
//!
//! `mean ± σ̂·√(2·(nρ² + 1)/(n²ρ²)·ln(√(nρ² + 1)/α))`, `p = √(nρ² + 1)·exp(−n²ρ²·mean²/(2·σ̂²·(nρ² + 1)))`,
//!
//! which hold at every n at once: the smallest p so far is a p-value whenever one stops. Two questions are asked: by what
//! factor the treatment changes latency, and by how much the share of slow requests.
//!
//! Both arms load the same endpoints, so what the treatment does to the queues it also does to the control: the test
//! compares requests and not worlds. Rejected: a t-test (looked at every day for a month it finds a difference
//! in every fourth pair of equal arms), and tests on rows as if they were independent.

use crate::dataset::Dataset;
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// What the intervals miss over all of time.
const ALPHA: f64 = 0.05;

/// Blocks at which the sequence is narrowest: with blocks of ten seconds, after an hour.
const TUNED_FOR: f64 = 360.0;

/// Blocks before the variance is worth an estimate.
const MIN_BLOCKS: usize = 20;

/// Rows of each arm in a block; with fewer the block goes on.
const MIN_ARM_ROWS: usize = 10;

/// Rows of the control that say what slow is, before the test begins.
const BURN_IN: usize = 200;

/// Share of those that is not slow.
const SLOW_LEVEL: f64 = 0.95;

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Policy.
    pub policy: String,
    /// Rows.
    pub rows: usize,
    /// Share that failed.
    pub failed_ratio: f64,
    /// Median latency of the others, milliseconds.
    pub p50_ms: f64,
    /// Their 99th percentile, milliseconds.
    pub p99_ms: f64,
}

/// A difference with its confidence sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Treatment less control, mean over the blocks.
    pub value: f64,
    /// Lower end of the interval, at 95 % over all of time.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Always-valid p-value: the smallest so far.
    pub p_value: f64,
    /// Block after which it was below 0.05; `None` where it never was.
    pub decided_after: Option<usize>,
}

/// What the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveTest {
    /// The control.
    pub control: Arm,
    /// The treatment.
    pub treatment: Arm,
    /// Blocks compared.
    pub blocks: usize,
    /// Latency from which on a request is slow, milliseconds: the 95th percentile of the control's first rows.
    pub slow_ms: f64,
    /// Difference of the mean natural log of latency: its exponential is the factor.
    pub ln_latency: Difference,
    /// Difference of the share that is slow or failed.
    pub slow_ratio: Difference,
}

/// Compares two policies in a log whose rows are in order of arrival, in blocks of at least `block_us` microseconds.
///
/// # Errors
/// The log has too few rows of either policy, or never both within the same time.
pub fn compare(rows: &Dataset, control: &str, treatment: &str, block_us: i64) -> Result<LiveTest, TrainError> {
    let policies: Vec<&str> = rows.names().policies.iter().collect();
    let arm_of = |row: usize| match policies.get(rows.policy[row] as usize) {
        Some(policy) if *policy == control => Some(0),
        Some(policy) if *policy == treatment => Some(1),
        _ => None,
    };
    let all: Vec<(usize, usize)> = (0..rows.len()).filter_map(|row| Some((row, arm_of(row)?))).collect();
    let of_arm = |arm: usize| all.iter().filter(move |(_, of)| *of == arm).map(|(row, _)| *row).collect::<Vec<_>>();
    let arms = [of_arm(0), of_arm(1)];
    for (rows, policy) in arms.iter().zip([control, treatment]) {
        if rows.len() < BURN_IN + MIN_ARM_ROWS {
            return Err(TrainError::Comparison(format!(
                "the log has {} rows of the policy {policy:?}, {} are needed; it has rows of {policies:?}",
                rows.len(),
                BURN_IN + MIN_ARM_ROWS
            )));
        }
    }
    let (early, later) = arms[0].split_at(BURN_IN);
    let slow = quantile(rows, early, SLOW_LEVEL);
    let from = later.first().copied().unwrap_or(0);
    let (mut latency, mut tail) = (Sequence::default(), Sequence::default());
    let mut block = Block::default();
    for (row, arm) in all.iter().filter(|(row, _)| *row >= from) {
        let at = rows.arrival_us[*row];
        if block.is_full(at, block_us) {
            block.close(&mut latency, &mut tail);
        }
        block.add(at, *arm, f64::from(rows.label[*row]), rows.outcome[*row].is_endpoint_failure(), slow);
    }
    if block.has_both() {
        block.close(&mut latency, &mut tail);
    }
    if latency.n < MIN_BLOCKS {
        return Err(TrainError::Comparison(format!(
            "{control:?} and {treatment:?} are both in only {} blocks of {} s, {MIN_BLOCKS} are needed; shorter blocks \
             or a longer log may help",
            latency.n,
            block_us as f64 / 1e6
        )));
    }
    let arm = |arm: usize, policy: &str| Arm {
        policy: policy.to_owned(),
        rows: arms[arm].len(),
        failed_ratio: arms[arm].iter().filter(|row| rows.outcome[**row].is_endpoint_failure()).count() as f64
            / arms[arm].len() as f64,
        p50_ms: quantile(rows, &arms[arm], 0.5).exp(),
        p99_ms: quantile(rows, &arms[arm], 0.99).exp(),
    };
    Ok(LiveTest {
        control: arm(0, control),
        treatment: arm(1, treatment),
        blocks: latency.n,
        slow_ms: slow.exp(),
        ln_latency: latency.difference(),
        slow_ratio: tail.difference(),
    })
}

/// A quantile of the log-latency of the rows that did not fail; NaN where all did.
fn quantile(rows: &Dataset, of: &[usize], level: f64) -> f64 {
    let mut values: Vec<f32> = of.iter().filter(|row| rows.is_evidence(**row)).map(|row| rows.label[*row]).collect();
    values.sort_unstable_by(f32::total_cmp);
    let rank = (level * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).map_or(f64::NAN, |value| f64::from(*value))
}

/// Sums of both arms since the block began.
#[derive(Debug, Default)]
struct Block {
    from_us: Option<i64>,
    rows: [usize; 2],
    answered: [usize; 2],
    ln_ms: [f64; 2],
    slow: [usize; 2],
}

impl Block {
    fn add(&mut self, at_us: i64, arm: usize, ln_ms: f64, failed: bool, slow: f64) {
        self.from_us.get_or_insert(at_us);
        self.rows[arm] += 1;
        self.slow[arm] += usize::from(failed || ln_ms > slow);
        if !failed {
            self.answered[arm] += 1;
            self.ln_ms[arm] += ln_ms;
        }
    }

    fn has_both(&self) -> bool {
        self.answered.iter().all(|rows| *rows >= MIN_ARM_ROWS)
    }

    fn is_full(&self, at_us: i64, block_us: i64) -> bool {
        self.has_both() && self.from_us.is_some_and(|from| at_us.saturating_sub(from) >= block_us)
    }

    fn close(&mut self, latency: &mut Sequence, tail: &mut Sequence) {
        let mean = |arm: usize| self.ln_ms[arm] / self.answered[arm] as f64;
        let slow = |arm: usize| self.slow[arm] as f64 / self.rows[arm] as f64;
        latency.add(mean(1) - mean(0));
        tail.add(slow(1) - slow(0));
        *self = Self::default();
    }
}

/// The confidence sequence of a mean.
#[derive(Debug)]
struct Sequence {
    n: usize,
    mean: f64,
    squares: f64,
    low: f64,
    high: f64,
    p_value: f64,
    decided_after: Option<usize>,
}

impl Default for Sequence {
    fn default() -> Self {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        Self { n: 0, mean: 0.0, squares: 0.0, low, high, p_value: 1.0, decided_after: None }
    }
}

impl Sequence {
    fn add(&mut self, value: f64) {
        self.n += 1;
        let n = self.n as f64;
        let off = value - self.mean;
        self.mean += off / n;
        self.squares += off * (value - self.mean);
        if self.n < MIN_BLOCKS {
            return;
        }
        // Equal numbers are known exactly only as far as they were seen; the floor keeps 0/0 out.
        let variance = (self.squares / (n - 1.0)).max(1e-12);
        let rho2 = (-2.0 * ALPHA.ln() + (-2.0 * ALPHA.ln() + 1.0).ln()) / TUNED_FOR;
        let grown = n * rho2 + 1.0;
        let radius = (variance * 2.0 * grown / (n * n * rho2) * (grown.sqrt() / ALPHA).ln()).sqrt();
        self.low = self.low.max(self.mean - radius);
        self.high = self.high.min(self.mean + radius);
        let p = grown.sqrt() * (-(n * n * rho2) * self.mean.powi(2) / (2.0 * variance * grown)).exp();
        self.p_value = self.p_value.min(p);
        if self.p_value < ALPHA {
            self.decided_after.get_or_insert(self.n);
        }
    }

    fn difference(&self) -> Difference {
        Difference {
            value: self.mean,
            low: self.low,
            high: self.high,
            p_value: self.p_value,
            decided_after: self.decided_after,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use tailcast_features::OutcomeKind;

    /// An hour at `1 / gap_ms` requests a millisecond, one in five by the control; heavy-tailed, with a level that drifts
    /// for both arms together. The treatment takes `factor` of the control's time and fails `failing` of the requests.
    fn log(rows: usize, seed: u64, factor: f32, failing: f32) -> Dataset {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut level = 0.0f32;
        let mut number = 0i64;
        testing::dataset(rows, |row| {
            number += 1;
            row.arrival_us = number * 50_000;
            let is_control = random.random::<f32>() < 0.2;
            row.policy = if is_control { "round_robin" } else { "predictive" };
            level = 0.999 * level + 0.05 * (random.random::<f32>() - 0.5);
            let noise = -(1.0 - random.random::<f32>()).ln();
            row.ln_ms = 3.0 + level + noise + if is_control { 0.0 } else { factor.ln() };
            if !is_control && random.random::<f32>() < failing {
                row.outcome = OutcomeKind::ServerError;
                row.ln_ms = 0.0;
            }
            testing::features(&[])
        })
    }

    fn test(rows: usize, seed: u64, factor: f32, failing: f32) -> LiveTest {
        compare(&log(rows, seed, factor, failing), "round_robin", "predictive", 5_000_000).unwrap()
    }

    #[test]
    fn a_faster_treatment_is_found_and_by_how_much() {
        let found = test(40_000, 1, 0.8, 0.0);
        assert!(found.ln_latency.p_value < 1e-6 && found.ln_latency.decided_after.unwrap() < 100, "{found:?}");
        assert!(found.ln_latency.low <= 0.8f64.ln() && 0.8f64.ln() <= found.ln_latency.high, "{found:?}");
        assert!(found.slow_ratio.high < 0.0, "{found:?}");
        assert!(found.treatment.p99_ms < found.control.p99_ms && found.control.rows.abs_diff(8_000) < 300);
    }

    #[test]
    fn fast_failures_are_slow_requests_and_no_fast_ones() {
        let found = test(40_000, 2, 1.0, 0.2);
        assert!(found.slow_ratio.low > 0.1 && found.slow_ratio.p_value < 0.01, "{found:?}");
        assert!(found.ln_latency.p_value > 0.05 && (found.treatment.failed_ratio - 0.2).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn equal_arms_are_seldom_told_apart_however_often_one_looks() {
        const LOGS: u64 = 200;
        let found: Vec<LiveTest> = (0..LOGS).map(|seed| test(12_000, 100 + seed, 1.0, 0.0)).collect();
        let wrong =
            |of: fn(&LiveTest) -> Difference| found.iter().filter(|one| of(one).decided_after.is_some()).count();
        let (latency, slow) = (wrong(|one| one.ln_latency), wrong(|one| one.slow_ratio));
        assert!(latency <= LOGS as usize / 20 && slow <= LOGS as usize / 20, "{latency} and {slow} of {LOGS}");
    }

    #[test]
    fn a_log_without_a_control_says_which_policies_it_has() {
        let rows = log(2_000, 3, 1.0, 0.0);
        let refused = compare(&rows, "peak_ewma", "predictive", 5_000_000).unwrap_err().to_string();
        assert!(refused.contains("0 rows of the policy \"peak_ewma\"") && refused.contains("round_robin"), "{refused}");
        let short = compare(&rows, "round_robin", "predictive", 60_000_000).unwrap_err().to_string();
        assert!(short.contains("blocks of 60 s"), "{short}");
    }
}
