//! The matrix made of a log, row for row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::testing::{dataset, features, learnable_log, stream_bytes};
use super::*;
use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, UInt64Type};
use tailcast_features::{FEATURES, index};

#[test]
fn every_column_of_a_log_arrives_in_its_place() {
    let batch = learnable_log(300, 1);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.arrow"), stream_bytes(std::slice::from_ref(&batch))).unwrap();
    let (frame, _) = crate::load::load_segments(directory.path()).unwrap();
    let dataset = dataset_from_log(frame).unwrap();
    assert_eq!(dataset.len(), 300);
    let latencies = batch.column_by_name("latency_us").unwrap().as_primitive::<UInt64Type>();
    let tenants = batch.column_by_name("tenant").unwrap().as_string::<i32>();
    for row in 0..300 {
        for (i, feature) in FEATURES.iter().enumerate() {
            let logged = batch.column_by_name(&format!("f_{}", feature.name)).unwrap().as_primitive::<Float32Type>();
            assert_eq!(logged.value(row).to_bits(), dataset.feature(i)[row].to_bits());
        }
        let ms = latencies.value(row) as f64 / 1e3;
        assert!((f64::from(dataset.labels()[row]) - ms.ln()).abs() < 1e-5);
        assert_eq!(dataset.names().tenants.name(dataset.tenant[row]), tenants.value(row));
        assert_eq!(dataset.weight[row] > 0.0, dataset.is_evidence(row));
        assert_eq!(dataset.candidates[row].len(), 4);
        assert_eq!(dataset.candidate_rows[row].as_ref().map(|rows| rows.len()), row.is_multiple_of(4).then_some(4));
    }
    let chosen = dataset.names().endpoints.name(dataset.endpoint[0]);
    let position = super::testing::ENDPOINTS.iter().position(|name| *name == chosen).unwrap();
    let sampled = dataset.candidate_rows[0].as_ref().unwrap()[position];
    assert_eq!(sampled.map(f32::to_bits), dataset.row(0).map(f32::to_bits));
}

#[test]
fn rows_are_sorted_by_arrival_and_equal_arrivals_keep_their_order() {
    let mut next = 0;
    let unsorted = dataset(6, |row| {
        row.arrival_us = [30, 10, 20, 10, 30, 0][next];
        row.ln_ms = next as f32;
        next += 1;
        features(&[(index::IN_FLIGHT, next as f32)])
    });
    let sorted = unsorted.sorted();
    assert_eq!(sorted.labels(), [5.0, 1.0, 3.0, 2.0, 0.0, 4.0]);
    assert_eq!(sorted.feature(index::IN_FLIGHT), [6.0, 2.0, 4.0, 3.0, 1.0, 5.0]);
}

#[test]
fn a_sample_is_bounded_seeded_and_keeps_the_order() {
    let all = dataset(1_000, |row| features(&[(index::IN_FLIGHT, row.arrival_us as f32)]));
    let sample = all.clone().sampled(100, 3);
    assert_eq!(sample.len(), 100);
    assert!(sample.arrivals_us().is_sorted());
    assert_eq!(sample.arrivals_us(), all.clone().sampled(100, 3).arrivals_us());
    assert_ne!(sample.arrivals_us(), all.sampled(100, 4).arrivals_us());
}
