//! Off-policy estimates against written-out references and on synthetic logs whose truth is known.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::features;
use crate::dataset::{DatasetRow, Propensities};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use tailcast_features::hash::hash_name;
use tailcast_features::{OutcomeKind, index};

const ENDPOINTS: [&str; 3] = ["a", "b", "c"];
const SHARES: [f32; 3] = [0.6, 0.3, 0.1];
/// Mean latency of each endpoint, ms.
const MEANS: [f64; 3] = [40.0, 20.0, 10.0];

/// A log of a fixed random policy over three endpoints.
fn log(rows: usize, seed: u64, shares: [f32; 3]) -> Dataset {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut dataset = Dataset::with_capacity(rows, Propensities::Logged);
    let candidates: Arc<[Candidate]> = ENDPOINTS
        .iter()
        .zip(shares)
        .map(|(name, propensity)| Candidate { endpoint: hash_name(name), propensity })
        .collect();
    // The only feature is the endpoint's own mean, so that a greedy target can be right.
    let of_endpoint: Arc<[Row]> =
        MEANS.iter().map(|mean| features(&[(index::LATENCY_EWMA, mean.ln() as f32)])).collect();
    for row in 0..rows {
        let draw = random.random::<f32>();
        let chosen = if draw < shares[0] {
            0
        } else if draw < shares[0] + shares[1] {
            1
        } else {
            2
        };
        let cost = MEANS[chosen] * (0.5 + random.random::<f64>());
        let logged = DatasetRow {
            arrival_us: row as i64,
            pool: "p",
            tenant: "t",
            route: "/r",
            policy: "test",
            endpoint: ENDPOINTS[chosen],
            propensity: shares[chosen],
            outcome: OutcomeKind::Success,
            ln_ms: cost.ln() as f32,
        };
        dataset.push(&logged, &of_endpoint[chosen], Arc::clone(&candidates), Some(Arc::clone(&of_endpoint)));
    }
    dataset
}

fn greedy<'a>() -> Target<'a> {
    Target::Greedy {
        name: "greedy".to_owned(),
        epsilon: 0.1,
        score: Box::new(|choice, candidate| choice.rows[candidate][index::LATENCY_EWMA]),
    }
}

fn targets<'a>() -> [Target<'a>; 3] {
    [Target::Logging, Target::Uniform, greedy()]
}

#[test]
fn the_estimators_equal_a_written_out_reference() {
    let weights = [0.5, 2.0, 0.0, 1.25, 3.0];
    let costs = [10.0, 4.0, 7.0, 12.5, 1.0];
    let mut sum = 0.0;
    let mut total = 0.0;
    for i in 0..5 {
        sum += weights[i] * costs[i];
        total += weights[i];
    }
    let (by_ips, by_snips) = (sum / 5.0, sum / total);
    let (mut ips_squares, mut snips_squares, mut weight_squares) = (0.0, 0.0, 0.0);
    for i in 0..5 {
        ips_squares += (weights[i] * costs[i] - by_ips) * (weights[i] * costs[i] - by_ips);
        snips_squares += weights[i] * weights[i] * (costs[i] - by_snips) * (costs[i] - by_snips);
        weight_squares += weights[i] * weights[i];
    }
    let close = |seen: f64, right: f64| assert!((seen - right).abs() < 1e-9, "{seen} is not {right}");
    close(ips(&weights, &costs).value, by_ips);
    close(ips(&weights, &costs).high, by_ips + 1.959_963_984_540_054 * (ips_squares / 20.0f64).sqrt());
    close(snips(&weights, &costs).value, by_snips);
    close(snips(&weights, &costs).low, by_snips - 1.959_963_984_540_054 * f64::sqrt(snips_squares) / total);
    let expected: Vec<Expected> =
        costs.iter().map(|cost| Expected { chosen: cost * 0.9, target: 5.0 + cost / 10.0 }).collect();
    let (mut dm, mut dr, mut switched) = (0.0, 0.0, 0.0);
    for i in 0..5 {
        let correction = weights[i] * (costs[i] - expected[i].chosen);
        dm += expected[i].target / 5.0;
        dr += (expected[i].target + correction) / 5.0;
        switched += (expected[i].target + if weights[i] <= 1.5 { correction } else { 0.0 }) / 5.0;
    }
    close(direct(&expected).value, dm);
    close(doubly_robust(&weights, &costs, &expected).value, dr);
    close(switch(&weights, &costs, &expected, 1.5).value, switched);
    close(switch(&weights, &costs, &expected, 0.0).value - direct(&expected).value, 0.0);
    close(effective_rows(&weights), total * total / weight_squares);
    assert_eq!(effective_rows(&[0.0, 0.0]), 0.0);
}

#[test]
fn the_histogram_holds_every_row_and_says_where_the_weight_lies() {
    let bars = weight_histogram(&[0.0, 0.0, 0.05, 1.0, 1.5, 200.0]);
    assert_eq!(bars.iter().map(|bar| bar.rows).collect::<Vec<_>>(), [2, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1]);
    assert!((bars.iter().map(|bar| bar.share).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(bars[10].share > 0.98 && bars[10].up_to.is_none() && bars[10].above == 100.0);
}

#[test]
fn the_rows_that_are_handed_out_give_the_same_estimates() {
    let dataset = log(400, 2, SHARES);
    let report = &evaluate(&dataset, &[greedy()], 30.0).unwrap().targets[0];
    let rows = rows(&dataset, &greedy(), 30.0).unwrap();
    let weight = |row: &OpeRow| row.probabilities[row.chosen] / row.propensities[row.chosen];
    let target = |row: &OpeRow| row.expected_ms.iter().zip(&row.probabilities).map(|(q, p)| q * p).sum::<f64>();
    let dr = rows.iter().map(|row| target(row) + weight(row) * (row.cost_ms - row.expected_ms[row.chosen]));
    assert!((dr.sum::<f64>() / 400.0 - report.mean_ms_dr.value).abs() < 1e-9);
}

#[test]
fn a_report_equals_the_estimators_over_hand_made_weights() {
    let dataset = log(500, 9, SHARES);
    let report = &evaluate(&dataset, &[greedy()], 30.0).unwrap().targets[0];
    let (mut sum, mut total) = (0.0f64, 0.0f64);
    for row in 0..dataset.len() {
        let endpoint = dataset.names().endpoints.name(dataset.endpoint[row]);
        let probability = if endpoint == "c" { 0.9 + 0.1 / 3.0 } else { 0.1 / 3.0 };
        let weight = probability / f64::from(dataset.propensity[row]);
        sum += weight * f64::from(dataset.label[row]).exp();
        total += weight;
    }
    assert!((report.mean_ms_ips.value - sum / 500.0).abs() < 1e-9);
    assert!((report.mean_ms_snips.value - sum / total).abs() < 1e-9);
}

#[test]
fn the_logging_policy_is_estimated_at_the_plain_mean() {
    let dataset = log(2_000, 4, SHARES);
    let report = &evaluate(&dataset, &[Target::Logging], 30.0).unwrap().targets[0];
    let mean = dataset.labels().iter().map(|label| f64::from(*label).exp()).sum::<f64>() / 2_000.0;
    assert!((report.mean_ms_ips.value - mean).abs() < 1e-9 && (report.mean_ms_snips.value - mean).abs() < 1e-9);
    assert!((report.effective_rows - 2_000.0).abs() < 1e-6);
    assert!((report.max_weight - 1.0).abs() < 1e-9);
}

#[test]
fn estimates_are_unbiased_and_intervals_cover_the_truth() {
    let uniform = MEANS.iter().sum::<f64>() / 3.0;
    let truth = [0.6 * 40.0 + 0.3 * 20.0 + 0.1 * 10.0, uniform, 0.9 * 10.0 + 0.1 * uniform];
    const LOGS: u64 = 1_000;
    let mut sums = [[0.0f64; 3]; 3];
    let mut covered = [[0usize; 4]; 3];
    let mut spread = [[0.0f64; 2]; 3];
    for seed in 0..LOGS {
        let evaluation = evaluate(&log(600, 1_000 + seed, SHARES), &targets(), 30.0).unwrap();
        for (i, report) in evaluation.targets.iter().enumerate() {
            let unbiased = [report.mean_ms_ips, report.mean_ms_dr, report.mean_ms_switch_dr];
            sums[i].iter_mut().zip(unbiased).for_each(|(sum, estimate)| *sum += estimate.value / LOGS as f64);
            for (spread, estimate) in spread[i].iter_mut().zip(unbiased) {
                *spread += (estimate.value - truth[i]).powi(2);
            }
            let [ips, dr, switch] = unbiased;
            for (j, estimate) in [ips, report.mean_ms_snips, dr, switch].iter().enumerate() {
                covered[i][j] += usize::from(estimate.low <= truth[i] && truth[i] <= estimate.high);
            }
        }
    }
    for i in 0..3 {
        for sum in sums[i] {
            assert!((sum / truth[i] - 1.0).abs() < 0.02, "target {i}: {sum} for {}", truth[i]);
        }
        for within in covered[i] {
            let share = within as f64 / LOGS as f64;
            assert!((0.93..=0.97).contains(&share), "target {i}: {share} of the intervals cover the truth");
        }
    }
    // Where the target goes where the log seldom went, a model of the cost takes off most of the variance.
    assert!(spread[2][1] < 0.3 * spread[2][0], "{spread:?}");
}

#[test]
fn a_deterministic_log_is_refused_and_a_partly_deterministic_one_flagged() {
    let refused = evaluate(&log(100, 1, [1.0, 0.0, 0.0]), &targets(), 30.0).unwrap_err().to_string();
    assert!(refused.contains("without chance"), "{refused}");
    let mut mixed = log(300, 1, SHARES);
    for row in 0..100 {
        let endpoint = hash_name(mixed.names.endpoints.name(mixed.endpoint[row]));
        mixed.candidates[row] = mixed.candidates[row]
            .iter()
            .map(|c| Candidate { endpoint: c.endpoint, propensity: f32::from(u8::from(c.endpoint == endpoint)) })
            .collect();
    }
    let evaluation = evaluate(&mixed, &targets(), 30.0).unwrap();
    assert_eq!(evaluation.rows_deterministic, 100);
    assert!(evaluation.warnings.iter().any(|warning| warning.contains("100 rows")), "{:?}", evaluation.warnings);
    assert!(evaluation.meaning.contains("one request"));
}

#[test]
fn what_the_logging_policy_never_chose_is_reported_as_unsupported() {
    let report = &evaluate(&log(300, 1, [0.5, 0.5, 0.0]), &[greedy()], 30.0).unwrap().targets[0];
    assert!((report.unsupported_ratio - (0.9 + 0.1 / 3.0)).abs() < 1e-9);
}

#[test]
fn a_fast_error_costs_at_least_the_threshold() {
    let mut dataset = log(50, 1, SHARES);
    dataset.outcome.fill(OutcomeKind::ServerError);
    let report = &evaluate(&dataset, &[Target::Logging], 500.0).unwrap().targets[0];
    assert_eq!(report.mean_ms_snips.value, 500.0);
    assert_eq!(report.over_ratio_snips.value, 1.0);
}
