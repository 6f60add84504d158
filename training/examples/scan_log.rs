//! Loads a log, checks it, makes the training matrix and splits it by time, and prints the seconds of each as JSON, with
//! the most memory that the process had. For the benchmark of loading (`benches/learning`).
//!
//! `cargo run --release -p tailcast-training --example scan_log -- DIR`

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;
use tailcast_training::{Progress, Source, TrainOptions, slices};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("the directory is missing")?;
    let started = Instant::now();
    let mut stages: Vec<(String, f64)> = Vec::new();
    let mut progress = |progress: Progress| {
        if let Progress::Stage(name) = progress {
            stages.push((name.to_owned(), started.elapsed().as_secs_f64()));
        }
    };
    let (split, reports) = slices(Source::Log(PathBuf::from(directory)), &TrainOptions::default(), &mut progress)?;
    let total = started.elapsed().as_secs_f64();
    let ends = stages.iter().skip(1).map(|(_, at)| *at).chain([total]);
    let secs: serde_json::Map<String, serde_json::Value> =
        stages.iter().zip(ends).map(|((name, from), until)| (name.clone(), (until - from).into())).collect();
    let slices = [&split.train, &split.calibration, &split.test].map(|slice| slice.len());
    let found = serde_json::json!({
        "total_secs": total,
        "secs": secs,
        "peak_gib": peak_kib()? as f64 / (1u64 << 20) as f64,
        "rows": reports.load.map(|load| load.rows()),
        "quality": reports.quality.map(|quality| quality.summary()),
        "slices": slices,
    });
    writeln!(std::io::stdout(), "{found}")?;
    Ok(())
}

/// The most memory that was ever resident, KiB.
fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
