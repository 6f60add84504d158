//! Every format on a hand-made log of its own, with the awkward lines that production has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use tailcast_datasets::import::{Format, ImportOptions, ImportReport, import, import_file};
use tailcast_datasets::{Trace, TraceRow};

/// 2024-05-01 10:00:00 UTC in microseconds.
const TEN: i64 = 1_714_557_600_000_000;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// The trace, the report and the reject file of a sample; the same through memory and through files.
fn imported(name: &str, options: &ImportOptions) -> (Trace, ImportReport, String) {
    let folder = tempfile::tempdir().unwrap();
    let [output, rejects] = ["out.parquet", "out.rejects"].map(|name| folder.path().join(name));
    let report = import_file(&path(name), &output, &rejects, options, &mut |_| {}).unwrap();
    let trace = Trace::read(&output).unwrap();
    let sample = std::fs::read_to_string(&rejects).unwrap_or_default();
    let mut written = Vec::new();
    let in_memory = import(std::fs::File::open(path(name)).unwrap(), &mut written, options, &mut |_| {}).unwrap();
    assert_eq!(in_memory, (trace.clone(), report.clone()));
    assert_eq!(String::from_utf8(written).unwrap(), sample);
    (trace, report, sample)
}

fn plain(name: &str, format: Format) -> (Trace, ImportReport, String) {
    imported(name, &ImportOptions::new(format))
}

/// A row as one line: arrival after ten o'clock in ms, tenant, method, route, sizes, endpoint, status, latency in ms.
fn shown(row: &TraceRow) -> String {
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let latency = row.latency_us.map_or("-".to_owned(), |us| (us as f64 / 1e3).to_string());
    format!(
        "{} {} {} {} {}>{} {} {} {latency}",
        (row.arrival_us - TEN) as f64 / 1e3,
        row.tenant,
        row.method,
        row.route,
        number(row.request_bytes),
        number(row.response_bytes),
        row.endpoint.as_deref().unwrap_or("-"),
        number(row.status.map(u64::from)),
    )
}

#[track_caller]
fn assert_rows(trace: &Trace, expected: &[&str]) {
    let rows: Vec<String> = trace.rows().iter().map(shown).collect();
    assert_eq!(rows, expected, "\n{}", rows.join("\n"));
}

#[track_caller]
fn assert_reasons(report: &ImportReport, expected: &[(&str, u64)]) {
    let reasons: Vec<(&str, u64)> = report.reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(reasons, expected);
}

const NO_TIME: &str = "no time stamp that can be read";
const NO_REQUEST: &str = "no HTTP request on the line";
const OTHER_LINE: &str = "not an access-log line of this format";
const BAD_STATUS: &str = "status is not a number up to 999";

#[test]
fn csv_with_a_map() {
    let map = "arrival=started_at,tenant=shop,route=url,method=method,request_bytes=bytes_in,response_bytes=bytes_out,\
        endpoint=pod,status=status,latency=took_ms:ms";
    let options =
        ImportOptions { map: Some(map.into()), tenant: Some("unnamed".into()), ..ImportOptions::new(Format::Csv) };
    let (trace, report, sample) = imported("requests.csv", &options);
    assert_rows(
        &trace,
        &[
            "100 moss GET /search 0>2048 web-2 200 31",
            "250 fern GET /cart/{id}/lines 0>512 web-1 200 12.5",
            "400 fern POST /checkout 731>96 web-1 201 88.25",
            "500 reed GET /items/{id} 0>1024 web-3 200 9",
            "600 moss GET /search ->- web-2 200 40",
            "700 fern, north GET /cart/{id}/lines 0>512 web-1 200 14",
            "800 unnamed GET /health ->- - 200 -",
            "900 moss \"two\" GET /items/{id} 0>1024 web-3 404 3",
            "1000 reed GET /items/{id} 0>1024 web-3 499 2500",
            "1100 reed GET /items/{id} ->- - - -",
            "1600 reed GET /items/{id} 0>1024 web-3 200 9",
        ],
    );
    assert_reasons(
        &report,
        &[
            ("latency is not a number", 1),
            ("method is not a word", 1),
            (NO_TIME, 1),
            ("size is not a number", 1),
            (BAD_STATUS, 1),
        ],
    );
    assert_eq!((report.lines, report.header_lines, report.blank_lines, report.comment_lines), (20, 2, 1, 1));
    assert_eq!((report.out_of_order, report.tenants, report.endpoints, report.with_latency), (1, 6, 3, 9));
    assert_eq!(report.columns["latency"], "took_ms as ms");
    assert!(sample.contains("14\tno time stamp that can be read\tnot a time,reed"), "{sample}");
}

#[test]
fn csv_without_a_map_is_guessed_and_the_report_says_how() {
    let (trace, report, _) = plain("requests.csv", Format::Csv);
    let columns: Vec<String> = report.columns.iter().map(|(field, column)| format!("{field}={column}")).collect();
    assert_eq!(
        columns,
        [
            "arrival=started_at",
            "endpoint=pod",
            "latency=took_ms as ms",
            "method=method",
            "request_bytes=bytes_in",
            "response_bytes=bytes_out",
            "route=url",
            "status=status",
            "tenant=shop",
        ]
    );
    assert_eq!(trace.len(), 11);
    assert!(report.notes[0].contains("guessed"), "{:?}", report.notes);
}

#[test]
fn jsonl_with_a_map_of_nested_columns() {
    let map = "arrival=ts:ms,tenant=req.host,route=req.uri,method=req.method,request_bytes=in,response_bytes=out,\
        endpoint=replica,status=status,latency=elapsed:s";
    let options = ImportOptions { map: Some(map.into()), ..ImportOptions::new(Format::Jsonl) };
    let (trace, report, _) = imported("requests.jsonl", &options);
    let rows: Vec<TraceRow> =
        trace.into_rows().into_iter().map(|row| TraceRow { arrival_us: row.arrival_us + TEN, ..row }).collect();
    assert_rows(
        &Trace::new(rows),
        &[
            "0 fern.example:443 POST /v1/complete 374>44 gpu-1 200 1250",
            "125 moss.example GET /v1/models/{id} 0>12 gpu-1 200 10",
            "250 moss.example POST /v1/complete 396>109 gpu-2 200 2500",
            "500 default POST /v1/complete 12>- - 503 -",
            "625 default POST /v1/complete 5>- - - -",
            "750 reed.example POST /v1/complete 90>7 gpu-2 499 30000",
            "800 default POST / 1>- - - -",
            "900 réed.example POST /v1/complete 1>- - 200 -",
            "1200 fern.example POST /v1/complete 374>44 gpu-1 200 850",
        ],
    );
    assert_reasons(&report, &[(NO_TIME, 1), ("not a JSON object", 3), (BAD_STATUS, 1)]);
    assert_eq!((report.lines, report.blank_lines, report.out_of_order), (15, 1, 1));
}

#[test]
fn clf_with_all_that_sites_add_to_it() {
    let (trace, report, sample) = plain("apache.log", Format::Clf);
    assert_rows(
        &trace,
        &[
            "0 default GET / ->5120 - 200 -",
            "0 default GET /assets/{file}.js ->- - 304 -",
            "1000 ann POST /orders ->96 - 201 48.211",
            "1000 default GET /items/{id} ->1024 - 200 12",
            "1000 default GET /late 512>3 - 200 -",
            "2000 moss.example GET /items/{id} ->1024 - 200 15",
            "2750 lee DELETE /orders/{id} ->0 - 204 7.35",
            "3000 default GET /search ->2048 - 200 -",
            "3000 default GET /items/{id} ->12 - 404 -",
            "4000 default GET /old ->17 - 200 -",
            "4000 default GET /items/{id} ->1024 172.18.0.3:8080 200 21",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 2), (OTHER_LINE, 2), (BAD_STATUS, 1)]);
    assert_eq!((report.lines, report.blank_lines, report.comment_lines, report.out_of_order), (18, 1, 1, 1));
    assert!(sample.contains("\t192.0.2.18 - - [31/Feb/2024"), "{sample}");
}

#[test]
fn nginx_by_its_default_format() {
    let (trace, report, _) = plain("nginx.log", Format::Nginx);
    // Seconds are spread over the rows of a second before the request time is taken off.
    assert_rows(
        &trace,
        &[
            "-333.334 ann GET /items/{id} ->0 10.0.0.2:8080 499 3000",
            "500 default GET /files/{id} ->90210 10.0.0.3:8080 200 1350",
            "750 default GET /cart/{id} ->512 10.0.0.1:8080 200 200",
            "1190 default POST /orders ->96 10.0.0.2:8080 201 300",
            "2333.333 default GET /favicon.ico ->0 - 304 0",
            "2980 default GET /items/{id} ->157 10.0.0.2:8080 502 10",
            "3220 default GET /items/{id} ->1024 [2001:db8::1]:8080 200 30",
            "3460 default GET /app ->10 unix:/run/app.sock 200 40",
            "3750 default GET /plain ->11 - 200 -",
            "3995 default GET /items/{id} ->1024 10.0.0.1:8080 200 4",
            "4485 default GET /items/{id} 118>1024 10.1.2.3:8080 200 14",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 2), (OTHER_LINE, 1)]);
    assert!(report.spread > 0 && report.notes[0].contains("whole seconds"), "{:?}", report.notes);
}

#[test]
fn nginx_by_the_servers_own_format() {
    let format = "log_format lb '$msec|$http_x_tenant|$request_method|$request_uri|$status|$request_length|'\n\
        '$body_bytes_sent|$request_time|$upstream_addr|$upstream_status|$upstream_response_time|$http_user_agent';";
    let options = ImportOptions { log_format: Some(format.into()), ..ImportOptions::new(Format::Nginx) };
    let (trace, report, _) = imported("nginx_custom.log", &options);
    assert_rows(
        &trace,
        &[
            "-500 reed GET /items/{id} 101>0 10.0.0.2:8080 499 2000",
            "990 moss POST /orders 831>96 10.0.0.2:8080 201 200",
            "1000 fern GET /cart/{id} 118>512 10.0.0.1:8080 200 200",
            "1090 default GET /late 100>5 10.0.0.1:8080 200 10",
            "1400 fern GET /static/logo.png 99>4096 - 200 0",
        ],
    );
    assert_reasons(&report, &[("line does not fit the log_format", 2), (NO_REQUEST, 1)]);
    assert_eq!(report.spread, 0);
}

#[test]
fn haproxy_http_log() {
    let (trace, report, _) = plain("haproxy.log", Format::HaProxy);
    assert_rows(
        &trace,
        &[
            "50 acme GET /late ->300 api/s1 200 7",
            "100 fern.example GET /cart/{id} ->2750 api/s1 200 99",
            "200 moss.example POST /orders ->96 s2 201 15",
            "300 default GET /logo.png ->0 static/s1 304 3",
            "400 fern.example GET /report ->194 s2 504 30002",
            "500 fern.example GET /items/{id} ->0 api/s1 499 1200",
            "600 reed.example GET /items/{id} ->212 - 503 0",
            "700 default GET /items/{id} ->1024 s3 200 8",
            "800 moss.example GET /items/{id} ->900 s3 200 5",
            "850 default GET /stats ->8500 - 200 0",
            "900 default GET /cut/short/by/syslog ->300 api/s1 200 7",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 1), (OTHER_LINE, 2)]);
    assert_eq!((report.lines, report.endpoints, report.out_of_order), (14, 4, 1));
}

#[test]
fn elb_logs_of_both_kinds() {
    let (trace, report, _) = plain("elb.log", Format::Elb);
    assert_rows(
        &trace,
        &[
            "0 2001:db8::10 GET /items/{id} 0>1024 10.0.0.3:80 200 12",
            "100 fern.example GET / 0>29 10.0.0.1:80 200 1.048",
            "200 moss.example GET /items/{id} 0>57 10.0.0.1:80 404 1",
            "300 fern.example POST /orders 731>96 10.0.0.2:80 200 250",
            "400 fern.example GET /items/{id} 0>0 - 503 -",
            "500 fern.example GET /report 0>0 10.0.0.2:80 504 -",
            "600 fern.example GET /items/{id} 0>0 10.0.0.2:80 499 3500",
            "690 reed.example GET /items/{id} 34>366 10.0.0.66:80 200 100",
            "850 reed.example GET /cart/{id} 5>257 10.0.0.66:9000 200 48",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 2), (OTHER_LINE, 2)]);
    assert_eq!((report.out_of_order, report.tenants), (2, 4));
}

#[test]
fn heroku_router_log() {
    let (trace, report, _) = plain("heroku.log", Format::Heroku);
    assert_rows(
        &trace,
        &[
            "-4400 reed.example POST /upload ->0 web.2 499 5000",
            "180 moss.example POST /orders ->96 web.2 201 120",
            "231 fern.example GET /cart/{id} ->512 web.1 200 19",
            "399 fern.example GET /report ->0 web.1 503 30001",
            "500 reed.example GET /items/{id} ->- - 503 -",
            "698 fern.example GET /items/{id} ->0 web.1 304 2",
            "799 fern.example HEAD / ->0 web.3 200 1",
            "891 fern.example GET /search ->2048 web.3 200 9",
            "1291 fern.example GET /items/{id} ->5 web.1 200 9",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 1), (NO_TIME, 1), (OTHER_LINE, 2), (BAD_STATUS, 1)]);
}

#[test]
fn envoy_and_istio_access_log() {
    let (trace, report, _) = plain("envoy.log", Format::Envoy);
    assert_rows(
        &trace,
        &[
            "100 moss.example POST /orders 731>96 10.0.0.2:8080 201 118",
            "250 fern.example GET /cart/{id} 0>512 10.0.0.1:8080 200 24",
            "300 fern.example GET /report 0>24 10.0.0.1:8080 504 15000",
            "400 fern.example GET /items/{id} 0>0 10.0.0.2:8080 499 1500",
            "500 reed.example GET /items/{id} 0>19 - 503 0",
            "600 reed.default.svc GET /grpc.Health/Check 5>8 10.0.0.3:50051 200 2",
            "700 reed.example GET /items/{id} 0>152 10.0.0.3:8080 503 40",
            "800 2001:db8::1 GET /items/{id} 0>1024 [2001:db8::9]:8080 200 6",
            "900 default GET /items/{id} 0>1024 10.0.0.1:8080 200 6",
        ],
    );
    assert_reasons(&report, &[(NO_REQUEST, 1), (OTHER_LINE, 2), (BAD_STATUS, 1)]);
}
