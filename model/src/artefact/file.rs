//! Reading a model file within a limit, and writing one whole or not at all.
//!
//! A proxy watches the path and reads whenever it changes, so a half-written file must never be seen under its name:
//! write beside it, flush to the disk, rename. Rejected: writing in place under a lock, which readers must honour.

use super::error::ArtefactError;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells apart the temporary files of threads that save at the same time.
static SAVES: AtomicU64 = AtomicU64::new(0);

/// Reads a file of at most `limit_bytes`. The size is checked before anything is read, and again while reading, for
/// files that grow and for devices that have no size.
///
/// # Errors
/// The file cannot be read, or is larger.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, ArtefactError> {
    let failed = |source: io::Error| ArtefactError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let announced = file.metadata().map_err(failed)?.len();
    if announced > limit_bytes {
        return Err(ArtefactError::TooLarge { found_bytes: announced, limit_bytes });
    }
    let mut bytes = Vec::with_capacity(announced as usize);
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        found_bytes if found_bytes > limit_bytes => Err(ArtefactError::TooLarge { found_bytes, limit_bytes }),
        _ => Ok(bytes),
    }
}

/// Writes beside `path`, flushes, and renames.
///
/// # Errors
/// The directory or the disk does not allow it; what was under `path` is then unchanged.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ArtefactError> {
    let failed = |source: io::Error| ArtefactError::Io { action: "write", path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = temporary_path(path, directory).map_err(failed)?;
    let written = write_and_rename(&temporary, path, bytes);
    if written.is_err() {
        // Nothing better can be done about a file that cannot be removed either.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)?;
    // The rename itself lives in the directory. Not every file system lets a directory be flushed.
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(())
}

fn temporary_path(path: &Path, directory: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), SAVES.fetch_add(1, Ordering::Relaxed)));
    Ok(directory.join(temporary))
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_other_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.tailcast");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_above_the_limit_is_refused_with_both_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.tailcast");
        write(&path, &[0; 7]).unwrap();
        assert_eq!(read(&path, 6).unwrap_err().to_string(), "the model file has 7 bytes, at most 6 are allowed");
    }

    #[test]
    fn a_sparse_file_of_a_terabyte_is_refused_without_reading_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(
            matches!(read(&path, 1 << 20), Err(ArtefactError::TooLarge { found_bytes, .. }) if found_bytes == 1 << 40)
        );
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("occupied");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        assert!(write(&path, b"new").unwrap_err().to_string().contains("cannot write the model file"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"x");
    }

    #[test]
    fn a_missing_file_and_a_path_without_a_name_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let missing = read(&directory.path().join("none"), 10).unwrap_err().to_string();
        assert!(missing.contains("cannot read the model file") && missing.contains("none"), "{missing}");
        assert!(write(Path::new("/"), b"x").unwrap_err().to_string().contains("names no file"));
    }
}
