//! Rows for tests: a data set made row by row, and a log segment as a proxy writes it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Candidate, Dataset, DatasetRow, Propensities};
use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::path::Path;
use tailcast_features::hash::hash_name;
use tailcast_features::log::{LogBatch, LogRow, LoggedCandidate, schema};
use tailcast_features::{FEATURE_COUNT, OutcomeKind, Row, index};

/// A feature row with these values, all others missing.
pub(crate) fn features(values: &[(usize, f32)]) -> Row {
    let mut row = [f32::NAN; FEATURE_COUNT];
    values.iter().for_each(|(index, value)| row[*index] = *value);
    row
}

/// A data set of `rows` rows a millisecond apart; `fill` sets each and gives its features.
pub(crate) fn dataset(rows: usize, mut fill: impl FnMut(&mut DatasetRow<'_>) -> Row) -> Dataset {
    let mut dataset = Dataset::with_capacity(rows, Propensities::Logged);
    for number in 0..rows {
        let mut row = DatasetRow {
            arrival_us: number as i64 * 1_000,
            pool: "p",
            tenant: "t",
            route: "/r",
            policy: "test",
            endpoint: "e",
            propensity: 1.0,
            outcome: OutcomeKind::Success,
            ln_ms: 0.0,
        };
        let features = fill(&mut row);
        let candidates = [Candidate { endpoint: hash_name(row.endpoint), propensity: row.propensity }];
        dataset.push(&row, &features, candidates.into(), None);
    }
    dataset
}

/// Endpoints of [`learnable_log`].
pub(crate) const ENDPOINTS: [&str; 4] = ["fast-1", "fast-2", "slow-1", "slow-2"];

/// A log with something to learn: four endpoints, six tenants in two kinds, three routes. Latency depends on
/// endpoint × route, on tenant × endpoint, and bends upward with in-flight; the noise is heavy-tailed. Chosen
/// uniformly, so propensities are 1/4. Half a percent fail.
pub(crate) fn learnable_log(rows: usize, seed: u64) -> RecordBatch {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut batch = LogBatch::with_capacity(rows);
    for number in 0..rows {
        let tenant = random.random_range(0..6usize);
        let route = random.random_range(0..3usize);
        let chosen = random.random_range(0..ENDPOINTS.len());
        let mut rows_of = [[0.0f32; FEATURE_COUNT]; 4];
        let mut ln_ms_of = [0.0f32; 4];
        for (endpoint, row) in rows_of.iter_mut().enumerate() {
            let in_flight = random.random_range(0..20u32) as f32;
            let slow = f32::from(u8::from(endpoint >= 2));
            let cold = if tenant % 4 == endpoint { -0.7 } else { 0.0 };
            let route_cost = [1.0, 2.0, 3.5][route];
            let pair = if route == 2 && endpoint < 2 { -0.8 } else { 0.6 * slow };
            let queue = 0.004 * in_flight * in_flight * (0.5 + slow);
            ln_ms_of[endpoint] = route_cost + pair + cold + queue;
            *row = features(&[
                (index::ROUTE_COST, route_cost),
                (index::TENANT_COST, 2.0 + 0.1 * tenant as f32),
                (index::IN_FLIGHT, in_flight),
                (index::OLDEST_IN_FLIGHT, in_flight.ln_1p()),
                (index::REQUEST_SIZE, if tenant < 3 { 8.0 } else { 2.0 }),
                (index::METHOD_WRITE, f32::from(u8::from(tenant < 3))),
                (index::ERROR_RATE, 0.005),
                (index::ENDPOINT_RESIDUAL, slow),
                (index::TENANT_ENDPOINT_RESIDUAL, cold),
                (index::ROUTE_ENDPOINT_RESIDUAL, pair),
            ]);
        }
        let normal: f32 = (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
        let tail = if random.random::<f32>() < 0.03 { -f32::ln(1.0 - random.random::<f32>()) } else { 0.0 };
        let ms = (ln_ms_of[chosen] + 0.2 * normal + tail).exp();
        let failed = random.random::<f32>() < 0.005;
        let candidates: Vec<LoggedCandidate> = ENDPOINTS
            .iter()
            .map(|name| LoggedCandidate { endpoint: hash_name(name), propensity: 0.25, score: f32::NAN })
            .collect();
        batch.append(&LogRow {
            arrival_us: 1_700_000_000_000_000 + number as i64 * 5_000,
            request_id: number as u64,
            pool: "web",
            tenant: ["acme", "globex", "initech", "umbrella", "hooli", "stark"][tenant],
            route: ["/a", "/b", "/c"][route],
            method: if tenant < 3 { "POST" } else { "GET" },
            policy: "random",
            reason: "chance",
            model: "",
            endpoint: ENDPOINTS[chosen],
            propensity: 0.25,
            epsilon: 0.0,
            candidates: &candidates,
            features: &rows_of[chosen],
            candidate_features: number.is_multiple_of(4).then_some(&rows_of[..]),
            outcome: if failed { OutcomeKind::ServerError } else { OutcomeKind::Success },
            status: if failed { 503 } else { 200 },
            latency_us: if failed { 300 } else { (ms * 1e3) as u64 },
            first_byte_us: 100,
            request_bytes: 0,
            response_bytes: 100,
            attempts: 1,
        });
    }
    batch.finish().unwrap()
}

/// An Arrow IPC stream of these batches, as an open segment.
pub(crate) fn stream_bytes(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// A Parquet file of these batches, as a closed segment.
pub(crate) fn write_parquet(path: &Path, batches: &[RecordBatch]) {
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), schema(), None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}
