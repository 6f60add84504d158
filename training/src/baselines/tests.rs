//! Each baseline on rows whose truth is known.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::{dataset, features};
use crate::forecast::{coverage, mean_pinball};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tailcast_features::index;

const LEVELS: [f32; 3] = [0.5, 0.95, 0.99];

/// Endpoint "b" is one unit slower; latency grows by a unit with each unit of route cost, with uniform noise.
fn log(rows: usize, seed: u64) -> Dataset {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    dataset(rows, |row| {
        let slow = random.random::<bool>();
        let cost = random.random::<f32>() * 3.0;
        row.endpoint = if slow { "b" } else { "a" };
        row.ln_ms = cost + f32::from(u8::from(slow)) + 0.4 * (random.random::<f32>() - 0.5);
        let cost = if random.random::<f32>() < 0.02 { f32::NAN } else { cost };
        features(&[(index::ROUTE_COST, cost), (index::ENDPOINT_RESIDUAL, f32::from(u8::from(slow)))])
    })
}

fn fitted() -> Vec<Calibrated> {
    fit_all(&log(3_000, 1), &log(3_000, 2), &LEVELS, 0).unwrap()
}

#[test]
fn all_three_are_calibrated_on_later_rows_and_never_cross() {
    let test = log(3_000, 3);
    let names: Vec<&str> = fitted().iter().map(Calibrated::name).collect();
    assert_eq!(names, ["endpoint_quantile", "linear", "random_forest"]);
    for baseline in fitted() {
        let forecasts = baseline.forecast(&test, &LEVELS).unwrap();
        for (level, q) in LEVELS.into_iter().enumerate() {
            let covered = coverage(test.labels(), forecasts.column(level));
            assert!((covered - f64::from(q)).abs() < 0.04, "{} at {q}: {covered}", baseline.name());
            let below = level.saturating_sub(1);
            assert!(forecasts.column(below).iter().zip(forecasts.column(level)).all(|(low, high)| low <= high));
        }
    }
}

#[test]
fn who_sees_the_request_beats_who_does_not() {
    let test = log(3_000, 3);
    let losses: Vec<f64> = fitted()
        .iter()
        .map(|baseline| mean_pinball(0.5, test.labels(), baseline.forecast(&test, &LEVELS).unwrap().column(0)))
        .collect();
    assert!(losses[1] < 0.5 * losses[0] && losses[2] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn an_endpoints_quantile_follows_its_recent_rows_and_a_rare_endpoint_borrows_all() {
    let mut number = 0;
    let train = dataset(2_000, |row| {
        number += 1;
        row.endpoint = if number % 400 == 0 { "rare" } else { "a" };
        row.ln_ms = if number > 1_500 { 3.0 } else { 1.0 };
        features(&[])
    });
    let baseline = EndpointQuantile::fit(&train);
    let mut endpoints = ["a", "rare", "never seen"].into_iter();
    let mut asked = dataset(3, |row| {
        row.endpoint = endpoints.next().unwrap();
        features(&[])
    });
    asked.endpoint = vec![0, 1, 99];
    let forecasts = baseline.forecast(&asked, &[0.5]).unwrap();
    assert_eq!(forecasts.column(0), [3.0, 3.0, 3.0], "the last quarter weighs as much as all before");
}

#[test]
fn the_same_seed_gives_the_same_forecasts_and_no_rows_give_none() {
    let test = log(200, 4);
    let (one, two) = (fitted(), fitted());
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(one.forecast(&test, &LEVELS).unwrap(), two.forecast(&test, &LEVELS).unwrap());
        assert!(one.forecast(&test.take(&[]), &LEVELS).unwrap().is_empty());
    }
}
