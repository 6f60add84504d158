//! What can be wrong with a trace file. Each message names the file, and what would be right.

use super::{COLUMNS, TRACE_VERSION, VERSION_KEY};
use parquet::errors::ParquetError;

/// A trace file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be opened or read.
    #[error("cannot read trace {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write trace {file}: {source}")]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rows could not be encoded.
    #[error("cannot encode trace {file}: {source}")]
    Encode {
        /// The file.
        file: String,
        /// What the encoder said.
        source: ParquetError,
    },
    /// The bytes are not Parquet, or are damaged.
    #[error("{file} is not a readable Parquet file: {detail}; a trace is what `tailcast replay import` writes")]
    Damaged {
        /// The file.
        file: String,
        /// What the decoder said.
        detail: String,
    },
    /// Parquet, but nothing says that it is a trace.
    #[error(
        "{file} is Parquet but no trace: its metadata has no {VERSION_KEY}; a trace is what `tailcast replay import` writes"
    )]
    NotATrace {
        /// The file.
        file: String,
    },
    /// A trace of another version.
    #[error("{file} is a trace of version {found:?}; this program reads version {TRACE_VERSION:?}")]
    Version {
        /// The file.
        file: String,
        /// Version in the file.
        found: String,
    },
    /// A column is not there.
    #[error("trace {file} has no column {column}; it needs {}", COLUMNS.join(", "))]
    MissingColumn {
        /// The file.
        file: String,
        /// The missing column.
        column: &'static str,
    },
    /// A column has a type that cannot hold what it should.
    #[error("trace {file}: column {column} is {found}, not {expected}")]
    ColumnType {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
        /// Type in the file.
        found: String,
        /// Type that is right.
        expected: &'static str,
    },
    /// A value is missing or out of range.
    #[error("trace {file}: column {column} has {found} in row {row}; it must be {expected}")]
    Value {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
        /// Row, from zero.
        row: u64,
        /// Value in the file.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
}
