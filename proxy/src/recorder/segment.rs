//! The open segment: an Arrow IPC stream to which whole batches are appended.
//!
//! Each batch is encoded in memory and given to the system in one write, so what is in the file is whole batches
//! and at most one torn one at the end. After a failed write the file is cut back to the last whole batch. The
//! open file is locked: a proxy that starts recovers segments of dead processes, not of living ones.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tailcast_features::log::schema;

/// What went wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    /// The disk.
    #[error("cannot write log segment {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The encoder.
    #[error("cannot encode a batch of the log: {0}")]
    Encode(#[from] ArrowError),
}

/// Opens a new file for writing. A function, so that a test can give a full disk.
pub(super) type Open = fn(&Path) -> io::Result<File>;

/// Opens a file that must not exist yet.
pub(super) fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// A segment that grows.
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    encoder: StreamWriter<Vec<u8>>,
    bytes: u64,
    rows: u64,
    opened: Instant,
}

impl Segment {
    /// Creates `path`, with its directory where that is missing.
    pub(super) fn create(path: PathBuf, open: Open, now: Instant) -> Result<Self, SegmentError> {
        let failed = |source| SegmentError::Io { path: path.clone(), source };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // Locked before it has the name that recovery looks for.
        let unborn = path.with_extension("arrow.new");
        let file = open(&unborn).map_err(failed)?;
        let created = file.lock().and_then(|()| fs::rename(&unborn, &path));
        if let Err(error) = created {
            let _ = fs::remove_file(&unborn);
            return Err(failed(error));
        }
        let encoder = StreamWriter::try_new(Vec::new(), &schema())?;
        Ok(Self { path, file, encoder, bytes: 0, rows: 0, opened: now })
    }

    /// Appends a batch and gives it to the system. After an error the file holds the batches before, and the
    /// segment should be closed.
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<(), SegmentError> {
        self.encoder.write(batch)?;
        self.write_out()?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the stream; the file's path. A failure leaves a segment that recovery reads as well.
    pub(super) fn close(mut self) -> PathBuf {
        if let Err(error) = self.encoder.finish().map_err(SegmentError::from).and_then(|()| self.write_out()) {
            tracing::debug!(%error, "a segment has no end marker");
        }
        self.path
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    fn write_out(&mut self) -> Result<(), SegmentError> {
        let buffer = self.encoder.get_mut();
        let result = self.file.write_all(buffer);
        let written = buffer.len() as u64;
        buffer.clear();
        match result {
            Ok(()) => {
                self.bytes += written;
                Ok(())
            }
            Err(source) => {
                // Best effort: a torn batch at the end is dealt with when the segment is read.
                let _ = self.file.set_len(self.bytes);
                Err(SegmentError::Io { path: self.path.clone(), source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::tests::batch;
    use super::*;
    use arrow::ipc::reader::StreamReader;

    fn rows_in(path: &Path) -> usize {
        let reader = StreamReader::try_new(File::open(path).unwrap(), None).unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum()
    }

    #[test]
    fn what_was_appended_can_be_read_while_the_segment_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/x.arrow");
        let mut segment = Segment::create(path.clone(), open_new, Instant::now()).unwrap();
        segment.append(&batch(0..3)).unwrap();
        segment.append(&batch(3..5)).unwrap();
        assert_eq!(rows_in(&path), 5);
        assert_eq!(segment.bytes(), fs::metadata(&path).unwrap().len());
        assert!(File::open(&path).unwrap().try_lock().is_err(), "an open segment is locked");
        let path = segment.close();
        assert_eq!(rows_in(&path), 5);
        File::open(&path).unwrap().try_lock().unwrap();
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.arrow");
        fs::write(path.with_extension("arrow.new"), "precious").unwrap();
        assert!(Segment::create(path, open_new, Instant::now()).is_err());
    }
}
