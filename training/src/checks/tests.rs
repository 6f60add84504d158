//! Each check on a log with one kind of bad row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::{features, stream_bytes};
use crate::load::load_segments;
use tailcast_features::Row;
use tailcast_features::hash::hash_name;
use tailcast_features::index;
use tailcast_features::log::{LogBatch, LogRow, LoggedCandidate};

/// What a test may spoil of a row.
struct Spoilt {
    arrival_us: i64,
    request_id: u64,
    tenant: &'static str,
    endpoint: &'static str,
    propensity: f32,
    shares: [f32; 2],
    latency_us: u64,
    outcome: OutcomeKind,
    features: Row,
}

/// A log of 400 rows, a second apart, of which `spoil` may change each; after the checks.
fn checked(mut spoil: impl FnMut(usize, &mut Spoilt)) -> (DataFrame, QualityReport) {
    let mut batch = LogBatch::with_capacity(400);
    for number in 0..400 {
        let mut row = Spoilt {
            arrival_us: 1_700_000_000_000_000 + number as i64 * 1_000_000,
            request_id: number as u64,
            tenant: "t",
            endpoint: "a",
            propensity: 0.5,
            shares: [0.5, 0.5],
            latency_us: 1_000,
            outcome: OutcomeKind::Success,
            features: features(&[(index::IN_FLIGHT, 1.0)]),
        };
        spoil(number, &mut row);
        let candidates = ["a", "b"]
            .into_iter()
            .zip(row.shares)
            .map(|(name, propensity)| LoggedCandidate { endpoint: hash_name(name), propensity, score: f32::NAN })
            .collect::<Vec<_>>();
        batch.append(&LogRow {
            arrival_us: row.arrival_us,
            request_id: row.request_id,
            pool: "p",
            tenant: row.tenant,
            route: "/r",
            method: "GET",
            policy: "random",
            reason: "chance",
            model: "",
            endpoint: row.endpoint,
            propensity: row.propensity,
            epsilon: 0.0,
            candidates: &candidates,
            features: &row.features,
            candidate_features: None,
            outcome: row.outcome,
            status: 200,
            latency_us: row.latency_us,
            first_byte_us: 0,
            request_bytes: 0,
            response_bytes: 0,
            attempts: 1,
        });
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[batch.finish().unwrap()])).unwrap();
    check(load_segments(directory.path()).unwrap().0).unwrap()
}

#[test]
fn a_sound_log_passes_whole() {
    let (frame, report) = checked(|_, _| {});
    assert_eq!((frame.height(), report.kept), (400, 400));
    assert!(report.rejected.is_empty() && report.summary() == "400 of 400 rows kept");
}

#[test]
fn every_kind_of_bad_row_is_dropped_under_its_own_name_with_samples() {
    let (frame, report) = checked(|number, row| match number {
        0..3 => row.tenant = "",
        10 => row.latency_us = MAX_LATENCY_US + 1,
        11 => row.latency_us = 0,
        20 => row.features[index::LATENCY_EWMA] = f32::INFINITY,
        21 => row.features[index::IN_FLIGHT] = -1.0,
        22 => row.features[index::ERROR_RATE] = 1e9,
        30 => row.propensity = 0.0,
        31 => row.propensity = f32::NAN,
        40 => row.endpoint = "z",
        50 => row.shares = [0.5, 0.4],
        60 => row.shares = [0.4, 0.6],
        70 => (row.request_id, row.arrival_us) = (69, row.arrival_us - 1_000_000),
        80 => row.arrival_us = 0,
        _ => {}
    });
    let counts: Vec<(&str, usize)> =
        report.rejected.iter().map(|rejection| (rejection.check.as_str(), rejection.count)).collect();
    let expected = [
        ("missing_name", 3),
        ("latency_range", 2),
        ("infinite_feature", 1),
        ("feature_range", 2),
        ("propensity_range", 2),
        ("not_a_candidate", 1),
        ("propensity_sum", 1),
        ("propensity_differs", 1),
        ("duplicate", 1),
        ("clock_jump", 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(report.kept, 400 - 15);
    assert_eq!(frame.height(), report.kept);
    assert!(report.rejected[0].samples[0].contains("request 0"), "{:?}", report.rejected[0]);
    assert!(report.summary().contains("385 of 400 rows kept, 3 missing_name"), "{}", report.summary());
}

#[test]
fn samples_are_few_and_a_row_counts_for_its_first_check_only() {
    let (_, report) = checked(|number, row| {
        if number < 50 {
            row.tenant = "";
            row.propensity = 2.0;
        }
    });
    assert_eq!(report.rejected.len(), 1);
    assert_eq!((report.rejected[0].count, report.rejected[0].samples.len()), (50, SAMPLES));
}

#[test]
fn a_fast_failure_and_a_missing_feature_are_sound() {
    let (_, report) = checked(|_, row| {
        (row.outcome, row.latency_us) = (OutcomeKind::ConnectionError, 0);
        row.features = features(&[]);
    });
    assert!(report.rejected.is_empty(), "{report:?}");
}

#[test]
fn a_log_where_nothing_passes_leaves_an_empty_table() {
    let (frame, report) = checked(|_, row| row.propensity = 7.0);
    assert_eq!((frame.height(), report.kept, report.rejected[0].count), (0, 0, 400));
}

#[test]
fn a_feature_that_this_version_would_compute_otherwise_is_found_by_replay() {
    let day =
        |at_us: i64| ((at_us.rem_euclid(86_400_000_000) as f32 / 86_400_000_000.0) * std::f32::consts::TAU).sin_cos();
    let sound = |row: &mut Spoilt| {
        (row.features[index::DAY_SIN], row.features[index::DAY_COS]) = day(row.arrival_us);
        row.features[index::METHOD_WRITE] = 0.0;
    };
    let (_, report) = checked(|_, row| sound(row));
    assert_eq!((report.parity.rows, report.parity.unequal), (400, 0));
    assert!(report.warnings().is_empty(), "{:?}", report.warnings());
    let (_, report) = checked(|number, row| {
        sound(row);
        match number {
            7 => row.features[index::METHOD_WRITE] = 1.0,
            8 => row.features[index::DAY_SIN] = f32::from_bits(row.features[index::DAY_SIN].to_bits() + 1),
            _ => {}
        }
    });
    assert_eq!(report.parity.unequal, 2);
    assert!(report.warnings()[0].contains("method_write was logged as 1.0, is 0.0 now"), "{:?}", report.warnings());
}

#[test]
fn missing_shares_are_counted_and_too_many_names_or_cut_off_requests_are_warned_of() {
    let (frame, mut report) = checked(|number, row| {
        row.outcome = if number % 10 == 0 { OutcomeKind::Timeout } else { OutcomeKind::Success };
        row.features[index::WEIGHT] = if number % 4 == 0 { 1.0 } else { f32::NAN };
    });
    assert_eq!(report.missing[index::WEIGHT], ("weight".to_owned(), 0.75));
    assert_eq!(report.missing[index::IN_FLIGHT].1, 0.0);
    report.complete(&crate::dataset::dataset_from_log(frame).unwrap(), Vec::new());
    assert_eq!((report.censored_ratio, report.failed_ratio), (0.1, 0.1));
    assert_eq!((report.tenants, report.routes, report.endpoints), (1, 1, 1));
    assert!(report.warnings()[0].contains("10.0 % of the requests were cut off"), "{:?}", report.warnings());
    report.tenants = 5_000;
    assert!(report.warnings()[0].contains("5000 tenants in 400 rows"), "{:?}", report.warnings());
}
