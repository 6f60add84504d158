//! One writer at a time: a lock that names its holder and when it was taken, and that a dead holder cannot keep.
//!
//! The lock is the kernel's, on the open file (`flock`), so it ends with the process however that ends. The file's
//! text only says who and since when, for the message. Rejected: a lock that is the existence of a file, and is
//! broken when it is old: a trainer that the machine held up for a minute would go on beside the one that broke it.

use super::durable::failed;
use super::error::RegistryError;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// Name of the lock's file.
pub(super) const LOCK: &str = "lock";

/// Who takes the lock, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// What the process is doing, for people.
    pub purpose: String,
    /// Its number.
    pub pid: u32,
    /// Now, seconds since the Unix epoch.
    pub unix_secs: u64,
}

impl Owner {
    /// This process, for this purpose, at this time.
    pub fn this_process(purpose: impl Into<String>, unix_secs: u64) -> Self {
        Self { purpose: purpose.into(), pid: std::process::id(), unix_secs }
    }
}

/// The lock. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the registry in `root`.
    pub(super) fn take(root: &Path, owner: &Owner) -> Result<Self, RegistryError> {
        let path = root.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(root, &mut file, owner.unix_secs)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        // Only for the message of those who find it taken: a failure here is none of the lock.
        if let Ok(text) = serde_json::to_vec(owner) {
            let _ = file.set_len(0).and_then(|()| file.write_all(&text));
        }
        Ok(Self { _file: file })
    }
}

fn held(root: &Path, file: &mut File, now: u64) -> RegistryError {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let (holder, age_secs) = match serde_json::from_str::<Owner>(&text) {
        Ok(owner) => (format!("{} (process {})", owner.purpose, owner.pid), now.saturating_sub(owner.unix_secs)),
        // Between taking the lock and writing who did.
        Err(_) => ("a process that has not yet said its name".to_owned(), 0),
    };
    RegistryError::Locked { path: root.to_owned(), holder, age_secs }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_second_owner_is_told_who_holds_the_lock_and_since_when_and_gets_it_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let owner = |unix_secs| Owner::this_process("train --follow", unix_secs);
        let first = Lock::take(root.path(), &owner(100)).unwrap();
        let refused = Lock::take(root.path(), &owner(142)).unwrap_err().to_string();
        assert!(refused.contains("train --follow (process ") && refused.contains("since 42 s"), "{refused}");
        drop(first);
        Lock::take(root.path(), &owner(150)).unwrap();
    }

    #[test]
    fn text_that_a_dead_holder_left_is_no_lock() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(LOCK), b"{\"purpose\": \"dead\"").unwrap();
        Lock::take(root.path(), &Owner::this_process("next", 1)).unwrap();
    }
}
