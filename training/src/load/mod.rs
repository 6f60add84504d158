//! A directory of log segments to one table.
//!
//! `*.parquet` are closed segments; `*.arrow` are Arrow IPC streams, still open or cut off by a crash. Of a
//! stream every whole batch before the damage is read: the messages are walked by their lengths first, and each
//! batch is decoded on its own. A file that is foreign or broken is skipped and listed, never fatal, unless
//! nothing is left. Rejected: reading through a lazy scan of the whole directory, where one bad file ends it
//! all and a stream without its end marker is an error.

mod lists;
mod stream;
mod tail;

pub(crate) use lists::Lists;
pub use tail::LogTail;

use crate::error::TrainError;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tailcast_features::log::{LOG_VERSION, column};
use tailcast_features::{FEATURES, schema_hash};

/// One segment that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentReport {
    /// File name.
    pub name: String,
    /// Rows read.
    pub rows: usize,
    /// Bytes at the end that hold no whole batch: a segment that was cut off.
    pub damaged_bytes: u64,
}

/// One file that was not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// File name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What was found in the directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Segments read, in the order of their names.
    pub segments: Vec<SegmentReport>,
    /// Segments refused.
    pub skipped: Vec<SkippedFile>,
    /// Segments that must have been there: gaps in a proxy's numbering, by the name of the segment before the gap.
    pub missing: Vec<String>,
}

impl LoadReport {
    /// Rows read from all segments.
    pub fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows).sum()
    }
}

/// The columns that training reads, with their types. Scores, first-byte times and response sizes stay on disk.
pub(crate) fn columns_read() -> Vec<(String, DataType)> {
    let list = |item: DataType| DataType::List(Box::new(item));
    let mut columns: Vec<(String, DataType)> = [
        (column::ARRIVAL, DataType::Int64),
        (column::REQUEST_ID, DataType::UInt64),
        (column::POOL, DataType::String),
        (column::TENANT, DataType::String),
        (column::ROUTE, DataType::String),
        (column::METHOD, DataType::String),
        (column::POLICY, DataType::String),
        (column::ENDPOINT, DataType::String),
        (column::PROPENSITY, DataType::Float32),
        (column::CANDIDATES, list(DataType::UInt64)),
        (column::CANDIDATE_PROPENSITIES, list(DataType::Float32)),
        (column::CANDIDATE_FEATURES, list(DataType::Float32)),
        (column::OUTCOME, DataType::String),
        (column::LATENCY, DataType::UInt64),
    ]
    .into_iter()
    .map(|(name, kind)| (name.to_owned(), kind))
    .collect();
    columns.extend(
        FEATURES.iter().map(|feature| (format!("{}{}", column::FEATURE_PREFIX, feature.name), DataType::Float32)),
    );
    columns
}

/// Reads every segment of a directory into one table.
///
/// # Errors
/// The directory cannot be listed, or no row in it could be read; the message says what was found.
pub fn load_segments(directory: &Path) -> Result<(DataFrame, LoadReport), TrainError> {
    let mut report = LoadReport::default();
    let mut frames = Vec::new();
    for path in segment_paths(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match read_segment(&path, usize::MAX) {
            Ok((frame, damaged_bytes)) => {
                report.segments.push(SegmentReport { name, rows: frame.height(), damaged_bytes });
                frames.push(frame);
            }
            Err(reason) => report.skipped.push(SkippedFile { name, reason }),
        }
    }
    together(frames.into_iter(), directory, report)
}

/// The segments of a directory as one table.
fn together(
    frames: impl Iterator<Item = DataFrame>,
    directory: &Path,
    report: LoadReport,
) -> Result<(DataFrame, LoadReport), TrainError> {
    let report = LoadReport { missing: gaps(&report), ..report };
    let mut table: Option<DataFrame> = None;
    for frame in frames {
        match &mut table {
            Some(table) => {
                table.vstack_mut_owned(frame)?;
            }
            None => table = Some(frame),
        }
    }
    match table {
        Some(mut table) if table.height() > 0 => {
            table.rechunk_mut_par();
            Ok((table, report))
        }
        _ => Err(TrainError::NoSegments { path: directory.to_owned(), found: found(&report) }),
    }
}

/// Gaps in the numbers at the end of the names of segments that are otherwise called the same. Segments before the first
/// were removed to make room, and those after the last are not written yet.
fn gaps(report: &LoadReport) -> Vec<String> {
    let read = report.segments.iter().map(|segment| segment.name.as_str());
    let numbered = |name: &'_ str| {
        let stem = name.rsplit_once('.')?.0;
        let (series, number) = stem.rsplit_once('-')?;
        Some((series.to_owned(), number.parse::<u64>().ok()?, name.to_owned()))
    };
    let all = read.chain(report.skipped.iter().map(|file| file.name.as_str()));
    let mut all: Vec<(String, u64, String)> = all.filter_map(numbered).collect();
    all.sort_unstable();
    let gap = |pair: &[(String, u64, String)]| {
        let missing = pair[1].1.saturating_sub(pair[0].1).saturating_sub(1);
        let (series, before) = (&pair[0].0, &pair[0].2);
        (*series == pair[1].0 && missing > 0).then(|| format!("{missing} after {before}"))
    };
    all.windows(2).filter_map(gap).collect()
}

fn found(report: &LoadReport) -> String {
    if report.segments.is_empty() && report.skipped.is_empty() {
        return "it has no *.parquet and no *.arrow file".to_owned();
    }
    let mut parts: Vec<String> =
        report.segments.iter().map(|segment| format!("{} has no whole batch", segment.name)).collect();
    parts.extend(report.skipped.iter().map(|file| format!("{} was skipped: {}", file.name, file.reason)));
    let more = parts.len().saturating_sub(MAX_NAMED);
    parts.truncate(MAX_NAMED);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

/// Files named in an error message: enough to see the pattern, short enough to read.
const MAX_NAMED: usize = 5;

fn segment_paths(directory: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let failed = |source| TrainError::Directory { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "parquet" || extension == "arrow");
        if is_segment && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads one segment: the table and the number of damaged bytes at its end. Of an open one the last `rows` rows are enough.
fn read_segment(path: &Path, rows: usize) -> Result<(DataFrame, u64), String> {
    // A decoder's panic over outside bytes must not end the run; nothing is shared across the boundary.
    let read = catch_unwind(AssertUnwindSafe(|| {
        if path.extension().is_some_and(|extension| extension == "parquet") {
            Ok((read_parquet(path)?, 0))
        } else {
            let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
            stream::read(&bytes, rows)
        }
    }));
    let (frame, damaged) = read.unwrap_or_else(|_| Err("the decoder gave up on its contents".to_owned()))?;
    Ok((conforming(frame)?, damaged))
}

fn read_parquet(path: &Path) -> Result<DataFrame, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    // polars keeps no schema metadata, so the footer is read by the crate that wrote it.
    let footer = ArrowReaderMetadata::load(&file, Default::default()).map_err(|error| error.to_string())?;
    check_metadata(footer.schema().metadata())?;
    let names = columns_read().into_iter().map(|(name, _)| name).collect();
    ParquetReader::new(file).with_columns(Some(names)).finish().map_err(|error| error.to_string())
}

/// Refuses a segment of another schema or version: its columns would be read under the wrong meaning.
fn check_metadata(metadata: &HashMap<String, String>) -> Result<(), String> {
    let value = |key: &str| metadata.get(key).map(String::as_str);
    let hash = format!("{:016x}", schema_hash());
    match (value(column::META_SCHEMA_HASH), value(column::META_LOG_VERSION)) {
        (None, _) => Err(format!("it is no log of ours: metadata {:?} is missing", column::META_SCHEMA_HASH)),
        (Some(seen), _) if seen != hash => Err(format!("its feature schema is {seen}, this version reads {hash}")),
        (_, version) if version != Some(LOG_VERSION.to_string().as_str()) => {
            Err(format!("its log version is {}, this version reads {LOG_VERSION}", version.unwrap_or("missing")))
        }
        _ => Ok(()),
    }
}

/// The columns in the agreed order, with the agreed types and no nulls where none belong.
fn conforming(frame: DataFrame) -> Result<DataFrame, String> {
    let columns = columns_read();
    let frame = frame.select(columns.iter().map(|(name, _)| name.as_str())).map_err(|error| error.to_string())?;
    for (name, kind) in &columns {
        let column = frame.column(name).map_err(|error| error.to_string())?;
        if column.dtype() != kind {
            return Err(format!("column {name} is {}, {kind} is right", column.dtype()));
        }
        if column.null_count() > 0 && name != column::CANDIDATE_FEATURES {
            return Err(format!("column {name} has {} nulls, none are allowed", column.null_count()));
        }
        let inner_nulls = column.list().map_or(0, |list| list.get_inner().null_count());
        if inner_nulls > 0 {
            return Err(format!("the lists of column {name} have {inner_nulls} nulls, none are allowed"));
        }
    }
    Ok(frame)
}

#[cfg(test)]
mod tests;
