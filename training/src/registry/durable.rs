//! Changes of the disk that are there in full after a crash, or not at all.
//!
//! A directory is built under a temporary name that begins with a dot, flushed file by file, and renamed; a symbolic
//! link is replaced by a rename over it. Each of these is one step for every reader. Names that begin with a dot are
//! nothing to a reader, so what a killed writer leaves behind is only litter, which the next holder of the lock
//! sweeps. Rejected: writing in place with a journal (every reader would have to know the journal).

use super::error::RegistryError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Begins the name of everything unfinished.
const UNFINISHED: &str = ".new-";

/// Begins the name of everything that is being removed.
const REMOVED: &str = ".old-";

/// What the system said, with what was tried and where.
pub(super) fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RegistryError + 'a {
    move |source| RegistryError::Io { action, path: path.to_owned(), source }
}

/// What goes into a new directory.
pub(super) enum Content<'a> {
    /// A file of these bytes.
    File(&'a [u8]),
    /// A symbolic link to this path.
    Link(PathBuf),
}

/// Makes the directory `parent/name` with this content.
pub(super) fn directory(parent: &Path, name: &str, content: &[(&str, Content<'_>)]) -> Result<(), RegistryError> {
    let unfinished = parent.join(format!("{UNFINISHED}{name}"));
    let target = parent.join(name);
    clear(&unfinished)?;
    fs::create_dir(&unfinished).map_err(failed("create", &unfinished))?;
    for (name, content) in content {
        let path = unfinished.join(name);
        match content {
            Content::File(bytes) => write(&path, bytes).map_err(failed("write", &path))?,
            Content::Link(to) => symlink(to, &path).map_err(failed("create", &path))?,
        }
    }
    flush(&unfinished);
    fs::rename(&unfinished, &target).map_err(failed("create", &target))?;
    flush(parent);
    Ok(())
}

/// Makes the symbolic link `parent/name`, or turns it to another path.
pub(super) fn link(parent: &Path, name: &str, to: &Path) -> Result<(), RegistryError> {
    let (unfinished, target) = (parent.join(format!("{UNFINISHED}{name}")), parent.join(name));
    clear(&unfinished)?;
    symlink(to, &unfinished).map_err(failed("create", &unfinished))?;
    fs::rename(&unfinished, &target).map_err(failed("replace", &target))?;
    flush(parent);
    Ok(())
}

/// Makes the file `parent/name`.
pub(super) fn file(parent: &Path, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
    let (unfinished, target) = (parent.join(format!("{UNFINISHED}{name}")), parent.join(name));
    write(&unfinished, bytes).map_err(failed("write", &unfinished))?;
    fs::rename(&unfinished, &target).map_err(failed("replace", &target))?;
    flush(parent);
    Ok(())
}

/// Removes the directory `parent/name`: first from sight, then from the disk.
pub(super) fn remove(parent: &Path, name: &str) -> Result<(), RegistryError> {
    let (target, removed) = (parent.join(name), parent.join(format!("{REMOVED}{name}")));
    clear(&removed)?;
    fs::rename(&target, &removed).map_err(failed("remove", &target))?;
    clear(&removed)
}

/// Removes what a killed writer left behind.
pub(super) fn sweep(parent: &Path) -> Result<(), RegistryError> {
    for entry in fs::read_dir(parent).map_err(failed("read", parent))? {
        let path = entry.map_err(failed("read", parent))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) || name.starts_with(REMOVED) {
            clear(&path)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename lives in its directory. Not every file system lets a directory be flushed.
fn flush(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}

fn clear(path: &Path) -> Result<(), RegistryError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_directory_appears_whole_and_litter_of_a_killed_writer_is_no_obstacle() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join(".new-1")).unwrap();
        fs::write(parent.path().join(".new-1/half"), b"x").unwrap();
        let content = [("a", Content::File(b"one")), ("b", Content::Link("a".into()))];
        directory(parent.path(), "1", &content).unwrap();
        assert_eq!(fs::read(parent.path().join("1/b")).unwrap(), b"one");
        assert!(!parent.path().join("1/half").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_turned_and_what_is_removed_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        for (name, bytes) in [("1", b"one"), ("2", b"two")] {
            directory(parent.path(), name, &[("f", Content::File(bytes))]).unwrap();
            link(parent.path(), "now", Path::new(name)).unwrap();
            assert_eq!(fs::read(parent.path().join("now/f")).unwrap(), bytes);
        }
        remove(parent.path(), "1").unwrap();
        assert!(remove(parent.path(), "1").unwrap_err().to_string().contains("cannot remove"));
        fs::create_dir(parent.path().join(".old-9")).unwrap();
        fs::write(parent.path().join(".new-now"), b"").unwrap();
        sweep(parent.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["2", "now"]);
    }
}
