//! One model of a registry and what is written beside it.

use crate::gate::Verdict;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// File of the model, in its directory.
pub const MODEL_FILE: &str = "model.tailcast";

/// File of the [`Record`].
pub(super) const RECORD_FILE: &str = "record.json";

/// File of the training report, as `tailcast train --json` prints it.
pub const REPORT_FILE: &str = "report.json";

/// What is known of a model when it is published. It never changes afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number: 1, 2, 3 …
    pub number: u64,
    /// Id of the model.
    pub model_id: String,
    /// SHA-256 of the model's file, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was published, seconds since the Unix epoch.
    pub published_unix_secs: u64,
    /// Number of the champion that it was set beside, and that it was started from.
    pub against: Option<u64>,
    /// Rows that it was trained on.
    pub rows: u64,
    /// Arrival of the first row, microseconds since the Unix epoch.
    pub from_us: i64,
    /// Arrival of the last row that it was fitted or calibrated on, microseconds since the Unix epoch: rows after it
    /// are as new to this model as those of tomorrow.
    pub fitted_until_us: i64,
    /// What the gate said.
    pub verdict: Verdict,
}

/// A published model.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What was known of it.
    pub record: Record,
    /// Directory that holds it.
    pub directory: PathBuf,
}

impl Entry {
    /// The model's file.
    pub fn model_path(&self) -> PathBuf {
        self.directory.join(MODEL_FILE)
    }

    /// The training report.
    pub fn report_path(&self) -> PathBuf {
        self.directory.join(REPORT_FILE)
    }
}
