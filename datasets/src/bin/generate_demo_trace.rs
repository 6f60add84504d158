//! Writes `datasets/demo.parquet`, or the file that its only argument names.

use std::path::PathBuf;
use tailcast_datasets::demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/demo.parquet")), PathBuf::from);
    let trace = demo::generate(demo::SEED)?;
    trace.write(&path)?;
    eprintln!("{}: {} requests, {:.0} a second", path.display(), trace.len(), trace.mean_rate());
    Ok(())
}
