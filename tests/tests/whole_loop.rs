//! The loop on real sockets: record, train, hot-load, route; and what a damaged model does to it (nothing).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;
use tailcast_balance::PolicyKind;
use tailcast_model::Model;
use tailcast_testbed::endpoint::{EndpointSpec, RouteLaw};
use tailcast_tests::stand::{POOL, Stand, eventually};
use tailcast_training::{Source, TrainOptions, train};

/// Four endpoints in two classes: each is fast on one of the demo's route families and five times slower on the other.
fn pairs() -> Vec<EndpointSpec> {
    let law = |path_prefix: &str, mean_ms: f64| RouteLaw { path_prefix: path_prefix.to_owned(), mean_ms, sigma: 0.2 };
    (0..4)
        .map(|number| {
            let (search, items) = if number < 2 { (2.0, 10.0) } else { (10.0, 2.0) };
            let mut spec = EndpointSpec::uniform(&format!("e{number}"), 8, 4.0);
            spec.routes.extend([law("/api/search", search), law("/api/items", items), law("/api/feed", items)]);
            spec.seed = number;
            spec
        })
        .collect()
}

fn median_ms(result: &tailcast_testbed::load::LoadResult) -> f64 {
    let mut all: Vec<f64> = result.samples.iter().map(|sample| sample.latency.as_secs_f64() * 1e3).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
fn what_was_recorded_trains_a_model_that_is_loaded_under_traffic_and_routes_better() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::start(pairs(), folder.path()).unwrap();
    let trace = tailcast_datasets::demo_trace().unwrap();
    let slice = trace.slice(Duration::ZERO, Duration::from_secs(8)).into_rows();

    let recorded = stand.replay(&slice, 2.0).unwrap();
    assert_eq!(recorded.samples.iter().filter(|sample| sample.is_error()).count(), 0);
    stand.proxy.rotate_log();
    assert_eq!(stand.proxy.metrics().log_rows, slice.len() as u64, "one row a request");

    let options = TrainOptions { rounds: 40, ..TrainOptions::default() };
    let trained = train(Source::Log(folder.path().join("log")), &options, &mut |_| {}).unwrap();
    let quality = trained.report.quality.as_ref().unwrap();
    assert_eq!((quality.rows, quality.kept), (slice.len(), slice.len()), "{}", quality.summary());
    trained.report.gate().unwrap();

    // Under traffic: the file appears while requests are on their way.
    let id = trained.model.id().to_owned();
    let during = std::thread::scope(|scope| {
        let load = scope.spawn(|| stand.replay(&slice[..2_000], 2.0).unwrap());
        trained.model.save(folder.path().join("model.tailcast")).unwrap();
        assert!(eventually(|| stand.proxy.model_id().as_deref() == Some(&id)), "the model is taken up");
        load.join().unwrap()
    });
    assert_eq!(during.samples.iter().filter(|sample| sample.is_error()).count(), 0, "no request pays for the swap");

    let blind = stand.replay(&slice[..2_000], 1.5).unwrap();
    stand.proxy.set_policy(POOL, PolicyKind::Predictive).unwrap();
    let before = stand.proxy.metrics();
    let seeing = stand.replay(&slice[..2_000], 1.5).unwrap();
    let after = stand.proxy.metrics();
    assert_eq!(seeing.samples.iter().filter(|sample| sample.is_error()).count(), 0);
    assert_eq!(after.fallbacks, before.fallbacks, "every decision used the model");
    let (blind, seeing) = (median_ms(&blind), median_ms(&seeing));
    assert!(seeing < 0.8 * blind, "median {seeing:.1} ms with the forecast, {blind:.1} ms without");
    stand.proxy.shutdown();
}

#[test]
fn a_model_file_with_a_flipped_byte_is_refused_and_disturbs_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::start(pairs(), folder.path()).unwrap();
    let trace = tailcast_datasets::demo_trace().unwrap();
    let slice = trace.slice(Duration::ZERO, Duration::from_secs(3)).into_rows();
    stand.replay(&slice, 2.0).unwrap();
    stand.proxy.rotate_log();
    let options = TrainOptions { rounds: 5, ..TrainOptions::default() };
    let model = train(Source::Log(folder.path().join("log")), &options, &mut |_| {}).unwrap().model;
    let (good, path) = (model.to_bytes(), folder.path().join("model.tailcast"));
    model.save(&path).unwrap();
    assert!(eventually(|| stand.proxy.model_id().as_deref() == Some(model.id())));

    // Every byte is covered by the checksum; here a hundred places over the whole file, and all of its head.
    let places: Vec<usize> = (0..64).chain((0..100).map(|i| i * (good.len() - 1) / 99)).collect();
    for place in &places {
        let mut bad = good.clone();
        bad[*place] ^= 1 << (place % 8);
        assert!(Model::from_bytes(&bad).is_err(), "byte {place} of {}", good.len());
    }
    let bad_path = folder.path().join("bad.tailcast");
    std::thread::scope(|scope| {
        let load = scope.spawn(|| stand.replay(&slice[..600], 1.0).unwrap());
        for place in places.iter().step_by(20) {
            let mut bad = good.clone();
            bad[*place] ^= 0x40;
            std::fs::write(&bad_path, &bad).unwrap();
            assert!(stand.proxy.load_model(&bad_path).is_err(), "byte {place}");
            assert_eq!(stand.proxy.model_id().as_deref(), Some(model.id()), "the old model keeps serving");
        }
        let result = load.join().unwrap();
        assert_eq!(result.samples.iter().filter(|sample| sample.is_error()).count(), 0);
    });
    stand.proxy.shutdown();
}
