//! Public traces of production and research systems, read where they lie beside the project; never copied in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use tailcast_datasets::Trace;
use tailcast_datasets::import::{Format, ImportError, ImportOptions, ImportReport, import};

/// Path of a shared trace, or `None` after saying that the test is skipped.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    if !folder.is_dir() {
        eprintln!("skipped: no ../shared/traces");
        return None;
    }
    Some(folder.join(name))
}

fn options(format: Format, map: &str) -> ImportOptions {
    ImportOptions { map: (!map.is_empty()).then(|| map.to_owned()), ..ImportOptions::new(format) }
}

fn result(name: &str, options: &ImportOptions) -> Option<Result<(Trace, ImportReport), ImportError>> {
    let path = shared(name)?;
    let size = path.metadata().unwrap().len();
    let mut read = 0;
    let result = import(File::open(&path).unwrap(), &mut Vec::new(), options, &mut |bytes| read = bytes);
    if let Ok((_, report)) = &result {
        assert_eq!(read, size, "progress ends at the size of the file");
        eprintln!("{name}: {} lines, {} imported, {} rejected", report.lines, report.imported, report.rejected);
    }
    Some(result)
}

fn imported(name: &str, format: Format, map: &str) -> Option<(Trace, ImportReport)> {
    let (trace, report) = result(name, &options(format, map))?.unwrap();
    let bytes = trace.to_bytes(name).unwrap();
    assert_eq!(Trace::from_bytes(bytes.into(), name).unwrap(), trace);
    Some((trace, report))
}

#[test]
fn every_line_of_the_apache_log_is_accounted_for() {
    let Some((trace, report)) = imported("apache_combined_10k.log.gz", Format::Clf, "") else { return };
    assert_eq!((report.lines, report.imported, report.rejected), (10_000, 10_000, 0));
    assert!((20..=1_024).contains(&report.routes), "{} routes", report.routes);
    assert_eq!(report.with_status, 10_000);
    assert_eq!((report.with_latency, report.endpoints), (0, 0));
    let sized = trace.rows().iter().filter(|row| row.response_bytes.is_some()).count();
    assert_eq!(sized, 10_000 - 669, "669 lines have - for the size");
    assert!(report.spread > 0 && report.out_of_order > 0, "{report:?}");
}

#[test]
fn azure_llm_traces_are_arrivals_and_sizes() {
    let columns =
        "arrival=TIMESTAMP,request_bytes=ContextTokens,response_bytes=GeneratedTokens,tenant==conv,method==POST";
    let Some((trace, report)) = imported("azure_llm2023_conv.csv.gz", Format::Csv, columns) else { return };
    assert_eq!((report.lines, report.imported, report.rejected), (19_367, 19_366, 0));
    let first = &trace.rows()[0];
    // 2023-11-16 18:15:46.6805900
    assert_eq!(first.arrival_us, 1_700_158_546_680_590);
    assert_eq!((first.request_bytes, first.response_bytes), (Some(374), Some(44)));
    assert_eq!((&*first.tenant, &*first.method, &*first.route), ("conv", "POST", "/"));
    let last = trace.rows().last().unwrap();
    assert_eq!(last.arrival_us, 1_700_162_048_402_527, "the last line has no end of line");

    let columns = columns.replace("conv", "code");
    let (_, report) = imported("azure_llm2023_code.csv.gz", Format::Csv, &columns).unwrap();
    assert_eq!((report.lines, report.imported, report.rejected), (8_820, 8_819, 0));
    assert_eq!((report.out_of_order, report.tenants), (0, 1));
}

#[test]
fn train_ticket_has_routes_pods_and_latencies() {
    let map = "arrival=t_unix:s,tenant==trainticket,route=route,method=method,endpoint=backend_pod,latency=service_ms:ms,status=status";
    let Some((trace, report)) = imported("nezha_trainticket_requests.csv.gz", Format::Csv, map) else { return };
    assert_eq!((report.imported, report.rejected), (7_209, 0));
    assert_eq!((report.routes, report.endpoints, report.with_latency), (10, 18, 7_209));
    let first = &trace.rows()[0];
    assert_eq!((first.arrival_us, first.latency_us), (1_674_981_729_479_000, Some(116_381)));
    assert_eq!(first.endpoint.as_deref(), Some("ts-travel2-service-5c66d57d58-6mp2b"));
    assert_eq!((&*first.route, first.status), ("/api/v1/travel2service/trips/left", None));

    let (guessed, report) = imported("nezha_trainticket_requests.csv.gz", Format::Csv, "").unwrap();
    assert_eq!((report.endpoints, report.with_latency), (18, 7_209));
    assert_eq!(guessed.rows()[0].latency_us, Some(116_381));
}

#[test]
fn online_boutique_has_one_frontend() {
    let map = "arrival=t_unix:s,tenant==boutique,route=route,method=method,endpoint=backend_pod,latency=service_ms:ms";
    let Some((_, report)) = imported("nezha_onlineboutique_requests.csv.gz", Format::Csv, map) else { return };
    assert_eq!((report.imported, report.rejected), (47_084, 0));
    assert_eq!((report.routes, report.endpoints, report.with_latency), (5, 1, 47_084));
}

#[test]
fn death_star_bench_is_in_microseconds() {
    let map = "arrival=t_us,tenant=app,route=route,method=method,endpoint=entry_host,latency=service_ms";
    let Some((trace, report)) = imported("dsb_requests_by_load.csv.gz", Format::Csv, map) else { return };
    assert_eq!((report.imported, report.rejected), (12_500, 0));
    assert_eq!((report.tenants, report.endpoints), (2, 2));
    assert_eq!((trace.rows()[0].arrival_us, trace.rows()[0].latency_us), (1_655_753_657_874_176, Some(14_106)));
}

#[test]
fn mooncake_counts_milliseconds_from_zero() {
    let map =
        "arrival=timestamp:ms,request_bytes=input_length,response_bytes=output_length,tenant==chat,route==/v1/chat";
    let Some((trace, report)) = imported("mooncake_conversation.jsonl.gz", Format::Jsonl, map) else { return };
    assert_eq!((report.lines, report.imported, report.rejected), (12_031, 12_031, 0));
    assert_eq!((report.from_us, report.until_us, report.spread), (Some(0), Some(3_536_999_000), 0));
    assert_eq!(trace.rows()[0].request_bytes, Some(6_758));
}

#[test]
fn azure_functions_arrive_a_duration_before_their_end() {
    let map = "end=end_timestamp:s,tenant=app,route=func,latency=duration:s";
    let Some((trace, report)) = imported("azure_functions2021_200.csv.gz", Format::Csv, map) else { return };
    assert_eq!((report.lines, report.imported, report.rejected), (200, 199, 0));
    assert_eq!((report.tenants, report.routes), (13, 31));
    let first = &trace.rows()[0];
    assert_eq!((first.arrival_us, first.latency_us), (1_491, Some(78_000)));
}

#[test]
fn a_data_set_without_arrivals_is_a_clear_error() {
    let name = "llmperf_providers.csv.gz";
    for (map, expected) in [
        (
            "",
            "no column is called like a time of arrival; name it with arrival=COLUMN, the columns are i, backend, model",
        ),
        ("endpoint=backend,latency=e2e_s", "has no arrival; say which column is the time of arrival: arrival=COLUMN"),
        ("arrival=timestamp,endpoint=backend", "no column \"timestamp\"; its columns are i, backend, model"),
        ("arrival=i,endpont=backend", "no field \"endpont\"; the fields are arrival, end, tenant"),
    ] {
        let Some(result) = result(name, &options(Format::Csv, map)) else { return };
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{map}: {error}");
    }
}
