//! The file of a trace: Parquet with zstd, one row a request, a version in the schema's metadata.
//!
//! Parquet because every tool of the trade opens it; zstd because it is the codec the log already uses. Rejected:
//! Arrow IPC (three times the size, and a trace is written once) and CSV (no types, no "unknown").
//!
//! | column | type | is |
//! | --- | --- | --- |
//! | `arrival_us` | int64 | microseconds since 1970, or since the trace's own zero |
//! | `tenant`, `route`, `method` | string | never null |
//! | `request_bytes`, `response_bytes` | uint64 | null where unknown |
//! | `endpoint` | string | null where unknown |
//! | `status` | uint16 | null where unknown, 499 where the client left first |
//! | `latency_us` | uint64 | null where unknown |

mod error;
mod read;
mod write;

pub use error::TraceError;

/// Version of the file's layout, in its metadata. A reader refuses every other.
pub const TRACE_VERSION: &str = "1";

/// Metadata key that holds [`TRACE_VERSION`].
const VERSION_KEY: &str = "tailcast.trace_version";

/// Columns in their order.
const COLUMNS: [&str; 9] =
    ["arrival_us", "tenant", "route", "method", "request_bytes", "response_bytes", "endpoint", "status", "latency_us"];

#[cfg(test)]
mod tests;
