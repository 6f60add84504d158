//! Training from a trace that Tailcast never wrote: requests of TrainTicket behind its API gateway.
//!
//! Other people's data, read where it lies beside the project; absent, the test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;
use tailcast_datasets::{Trace, TraceRow};
use tailcast_training::{Source, TrainOptions, train};

/// The trace, by the columns `t_unix`, `method`, `route`, `backend_pod`, `service_ms`.
fn trainticket() -> Option<Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let Ok(file) = std::fs::File::open(folder.join("nezha_trainticket_requests.csv.gz")) else {
        eprintln!("skipped: no ../shared/traces");
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let micros = |value: &str, per_unit: f64| (value.parse::<f64>().unwrap() * per_unit).round();
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        TraceRow {
            arrival_us: micros(cells[0], 1e6) as i64,
            tenant: "trainticket".into(),
            route: cells[4].into(),
            method: cells[3].into(),
            request_bytes: None,
            response_bytes: None,
            endpoint: Some(cells[8].into()),
            status: None,
            latency_us: Some(micros(cells[10], 1e3) as u64),
        }
    });
    Some(Trace::new(rows.collect()))
}

#[test]
fn a_model_is_trained_from_it_and_judged_honestly() {
    let Some(trace) = trainticket() else { return };
    let trained = train(Source::Trace(trace), &TrainOptions::default(), &mut |_| {}).unwrap();
    let report = &trained.report;
    let judgement = &report.judgement;
    eprintln!("{}: pinball {:.4}", report.setting, judgement.champion.mean_pinball);
    judgement.baselines.iter().for_each(|baseline| eprintln!("{}: {:.4}", baseline.name, baseline.mean_pinball));
    let trace = report.trace.as_ref().unwrap();
    assert_eq!((trace.rows, trace.used, trace.endpoints), (7_209, 7_209, 18));
    assert!(report.load.is_none() && report.quality.is_none());
    // Pods are replaced half-way and faults are injected all the time: only what goes on beyond the range of training
    // beats a line here.
    assert!(judgement.wins && report.gate().is_ok(), "{judgement:?}");
    assert!((report.p99_coverage() - 0.99).abs() < 0.015, "{}", report.p99_coverage());
}
