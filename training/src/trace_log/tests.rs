//! Traces as training rows, and that a trace gives the very rows that a proxy would have logged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::stream_bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tailcast_features::index;
use tailcast_features::log::{LogBatch, LogRow, LoggedCandidate};

fn row(arrival_us: i64, route: &str, endpoint: Option<&str>, latency_us: Option<u64>) -> TraceRow {
    TraceRow {
        arrival_us,
        tenant: "t".into(),
        route: route.into(),
        method: "GET".into(),
        request_bytes: None,
        response_bytes: None,
        endpoint: endpoint.map(Into::into),
        status: Some(200),
        latency_us,
    }
}

/// Requests of two tenants and two routes on three endpoints, overlapping.
fn recorded(count: usize) -> Vec<TraceRow> {
    let mut random = Pcg64Mcg::seed_from_u64(3);
    (0..count)
        .map(|number| TraceRow {
            tenant: ["acme", "globex"][random.random_range(0..2usize)].into(),
            method: ["GET", "POST"][random.random_range(0..2usize)].into(),
            request_bytes: random.random_bool(0.5).then(|| random.random_range(0..5_000u64)),
            ..row(
                1_700_000_000_000_000 + number as i64 * 10_000,
                ["/a", "/b"][random.random_range(0..2usize)],
                Some(["x", "y", "z"][random.random_range(0..3usize)]),
                Some(random.random_range(1_000..80_000u64)),
            )
        })
        .collect()
}

#[test]
fn rows_that_cannot_teach_are_counted_by_what_they_lack() {
    let rows = vec![
        row(0, "/a", Some("x"), Some(1_000)),
        row(1, "/a", None, Some(1_000)),
        row(2, "/a", Some(""), Some(1_000)),
        row(3, "/a", Some("y"), None),
        row(4, "/b", Some("z"), Some(u64::MAX)),
        row(5, "/a", Some("y"), Some(1_000)),
    ];
    let (dataset, report) = dataset_from_trace(&Trace::new(rows)).unwrap();
    assert_eq!(dataset.len(), 2);
    assert_eq!((report.rows, report.used, report.without_endpoint, report.without_latency), (6, 2, 2, 2));
    assert_eq!((report.pools, report.single_endpoint_pools, report.endpoints), (1, 0, 2));
}

#[test]
fn a_trace_without_endpoints_or_latencies_is_refused_by_the_missing_column() {
    let refusal = |rows| dataset_from_trace(&Trace::new(rows)).unwrap_err().to_string();
    let neither = refusal(vec![row(0, "/a", None, None); 3]);
    assert!(neither.contains("endpoint is missing in 3 rows") && neither.contains("latency_us is missing in 3 rows"));
    let no_latency = refusal(vec![row(0, "/a", Some("x"), None)]);
    assert!(!no_latency.contains("column endpoint") && no_latency.contains("latency_us is missing in 1 rows"));
    assert!(refusal(vec![]).contains("trace of 0 rows"));
}

#[test]
fn in_flight_is_the_overlap_of_requests_and_an_end_counts_before_an_arrival_of_the_same_instant() {
    let rows = vec![
        row(0, "/a", Some("x"), Some(100)),
        row(10, "/a", Some("x"), Some(100)),
        row(20, "/a", Some("y"), Some(100)),
        row(100, "/a", Some("x"), Some(10)),
        row(500, "/a", Some("x"), Some(10)),
    ];
    let (dataset, _) = dataset_from_trace(&Trace::new(rows)).unwrap();
    assert_eq!(dataset.feature(index::IN_FLIGHT), [0.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dataset.feature(index::POOL_IN_FLIGHT), [0.0, 0.5, 1.0, 1.0, 0.0]);
}

#[test]
fn statuses_become_outcomes() {
    let kinds = [None, Some(0), Some(200), Some(404), Some(499), Some(503), Some(504)].map(outcome);
    use OutcomeKind::{ClientAbort, ConnectionError, ServerError, Success, Timeout};
    assert_eq!(kinds, [Success, ConnectionError, Success, Success, ClientAbort, ServerError, Timeout]);
}

#[test]
fn propensities_are_estimated_and_sum_to_one() {
    let (dataset, _) = dataset_from_trace(&Trace::new(recorded(500))).unwrap();
    assert_eq!(dataset.propensities(), Propensities::Estimated);
    for row in 0..dataset.len() {
        let sum: f32 = dataset.candidates[row].iter().map(|candidate| candidate.propensity).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert!(dataset.propensity[row] > 0.0 && dataset.propensity[row] <= 1.0);
    }
    assert!(dataset.candidate_rows.iter().flatten().count() > 50);
}

/// The skew test: the rows that a proxy writes with its own store are, to the bit, those of its traffic as a trace.
#[test]
fn a_log_and_a_trace_of_the_same_traffic_give_bit_equal_rows() {
    let rows = recorded(800);
    let logged = log_of(&rows);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[logged])).unwrap();
    let (from_log, reports) = crate::dataset(crate::Source::Log(directory.path().to_owned())).unwrap();
    assert_eq!(reports.quality.unwrap().kept, 800);
    let (from_trace, _) = dataset_from_trace(&Trace::new(rows)).unwrap();
    for row in 0..800 {
        assert_eq!(from_log.row(row).map(f32::to_bits), from_trace.row(row).map(f32::to_bits), "row {row}");
        assert_eq!(from_log.labels()[row].to_bits(), from_trace.labels()[row].to_bits());
    }
}

/// What a proxy would log of these requests: its own store, its own order of calls.
fn log_of(rows: &[TraceRow]) -> arrow::array::RecordBatch {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        let name = row.endpoint.as_deref().unwrap();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let facts: Vec<EndpointFacts> =
        names.iter().map(|name| EndpointFacts { key: hash_name(name), weight: 1.0, zone_local: None }).collect();
    let mut store = FeatureStore::new(&facts, StoreLimits::default(), Tick::ZERO);
    let mut in_flight = [0u32; 3];
    let mut open: Vec<(Tick, Tick, RequestView, usize, Outcome)> = Vec::new();
    let mut batch = LogBatch::with_capacity(rows.len());
    let start = rows[0].arrival_us;
    for (number, row) in rows.iter().enumerate() {
        let now = Tick::from_nanos((row.arrival_us - start) as u64 * 1_000);
        open.sort_by_key(|(end, ..)| *end);
        while open.first().is_some_and(|(end, ..)| *end <= now) {
            let (end, since, view, slot, outcome) = open.remove(0);
            in_flight[slot] -= 1;
            store.completed(&view, facts[slot].key, since, &outcome, end);
        }
        let slot = names.iter().position(|name| Some(*name) == row.endpoint.as_deref()).unwrap();
        let request = RequestFacts::new(&row.tenant, &row.route, &row.method, row.request_bytes, row.arrival_us);
        let view = store.view(&request, now);
        let mean = in_flight.iter().sum::<u32>() as f32 / 3.0;
        let mut features = [f32::NAN; FEATURE_COUNT];
        store.row(&view, slot, Load { in_flight: in_flight[slot], pool_mean: mean }, now, &mut features);
        let candidates: Vec<LoggedCandidate> = facts
            .iter()
            .map(|facts| LoggedCandidate { endpoint: facts.key, propensity: 1.0 / 3.0, score: f32::NAN })
            .collect();
        batch.append(&LogRow {
            arrival_us: row.arrival_us,
            request_id: number as u64,
            pool: "p",
            tenant: &row.tenant,
            route: &row.route,
            method: &row.method,
            policy: "random",
            reason: "chance",
            model: "",
            endpoint: names[slot],
            propensity: 1.0 / 3.0,
            epsilon: 0.0,
            candidates: &candidates,
            features: &features,
            candidate_features: None,
            outcome: OutcomeKind::Success,
            status: 200,
            latency_us: row.latency_us.unwrap(),
            first_byte_us: 0,
            request_bytes: 0,
            response_bytes: 0,
            attempts: 1,
        });
        store.dispatched(slot, now);
        in_flight[slot] += 1;
        let latency = Duration::from_micros(row.latency_us.unwrap());
        let outcome = Outcome { kind: OutcomeKind::Success, status: 200, latency };
        open.push((now.after(latency), now, view, slot, outcome));
    }
    batch.finish().unwrap()
}
