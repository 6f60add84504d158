//! What became of the lines of an import.

use super::Format;
use serde::Serialize;
use std::collections::BTreeMap;

/// Counts of an import: `lines = imported + rejected + blank_lines + comment_lines + header_lines +
/// continued_lines`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportReport {
    /// Format that was read.
    pub format: String,
    /// Lines in the input.
    pub lines: u64,
    /// Lines that became rows of the trace.
    pub imported: u64,
    /// Lines that could not be read.
    pub rejected: u64,
    /// Lines with nothing on them.
    pub blank_lines: u64,
    /// Lines that start with `#`.
    pub comment_lines: u64,
    /// Lines that name the columns.
    pub header_lines: u64,
    /// Lines that continue a quoted field begun on a line above.
    pub continued_lines: u64,
    /// Rejected lines by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Rows that arrived before the row on the line above; the trace is sorted.
    pub out_of_order: u64,
    /// Rows whose time was logged in whole seconds and that were spread over their second in the log's order.
    pub spread: u64,
    /// Distinct tenants.
    pub tenants: usize,
    /// Distinct routes.
    pub routes: usize,
    /// Rows whose route is `other`, because the table of routes was full.
    pub in_other_route: u64,
    /// Distinct endpoints.
    pub endpoints: usize,
    /// Rows that name an endpoint.
    pub with_endpoint: u64,
    /// Rows with a latency.
    pub with_latency: u64,
    /// Rows with a status.
    pub with_status: u64,
    /// First arrival, microseconds since 1970 or the trace's own zero.
    pub from_us: Option<i64>,
    /// Last arrival.
    pub until_us: Option<i64>,
    /// `csv` and `jsonl`: which column became which field, e.g. `latency` from `service_ms as ms`.
    pub columns: BTreeMap<String, String>,
    /// What the reader of the trace should know.
    pub notes: Vec<String>,
}

impl ImportReport {
    pub(super) fn new(format: Format) -> Self {
        Self { format: format.name().to_owned(), ..Self::default() }
    }

    /// Reasons and counts in one line, the most frequent first.
    pub fn reasons_line(&self) -> String {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1));
        let parts: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
        parts.join(", ")
    }
}
