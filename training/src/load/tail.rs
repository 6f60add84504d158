//! The newest rows of a log that is being written, again and again, without reading twice what has not changed.
//!
//! Segments are read from the newest back until there are rows enough; those that stay as they are stay in memory. A
//! segment that is gone when its turn comes was compressed or removed meanwhile: it is listed, and found under its new
//! name the next time. Rejected: remembering how far a file was read (a stream is decoded batch by batch anyway,
//! and a closed segment becomes another file).

use super::{LoadReport, SegmentReport, SkippedFile, read_segment, segment_paths};
use crate::error::TrainError;
use polars::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

/// What a segment held, or why it was refused.
type Read = Result<(DataFrame, u64), String>;

/// A log directory that is followed.
#[derive(Debug)]
pub struct LogTail {
    directory: PathBuf,
    read: HashMap<PathBuf, (Stamp, Read)>,
    seen: Vec<(PathBuf, Stamp)>,
}

impl LogTail {
    /// Follows a directory, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), read: HashMap::new(), seen: Vec::new() }
    }

    /// True where a segment came, grew or went since the last look.
    pub fn has_changed(&mut self) -> bool {
        let now = self.stamps().unwrap_or_default();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    /// The newest `rows` rows, and the rest of the batch or closed segment where they begin.
    ///
    /// # Errors
    /// The directory cannot be listed, or no row in it can be read.
    pub fn newest(&mut self, rows: usize) -> Result<(DataFrame, LoadReport), TrainError> {
        let mut stamps = self.stamps()?;
        stamps.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        let mut report = LoadReport::default();
        let mut frames = Vec::new();
        let mut kept = HashMap::new();
        for (path, stamp) in stamps {
            if report.rows() >= rows {
                break;
            }
            let read = match self.read.remove(&path) {
                Some((before, read)) if before == stamp => read,
                _ => read_segment(&path, rows - report.rows()),
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match &read {
                Ok((frame, damaged_bytes)) => {
                    report.segments.push(SegmentReport { name, rows: frame.height(), damaged_bytes: *damaged_bytes });
                    frames.push(frame.clone());
                }
                Err(reason) => report.skipped.push(SkippedFile { name, reason: reason.clone() }),
            }
            kept.insert(path, (stamp, read));
        }
        self.read = kept;
        report.segments.reverse();
        // Oldest first, as they were written: what comes next sorts, and is quick where there is nothing to sort.
        let frames = frames.into_iter().rev();
        super::together(frames, &self.directory, report)
    }

    fn stamps(&self) -> Result<Vec<(PathBuf, Stamp)>, TrainError> {
        let paths = segment_paths(&self.directory)?.into_iter();
        let stamp = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).ok()?;
            Some((path, Stamp { modified: metadata.modified().ok()?, bytes: metadata.len() }))
        };
        Ok(paths.filter_map(stamp).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{learnable_log, stream_bytes};
    use std::time::Duration;

    /// Writes a segment that is so many seconds old.
    fn write(directory: &Path, name: &str, rows: usize, age_secs: u64) {
        let path = directory.join(name);
        std::fs::write(&path, stream_bytes(&[learnable_log(rows, age_secs)])).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age_secs);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn the_newest_segments_are_read_until_there_are_rows_enough() {
        let directory = tempfile::tempdir().unwrap();
        for (name, rows, age) in [("a.arrow", 100, 30), ("c.arrow", 120, 20), ("b.arrow", 140, 10)] {
            write(directory.path(), name, rows, age);
        }
        let mut tail = LogTail::new(directory.path());
        let (frame, report) = tail.newest(200).unwrap();
        let names: Vec<&str> = report.segments.iter().map(|segment| segment.name.as_str()).collect();
        assert_eq!((frame.height(), names), (260, vec!["c.arrow", "b.arrow"]));
        assert_eq!(tail.newest(usize::MAX).unwrap().0.height(), 360);
    }

    #[test]
    fn of_an_open_segment_only_the_last_batches_are_decoded() {
        let directory = tempfile::tempdir().unwrap();
        let batches: Vec<_> = (0..5).map(|seed| learnable_log(100, seed)).collect();
        let path = directory.path().join("a.arrow");
        std::fs::write(&path, stream_bytes(&batches)).unwrap();
        let heights = |rows: usize| LogTail::new(directory.path()).newest(rows).unwrap().0.height();
        assert_eq!([heights(1), heights(100), heights(101), heights(9_999)], [100, 100, 200, 500]);
    }

    #[test]
    fn a_segment_is_read_again_only_when_it_has_changed_and_a_bad_one_is_listed() {
        let directory = tempfile::tempdir().unwrap();
        let mut tail = LogTail::new(directory.path());
        assert!(tail.newest(10).is_err(), "there is nothing yet");
        write(directory.path(), "a.arrow", 100, 30);
        std::fs::write(directory.path().join("broken.parquet"), b"none of ours").unwrap();
        assert!(tail.has_changed() && !tail.has_changed());
        let (_, report) = tail.newest(1_000).unwrap();
        assert_eq!((report.rows(), report.skipped.len()), (100, 1));
        write(directory.path(), "a.arrow", 150, 5);
        assert!(tail.has_changed());
        assert_eq!(tail.newest(1_000).unwrap().1.rows(), 150);
        std::fs::remove_file(directory.path().join("a.arrow")).unwrap();
        assert!(tail.has_changed() && tail.newest(1_000).is_err());
    }
}
