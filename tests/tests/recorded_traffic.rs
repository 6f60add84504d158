//! Production traffic of others, read where it lies: imported, replayed through the proxy, trained from.
//!
//! Where `../shared/traces` is absent each test says so; the same code runs on `datasets/samples` in the tests of
//! `tailcast-datasets`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tailcast_datasets::Trace;
use tailcast_datasets::import::{Format, ImportOptions, ImportReport, import};
use tailcast_testbed::endpoint::EndpointSpec;
use tailcast_tests::stand::{Stand, head};
use tailcast_tests::traces::shared;
use tailcast_training::{Source, TrainOptions, train};

const TRAIN_TICKET: &str = "arrival=t_unix:s,tenant=user,route=route,method=method,request_bytes=req_bytes,\
    response_bytes=resp_bytes,status=status,endpoint=backend_pod,latency=service_ms:ms";

fn imported(file: &str, format: Format, map: Option<&str>) -> Option<(Trace, ImportReport)> {
    let path = shared(file)?;
    let options = ImportOptions { format, map: map.map(str::to_owned), log_format: None, tenant: None };
    let input = std::fs::File::open(path).unwrap();
    Some(import(input, &mut std::io::sink(), &options, &mut |_| {}).unwrap())
}

fn fleet(endpoints: usize) -> Vec<EndpointSpec> {
    (0..endpoints).map(|number| EndpointSpec::uniform(&format!("e{number}"), 32, 1.0)).collect()
}

fn replayed(trace: &Trace, count: usize, secs: f64) {
    let rows = head(trace, count);
    let span = rows.last().unwrap().arrival_us - rows[0].arrival_us;
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::start(fleet(3), folder.path()).unwrap();
    let result = stand.replay(&rows, (span as f64 / 1e6 / secs).max(1e-3)).unwrap();
    assert_eq!(result.samples.len(), rows.len());
    let failed: Vec<_> = result.samples.iter().filter(|sample| sample.is_error()).collect();
    assert!(failed.is_empty(), "{} of {} failed, first {:?}", failed.len(), rows.len(), failed[0]);
    stand.proxy.rotate_log();
    assert_eq!(stand.proxy.metrics().log_rows, rows.len() as u64);
    stand.proxy.shutdown();
}

#[test]
fn train_ticket_is_imported_and_replayed_through_the_proxy() {
    let Some((trace, report)) = imported("nezha_trainticket_requests.csv.gz", Format::Csv, Some(TRAIN_TICKET)) else {
        return;
    };
    assert_eq!((report.imported, report.rejected), (7_209, 0), "{report:?}");
    assert_eq!(trace.endpoints(), 18);
    replayed(&trace, 800, 2.0);
}

#[test]
fn azure_is_imported_and_replayed_through_the_proxy() {
    let map = "arrival=TIMESTAMP,tenant==conversation,route==/v1/chat,method==POST,request_bytes=ContextTokens,\
        response_bytes=GeneratedTokens";
    let Some((trace, report)) = imported("azure_llm2023_conv.csv.gz", Format::Csv, Some(map)) else { return };
    assert_eq!((report.imported, report.rejected), (19_366, 0), "{report:?}");
    replayed(&trace, 800, 2.0);
}

#[test]
fn a_trace_that_another_gateway_recorded_trains_a_model() {
    let Some((trace, _)) = imported("nezha_trainticket_requests.csv.gz", Format::Csv, Some(TRAIN_TICKET)) else {
        return;
    };
    let trained = train(Source::Trace(trace), &TrainOptions::default(), &mut |_| {}).unwrap();
    let report = trained.report.trace.as_ref().unwrap();
    assert_eq!((report.rows, report.endpoints), (7_209, 18), "{report:?}");
    assert!(trained.report.p99_coverage() > 0.95, "coverage {}", trained.report.p99_coverage());
    assert!(
        trained.model.forecast(&[f32::NAN; tailcast_features::FEATURE_COUNT], 0).ln_ms().iter().all(|v| v.is_finite())
    );
}
