//! Why an import as a whole can fail. A line never does it: lines are rejected, counted and sampled.

use super::Format;
use crate::TraceError;
use std::io;

/// An import could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input file could not be opened.
    #[error("cannot open {file}: {source}")]
    Open {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The input could not be read to its end.
    #[error("cannot read the input after line {line}: {source}")]
    Read {
        /// Last line that could be read.
        line: u64,
        /// What the system or the gzip decoder said.
        source: io::Error,
    },
    /// The input is in an encoding that no log has.
    #[error("the input is {found}; it must be UTF-8 text, plain or gzip")]
    Encoding {
        /// What it looks like.
        found: &'static str,
    },
    /// The reject file could not be written.
    #[error("cannot write the reject file: {source}")]
    Rejects {
        /// What the system said.
        source: io::Error,
    },
    /// Two of the files are the same.
    #[error("{first} and {second} are both {file}; they must be different files")]
    SameFile {
        /// One role.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The file.
        file: String,
    },
    /// An option that does nothing for this format.
    #[error("{option} is for {allowed}, not for {format}")]
    Option {
        /// The option.
        option: &'static str,
        /// Where it works.
        allowed: &'static str,
        /// The format asked for.
        format: Format,
    },
    /// The column map is not understood.
    #[error("column map: {0}")]
    Map(String),
    /// The nginx `log_format` is not understood.
    #[error("log_format: {0}")]
    LogFormat(String),
    /// There is nothing in the input.
    #[error("the input is empty: no line with a request among {lines} lines")]
    Empty {
        /// Lines read, all blank or comments.
        lines: u64,
    },
    /// Not one line could be read.
    #[error("none of {lines} lines could be read as {format}: {reasons}")]
    Nothing {
        /// Lines read.
        lines: u64,
        /// The format asked for.
        format: Format,
        /// Reasons and their counts.
        reasons: String,
    },
    /// The trace could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
}
