//! What can stop a simulation.

use std::path::PathBuf;

/// Why a scenario was refused or a simulation stopped.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML of the scenario's form; the message has line and key.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// A value is out of its range.
    #[error("scenario key {key} = {value} is out of range: {allowed}")]
    Value {
        /// The key, with its tables.
        key: String,
        /// What was given.
        value: String,
        /// What would be right.
        allowed: String,
    },
    /// No such policy.
    #[error("unknown policy {name:?}, expected one of {known}")]
    UnknownPolicy {
        /// What was given.
        name: String,
        /// All names.
        known: String,
    },
    /// The trace that the scenario replays is not there.
    #[error("skipped: no {path} ({reason})")]
    NoTrace {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The learner refused the log.
    #[error("training in the simulator: {0}")]
    Training(String),
}

impl SimError {
    pub(crate) fn value(key: impl Into<String>, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::Value { key: key.into(), value: value.to_string(), allowed: allowed.into() }
    }
}
