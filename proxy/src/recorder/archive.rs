//! The thread that turns closed segments into Parquet, and what earlier runs left behind.
//!
//! A segment becomes Parquet under another name, is synced, renamed, and only then is the Arrow file removed: at
//! every moment the rows are in one whole file. Where both exist after a crash the Parquet file is whole, and the
//! Arrow file goes. Damaged segments give the whole batches before the damage. Compression has its own thread
//! because half a million rows take seconds, in which the writer's queue would overflow.

use super::complaint::Complaint;
use crate::metrics::LogMetrics;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rows of a row group: readers skip and parallelise by it; about 30 MiB in memory while it is written.
const ROW_GROUP_ROWS: usize = 131_072;

/// Fastest level that still halves the size again; the log competes with requests for the processor.
const ZSTD_LEVEL: i32 = 1;

/// Segments that could not be rewritten (a full disk) are tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error("cannot archive log segment {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot write {} as Parquet: {source}", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
}

/// To the archive's thread.
struct Job {
    segment: Option<PathBuf>,
    done: Option<Sender<()>>,
}

/// The writer's handle to the thread.
pub(super) struct Archive {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Archive {
    /// Starts the thread; it begins with the segments that earlier runs left.
    pub(super) fn start(leftovers: Vec<PathBuf>, metrics: Arc<LogMetrics>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("tailcast-archive".into()).spawn(move || {
            for path in leftovers {
                match archive(&path) {
                    Ok(rows) => metrics.recovered.add(rows),
                    Err(error) => tracing::error!(%error, "a segment of an earlier run was not recovered"),
                }
            }
            work(&queue, &metrics);
        })?;
        Ok(Self { jobs, thread })
    }

    /// Hands over a closed segment; `done` is answered when it and all before were looked at.
    pub(super) fn add(&self, segment: Option<PathBuf>, done: Option<Sender<()>>) {
        if segment.is_some() || done.is_some() {
            // The thread ends only after this handle; if it panicked, recovery at the next start does its work.
            let _ = self.jobs.send(Job { segment, done });
        }
    }

    /// Waits for everything that was handed over.
    pub(super) fn finish(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the log's archive panicked");
        }
    }
}

/// Segments in a directory, oldest first by name; empty where it cannot be read.
pub(super) fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "arrow"))
        .collect();
    found.sort();
    found
}

fn work(queue: &Receiver<Job>, metrics: &LogMetrics) {
    let mut pending = VecDeque::new();
    let mut complaint = Complaint::default();
    loop {
        let job = match queue.recv_timeout(RETRY_AFTER) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => Job { segment: None, done: None },
            Err(RecvTimeoutError::Disconnected) => break,
        };
        pending.extend(job.segment);
        for _ in 0..pending.len() {
            let Some(path) = pending.pop_front() else { break };
            match archive(&path) {
                Ok(rows) => metrics.segments.add(u64::from(rows > 0)),
                Err(error) => {
                    metrics.failures.add(1);
                    complaint.about("a segment stays Arrow for now", &error, Instant::now());
                    pending.push_back(path);
                }
            }
        }
        drop(job.done);
    }
}

/// Rewrites one segment; the rows in it. Segments that a living process has open are left alone.
fn archive(path: &Path) -> Result<u64, ArchiveError> {
    let failed = |source| ArchiveError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(0),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let target = path.with_extension("parquet");
    if target.exists() {
        remove(path).map_err(failed)?;
        return Ok(0);
    }
    let rewritten = rewrite(file, path, &target)?;
    match rewritten.damage {
        Some(damage) if rewritten.rows == 0 => {
            tracing::warn!(segment = %path.display(), %damage, "a segment holds no whole batch, set aside");
            fs::rename(path, path.with_extension("damaged")).map_err(failed)?;
        }
        damage => {
            if let Some(damage) = damage {
                tracing::warn!(segment = %path.display(), %damage, rows = rewritten.rows, "a damaged segment was cut");
            }
            remove(path).map_err(failed)?;
        }
    }
    Ok(rewritten.rows)
}

/// Removes a file, or finds that another process already did.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

struct Rewritten {
    rows: u64,
    damage: Option<ArrowError>,
}

fn rewrite(file: File, path: &Path, target: &Path) -> Result<Rewritten, ArchiveError> {
    let failed = |source| ArchiveError::Io { path: target.to_owned(), source };
    let broken = |source| ArchiveError::Parquet { path: target.to_owned(), source };
    let mut reader = match guarded(path, || StreamReader::try_new(BufReader::new(file), None)) {
        Ok(reader) => reader,
        Err(damage) => return Ok(Rewritten { rows: 0, damage: Some(damage) }),
    };
    let temporary = path.with_extension("parquet.tmp");
    let written = (|| {
        let output = File::create(&temporary).map_err(failed)?;
        // The writer also puts the schema's metadata (feature hash, log version) into the footer.
        let mut writer = ArrowWriter::try_new(output, reader.schema(), Some(properties())).map_err(broken)?;
        let mut rewritten = Rewritten { rows: 0, damage: None };
        loop {
            match guarded(path, || reader.next().transpose()) {
                Ok(Some(batch)) => {
                    writer.write(&batch).map_err(broken)?;
                    rewritten.rows += batch.num_rows() as u64;
                }
                Ok(None) => break,
                Err(damage) => {
                    rewritten.damage = Some(damage);
                    break;
                }
            }
        }
        let output = writer.into_inner().map_err(broken)?;
        output.sync_all().map_err(failed)?;
        if rewritten.rows > 0 {
            fs::rename(&temporary, target).map_err(failed)?;
            sync_directory(target).map_err(failed)?;
        } else {
            fs::remove_file(&temporary).map_err(failed)?;
        }
        Ok(rewritten)
    })();
    if written.is_err() {
        // A half-written file takes the room that may be what is missing.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Reads outside bytes: a reader that panics on damage is damage too.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ArrowError::IpcError(format!("the reader panicked on {}", path.display()))))
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build()
}

/// Makes a rename survive a power cut.
fn sync_directory(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::segment::{Segment, open_new};
    use super::super::tests::batch;
    use super::*;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;
    use tailcast_features::log::{column, schema};

    fn segment(directory: &Path) -> PathBuf {
        let path = directory.join("decisions-1.arrow");
        let mut segment = Segment::create(path, open_new, Instant::now()).unwrap();
        segment.append(&batch(0..3)).unwrap();
        segment.append(&batch(3..7)).unwrap();
        segment.close()
    }

    fn rows_of(path: &Path) -> usize {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum()
    }

    #[test]
    fn a_segment_becomes_parquet_with_the_schema_and_its_metadata() {
        let directory = tempfile::tempdir().unwrap();
        let path = segment(directory.path());
        assert_eq!(archive(&path).unwrap(), 7);
        assert!(!path.exists());
        let parquet = path.with_extension("parquet");
        assert_eq!(rows_of(&parquet), 7);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&parquet).unwrap()).unwrap();
        assert_eq!(reader.schema().metadata()[column::META_SCHEMA_HASH], schema().metadata()[column::META_SCHEMA_HASH]);
        assert_eq!(reader.schema().fields(), schema().fields());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_torn_last_batch_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = segment(directory.path());
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 200]).unwrap();
        assert_eq!(archive(&path).unwrap(), 3);
        assert_eq!(rows_of(&path.with_extension("parquet")), 3);
    }

    #[test]
    fn a_file_that_is_no_segment_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.arrow");
        fs::write(&path, b"\xff\xff\xff\xff\x10\0\0\0garbage").unwrap();
        assert_eq!(archive(&path).unwrap(), 0);
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn a_segment_that_is_open_elsewhere_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.arrow");
        let mut open = Segment::create(path.clone(), open_new, Instant::now()).unwrap();
        open.append(&batch(0..1)).unwrap();
        assert_eq!(archive(&path).unwrap(), 0);
        assert!(path.exists());
    }

    #[test]
    fn a_crash_before_the_removal_does_not_double_the_rows() {
        let directory = tempfile::tempdir().unwrap();
        let path = segment(directory.path());
        let copy = fs::read(&path).unwrap();
        archive(&path).unwrap();
        fs::write(&path, copy).unwrap();
        assert_eq!(archive(&path).unwrap(), 0);
        assert!(!path.exists());
        assert_eq!(rows_of(&path.with_extension("parquet")), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_segment_cut_anywhere_gives_a_whole_number_of_batches(cut in any::<prop::sample::Index>()) {
            let directory = tempfile::tempdir().unwrap();
            let path = segment(directory.path());
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
            let rows = archive(&path).unwrap();
            prop_assert!([0, 3, 7].contains(&rows), "{}", rows);
            prop_assert!(!path.exists());
        }
    }
}
