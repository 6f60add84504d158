//! Importers: logs that other routers wrote, and data sets of requests, as a trace.
//!
//! Every format is a parser of one line that fills a `Draft`; everything else – reading, unpacking, sampling
//! rejects, names, route templates, order – is done once for all of them. A line that cannot be read is counted
//! by reason and sampled into the reject file: never fatal, never silently dropped. Parsers take what they need
//! and ignore what they do not know, because no two sites log the same fields. Rejected: one strict grammar per
//! format, which refuses the first log that somebody has extended.
//!
//! | module | is |
//! | --- | --- |
//! | `clf`, `nginx`, `haproxy`, `elb`, `heroku`, `envoy` | parsers of log lines |
//! | `table` | `csv` and `jsonl`: columns, their map, and guessing it |
//! | `lines`, `rejects` | bounded lines of plain or gzip input; the sample of what could not be read |
//! | `collect`, `draft` | drafts to rows: names, templates, order |
//! | `time`, `tokens`, `request` | pieces that several parsers share |

mod clf;
mod collect;
mod draft;
mod elb;
mod envelope;
mod envoy;
mod error;
mod file;
mod format;
mod haproxy;
mod heroku;
mod lines;
mod nginx;
mod rejects;
mod report;
mod request;
mod run;
mod table;
mod time;
mod tokens;

pub use error::ImportError;
pub use file::import_file;
pub use format::{Format, UnknownFormat};
pub use report::ImportReport;
pub use run::import;

/// Tenant of rows whose log names none, where [`ImportOptions::tenant`] is not given.
pub const DEFAULT_TENANT: &str = "default";

/// What to import and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// Format of the input.
    pub format: Format,
    /// `csv` and `jsonl`: which column is which, e.g. `arrival=TIMESTAMP,tenant==shop,latency=duration:s`.
    /// Without it columns are guessed by their names, and the report says how.
    pub map: Option<String>,
    /// `nginx`: the server's `log_format` string.
    pub log_format: Option<String>,
    /// Tenant of rows whose log names none; [`DEFAULT_TENANT`] without it.
    pub tenant: Option<String>,
}

impl ImportOptions {
    /// Options with nothing but a format.
    pub fn new(format: Format) -> Self {
        Self { format, map: None, log_format: None, tenant: None }
    }
}

#[cfg(test)]
mod robustness;
