//! Where a registry points: which model serves, which served before, which is only watched.

use super::durable::failed;
use super::error::RegistryError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file of a state that says what was changed, by whom and why.
pub(super) const CHANGE_FILE: &str = "change.json";

/// One pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// The model that serves.
    Champion,
    /// The model that served before, to go back to.
    Previous,
    /// A model that is scored beside the champion and never used.
    Shadow,
}

impl Pointer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Champion, Self::Previous, Self::Shadow];

    /// Name of its link.
    pub fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Previous => "previous",
            Self::Shadow => "shadow",
        }
    }
}

/// The numbers that the pointers name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointers {
    /// The model that serves.
    pub champion: Option<u64>,
    /// The model that served before.
    pub previous: Option<u64>,
    /// The model that is watched.
    pub shadow: Option<u64>,
}

impl Pointers {
    /// The number that one pointer names.
    pub fn of(&self, pointer: Pointer) -> Option<u64> {
        match pointer {
            Pointer::Champion => self.champion,
            Pointer::Previous => self.previous,
            Pointer::Shadow => self.shadow,
        }
    }

    /// True where a pointer names this number.
    pub fn names(&self, number: u64) -> bool {
        Pointer::ALL.iter().any(|pointer| self.of(*pointer) == Some(number))
    }
}

/// One change of the pointers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where they point since.
    pub pointers: Pointers,
    /// Why.
    pub why: String,
    /// What the process that changed them was doing.
    pub by: String,
    /// When, seconds since the Unix epoch.
    pub unix_secs: u64,
}

/// The pointers of the current state; none where nothing was ever promoted.
pub(super) fn read(current: &Path) -> Result<Pointers, RegistryError> {
    match fs::symlink_metadata(current) {
        Ok(_) => Ok(change(current)?.pointers),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Pointers::default()),
        Err(error) => Err(failed("read", current)(error)),
    }
}

/// What a state's file says.
pub(super) fn change(state: &Path) -> Result<Change, RegistryError> {
    let path = state.join(CHANGE_FILE);
    let bytes = fs::read(&path).map_err(failed("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json { path, source })
}
