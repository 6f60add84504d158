//! The log: one row a request, with the decision, the features exactly as the policy saw them, and the outcome.
//!
//! Columns are flat and named after the features, so that any Arrow or Parquet reader opens a segment without
//! our code. Candidates are lists, with endpoints as stable 64-bit hashes of their names: positions in a pool
//! change when endpoints come and go, hashes do not. Rejected: one opaque binary column for the features
//! (smaller while open, but unreadable to everybody else, and Parquet compresses flat columns better).

mod batch;
mod columns;

pub use batch::LogBatch;
pub use columns::{LOG_VERSION, column, schema};

use crate::outcome::OutcomeKind;
use crate::schema::Row;

/// One candidate of a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedCandidate {
    /// Stable hash of the endpoint's name.
    pub endpoint: u64,
    /// Probability with which the policy would have chosen it for this request.
    pub propensity: f32,
    /// The policy's score, lower is better; NaN where the policy scores nothing.
    pub score: f32,
}

/// One request, as it is logged. Borrowed: nothing is copied before the Arrow builders.
#[derive(Debug, Clone, Copy)]
pub struct LogRow<'a> {
    /// Wall-clock arrival, microseconds since the Unix epoch.
    pub arrival_us: i64,
    /// Unique within a proxy's life.
    pub request_id: u64,
    /// Name of the pool.
    pub pool: &'a str,
    /// Name of the tenant.
    pub tenant: &'a str,
    /// Route template.
    pub route: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Name of the policy that decided.
    pub policy: &'a str,
    /// Why this endpoint: the decision's reason.
    pub reason: &'a str,
    /// Id of the model that scored; empty where none did.
    pub model: &'a str,
    /// Name of the chosen endpoint.
    pub endpoint: &'a str,
    /// Propensity of the chosen endpoint.
    pub propensity: f32,
    /// Share of exploration of this decision.
    pub epsilon: f32,
    /// The candidates, in the order of scoring.
    pub candidates: &'a [LoggedCandidate],
    /// The chosen endpoint's features.
    pub features: &'a Row,
    /// All candidates' features, in the order of `candidates`; logged for a sample of requests.
    pub candidate_features: Option<&'a [Row]>,
    /// How the request ended.
    pub outcome: OutcomeKind,
    /// HTTP status sent to the client; 0 where none was.
    pub status: u16,
    /// From dispatch to the last byte, microseconds.
    pub latency_us: u64,
    /// From dispatch to the first byte of the answer, microseconds; 0 where none came.
    pub first_byte_us: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Attempts made, 1 without retries.
    pub attempts: u8,
}
