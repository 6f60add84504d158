//! Writes a log of any size as a proxy would have: closed Parquet segments of half a million rows, eight candidates a
//! row, thirty-one features, tenants by Zipf's law. For the benchmark of loading (`benches/learning`).
//!
//! `cargo run --release -p tailcast-training --example synthetic_log -- DIR ROWS`

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use tailcast_features::hash::hash_name;
use tailcast_features::log::{LogBatch, LogRow, LoggedCandidate, schema};
use tailcast_features::{FEATURE_COUNT, OutcomeKind, index};

/// Rows of a segment and of a batch, as the proxy's defaults.
const SEGMENT_ROWS: usize = 500_000;
const BATCH_ROWS: usize = 50_000;

const ENDPOINTS: usize = 8;
const TENANTS: usize = 500;
const ROUTES: [&str; 6] = ["/api/search", "/api/items/{id}", "/api/feed", "/api/render/{id}", "/api/upload", "/health"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("the directory is missing")?;
    let rows: usize = arguments.next().ok_or("the number of rows is missing")?.parse()?;
    std::fs::create_dir_all(&directory)?;
    let names: Vec<String> = (0..ENDPOINTS).map(|number| format!("10.0.0.{number}:8080")).collect();
    let keys: Vec<u64> = names.iter().map(|name| hash_name(name)).collect();
    let tenants: Vec<String> = (0..TENANTS).map(|number| format!("tenant-{number:04}")).collect();
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut at_us = 1_700_000_000_000_000i64;
    let mut written = 0;
    while written < rows {
        let path = Path::new(&directory).join(format!("decisions-1-1-{:06}.parquet", written / SEGMENT_ROWS + 1));
        let level = ZstdLevel::try_new(3)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let mut writer = ArrowWriter::try_new(File::create(path)?, schema(), Some(properties))?;
        let end = rows.min(written + SEGMENT_ROWS);
        while written < end {
            let count = BATCH_ROWS.min(end - written);
            let mut batch = LogBatch::with_capacity(count);
            for number in written..written + count {
                at_us += random.random_range(0..400i64);
                append(&mut batch, number, at_us, &mut random, (&names, &keys, &tenants));
            }
            writer.write(&batch.finish()?)?;
            written += count;
        }
        writer.close()?;
    }
    Ok(())
}

fn append(
    batch: &mut LogBatch,
    number: usize,
    at_us: i64,
    random: &mut Pcg64Mcg,
    (names, keys, tenants): (&[String], &[u64], &[String]),
) {
    // Zipf with exponent 1, by inversion of its continuous form.
    let tenant = (((TENANTS as f64).ln() * random.random::<f64>()).exp() as usize).min(TENANTS) - 1;
    let route = random.random_range(0..ROUTES.len());
    let chosen = random.random_range(0..ENDPOINTS);
    let mut row = [0.0f32; FEATURE_COUNT];
    for value in &mut row {
        // Two decimals, so that columns compress about as a proxy's do.
        *value = (random.random::<f32>() * 500.0).round() / 100.0;
    }
    let is_write = route == 4;
    row[index::METHOD_WRITE] = f32::from(u8::from(is_write));
    row[index::PRIORITY] = 0.0;
    row[index::IN_FLIGHT] = f32::from(random.random_range(0..20u16));
    row[index::ROUTE_COST] = route as f32;
    row[index::DAY_SIN] = f32::NAN;
    row[index::DAY_COS] = f32::NAN;
    row[index::ERROR_RATE] = 0.01;
    row[index::ZONE_LOCAL] = 1.0;
    let share = if chosen == 0 { 0.9 } else { 0.1 / (ENDPOINTS - 1) as f32 };
    let candidates: Vec<LoggedCandidate> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| LoggedCandidate {
            endpoint: *key,
            propensity: if at == chosen { share } else { (1.0 - share) / (ENDPOINTS - 1) as f32 },
            score: row[at],
        })
        .collect();
    let tail = -(1.0 - random.random::<f32>()).ln();
    let ln_ms = 1.0 + 0.5 * row[index::ROUTE_COST] + 0.02 * row[index::IN_FLIGHT] + 0.5 * tail;
    batch.append(&LogRow {
        arrival_us: at_us,
        request_id: number as u64,
        pool: "web",
        tenant: &tenants[tenant],
        route: ROUTES[route],
        method: if is_write { "POST" } else { "GET" },
        policy: "predictive",
        reason: "forecast",
        model: "0123456789ab",
        endpoint: &names[chosen],
        propensity: share,
        epsilon: 0.01,
        candidates: &candidates,
        features: &row,
        candidate_features: None,
        outcome: if number.is_multiple_of(300) { OutcomeKind::ServerError } else { OutcomeKind::Success },
        status: 200,
        latency_us: (ln_ms.exp() * 1e3) as u64 + 1,
        first_byte_us: 100,
        request_bytes: 0,
        response_bytes: 1_000,
        attempts: 1,
    });
}
