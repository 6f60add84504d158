//! The thread that writes: appends batches to the open segment, rotates it, and survives a failing disk.
//!
//! While the disk fails, batches are dropped and counted, and a new segment is tried every second. Nothing is
//! kept back for later: memory would grow as long as the disk is full.

use super::Message;
use super::archive::{Archive, leftovers};
use super::complaint::Complaint;
use super::segment::{Open, Segment, SegmentError, open_new};
use crate::config::LogConfig;
use crate::error::ProxyError;
use crate::metrics::LogMetrics;
use arrow::array::RecordBatch;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// A disk that failed is tried again after this: soon enough to lose little, seldom enough to cost nothing.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The age of a segment is looked at this often when no rows come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The writer's state.
pub(super) struct Writer {
    config: LogConfig,
    start_us: i64,
    sequence: u64,
    segment: Option<Segment>,
    retry_at: Option<Instant>,
    archive: Archive,
    metrics: Arc<LogMetrics>,
    complaint: Complaint,
    open: Open,
}

impl Writer {
    /// A writer, and the archive's thread with what earlier runs left.
    pub(super) fn new(config: LogConfig, start_us: i64, metrics: Arc<LogMetrics>) -> Result<Self, ProxyError> {
        // Listed before the first segment of this run exists.
        let archive = Archive::start(leftovers(&config.directory), Arc::clone(&metrics))
            .map_err(|source| ProxyError::Start { what: "the log's archive", source })?;
        Ok(Self {
            config,
            start_us,
            sequence: 0,
            segment: None,
            retry_at: None,
            archive,
            metrics,
            complaint: Complaint::default(),
            open: open_new,
        })
    }

    /// Works until all senders are gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(LOOK_EVERY) {
                Ok(Message::Batch(batch)) => self.append(&batch, Instant::now()),
                Ok(Message::Rotate(done)) => self.rotate(Some(done)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.rotate_if_due(Instant::now());
        }
        self.rotate(None);
        self.archive.finish();
    }

    fn append(&mut self, batch: &RecordBatch, now: Instant) {
        let rows = batch.num_rows() as u64;
        if self.retry_at.is_some_and(|at| now < at) {
            self.metrics.dropped.add(rows);
            return;
        }
        match self.try_append(batch, now) {
            Ok(()) => {
                self.retry_at = None;
                self.metrics.rows.add(rows);
            }
            Err(error) => {
                self.metrics.dropped.add(rows);
                self.metrics.failures.add(1);
                self.complaint.about("the decision log cannot be written, rows are dropped", &error, now);
                self.retry_at = Some(now + RETRY_AFTER);
                self.rotate(None);
            }
        }
    }

    fn try_append(&mut self, batch: &RecordBatch, now: Instant) -> Result<(), SegmentError> {
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => {
                let path = self.next_path();
                self.segment.insert(Segment::create(path, self.open, now)?)
            }
        };
        segment.append(batch)
    }

    /// `decisions-<start of the run, µs>-<process>-<number>.arrow`: sorts by time, unique among processes.
    fn next_path(&mut self) -> PathBuf {
        self.sequence += 1;
        let name = format!("decisions-{}-{}-{:06}.arrow", self.start_us, std::process::id(), self.sequence);
        self.config.directory.join(name)
    }

    fn rotate_if_due(&mut self, now: Instant) {
        let rotation = self.config.rotation;
        let is_due = self.segment.as_ref().is_some_and(|segment| {
            segment.rows() >= rotation.rows
                || segment.bytes() >= rotation.bytes
                || now.duration_since(segment.opened()) >= rotation.age
        });
        if is_due {
            self.rotate(None);
        }
    }

    /// Closes the segment; `done` is answered when everything closed so far was looked at by the archive.
    fn rotate(&mut self, done: Option<Sender<()>>) {
        let path = self.segment.take().map(Segment::close);
        self.archive.add(path, done);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::tests::batch;
    use super::*;
    use crate::config::Rotation;
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::path::Path;

    fn config(directory: &Path) -> LogConfig {
        let rotation = Rotation { age: Duration::from_secs(3_600), rows: 1_000_000, bytes: u64::MAX };
        LogConfig { directory: directory.to_owned(), rotation }
    }

    fn writer(config: LogConfig) -> (Writer, Arc<LogMetrics>) {
        let metrics = Arc::new(LogMetrics::default());
        (Writer::new(config, 7, Arc::clone(&metrics)).unwrap(), metrics)
    }

    fn files(directory: &Path, extension: &str) -> usize {
        let all = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|found| found == extension)).count()
    }

    #[test]
    fn a_full_disk_costs_rows_and_nothing_else_and_writing_goes_on_when_there_is_room() {
        fn full(_: &Path) -> io::Result<File> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, metrics) = writer(config(directory.path()));
        writer.open = full;
        let now = Instant::now();
        writer.append(&batch(0..2), now);
        writer.append(&batch(2..4), now);
        assert_eq!((metrics.dropped.get(), metrics.failures.get()), (4, 1), "the disk is not asked again at once");
        writer.open = open_new;
        writer.append(&batch(4..6), now + RETRY_AFTER);
        assert_eq!((metrics.dropped.get(), metrics.rows.get()), (4, 2));
        writer.rotate(None);
        writer.archive.finish();
        assert_eq!((files(directory.path(), "parquet"), files(directory.path(), "arrow")), (1, 0));
    }

    #[test]
    fn a_write_that_fails_half_way_closes_the_segment_and_counts_its_rows() {
        fn read_only(path: &Path) -> io::Result<File> {
            File::create(path)?;
            OpenOptions::new().read(true).open(path)
        }
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, metrics) = writer(config(directory.path()));
        writer.open = read_only;
        writer.append(&batch(0..2), Instant::now());
        assert_eq!((metrics.dropped.get(), metrics.rows.get(), metrics.failures.get()), (2, 0, 1));
        assert!(writer.segment.is_none());
        writer.archive.finish();
    }

    #[test]
    fn a_directory_that_is_a_file_costs_rows_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "not a directory").unwrap();
        let (mut writer, metrics) = writer(config(&path));
        writer.append(&batch(0..2), Instant::now());
        assert_eq!((metrics.dropped.get(), metrics.failures.get()), (2, 1));
        writer.archive.finish();
    }

    #[test]
    fn a_segment_is_rotated_by_rows_and_by_age() {
        let directory = tempfile::tempdir().unwrap();
        let mut by_rows = config(directory.path());
        by_rows.rotation.rows = 3;
        let (mut writer, metrics) = writer(by_rows);
        let now = Instant::now();
        for ids in [0..2, 2..4, 4..5] {
            writer.append(&batch(ids), now);
            writer.rotate_if_due(now);
        }
        assert!(writer.segment.is_some(), "the third batch opened a new segment");
        writer.rotate_if_due(now + Duration::from_secs(3_601));
        assert!(writer.segment.is_none());
        writer.archive.finish();
        assert_eq!(metrics.segments.get(), 2);
        assert_eq!(files(directory.path(), "parquet"), 2);
    }
}
