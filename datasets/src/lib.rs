//! Recorded traffic: the trace in memory, its file, importers of other recorders' logs, and the demo's trace.
//!
//! | module | is |
//! | --- | --- |
//! | `trace` | the trace in memory: rows sorted by arrival |
//! | `file` | its file: Parquet (zstd), versioned, written whole or not at all |
//! | [`import`] | logs of other routers and data sets as a trace |
//! | [`demo`] | the seeded generator of the committed demo trace |
//!
//! The decision is one small row type for everything that was ever recorded, with what a recorder may not know as
//! `Option`: replay needs only arrival, tenant and route, training also endpoint and latency, and both say which
//! of them a trace lacks. Rejected: one type per purpose, which would have made importers choose the purpose.

pub mod demo;
mod file;
pub mod import;
mod trace;

pub use file::{TRACE_VERSION, TraceError};
pub use trace::{CLIENT_LEFT, TenantGroup, Trace, TraceRow};

/// The committed demo trace, built into the program so that the demo needs no file.
///
/// # Errors
/// The embedded file is not readable, which the tests of this crate rule out.
pub fn demo_trace() -> Result<Trace, TraceError> {
    Trace::from_bytes(bytes::Bytes::from_static(DEMO), "demo.parquet (built in)")
}

/// What `generate_demo_trace` wrote.
static DEMO: &[u8] = include_bytes!("../demo.parquet");
