//! What can go wrong with a registry.

use std::path::PathBuf;
use tailcast_model::ArtefactError;

/// Why a registry refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk or the directory does not allow it; the registry is as it was before.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory holds something else.
    #[error("{path} is no registry: {found}; an empty or absent directory, or a registry, is right")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// Somebody else is publishing.
    #[error("the registry {path} is locked by {holder} since {age_secs} s; it is free when that process ends")]
    Locked {
        /// The registry.
        path: PathBuf,
        /// Who holds the lock, in words.
        holder: String,
        /// How long, seconds.
        age_secs: u64,
    },
    /// There is no such model.
    #[error("there is no model {number} in {path}; it has {known}")]
    Unknown {
        /// The registry.
        path: PathBuf,
        /// What was asked for.
        number: u64,
        /// Which there are.
        known: String,
    },
    /// There is nothing to go back to.
    #[error("{path} cannot be taken back: {reason}")]
    NoWayBack {
        /// The registry.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A model file is not what it should be.
    #[error("model {number}: {source}")]
    Model {
        /// Its number.
        number: u64,
        /// Why it is refused.
        source: ArtefactError,
    },
    /// A record cannot be read or written as JSON.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}
