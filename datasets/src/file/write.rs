//! Writing a trace: encoded in memory, then put in place whole by a rename.

use super::{COLUMNS, TRACE_VERSION, TraceError, VERSION_KEY};
use crate::trace::{Trace, TraceRow};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt16Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows encoded at a time: about a megabyte of columns.
const BATCH_ROWS: usize = 16_384;

/// zstd level: traces are written once, and beyond 9 the size gains under one per cent on the demo trace.
const ZSTD_LEVEL: i32 = 9;

impl Trace {
    /// The trace as the bytes of its file.
    ///
    /// # Errors
    /// The encoder refused, which names `file`.
    pub fn to_bytes(&self, file: &str) -> Result<Vec<u8>, TraceError> {
        self.encode().map_err(|source| TraceError::Encode { file: file.to_owned(), source })
    }

    /// Writes the trace to `path`: whole, or not at all.
    ///
    /// # Errors
    /// The file cannot be written; what was at `path` before is then still there.
    pub fn write(&self, path: &Path) -> Result<(), TraceError> {
        let file = path.display().to_string();
        let bytes = self.to_bytes(&file)?;
        write_whole(path, &bytes).map_err(|source| TraceError::Write { file, source })
    }

    fn encode(&self) -> Result<Vec<u8>, ParquetError> {
        let schema = schema();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            // Arrivals rise steadily and never repeat: their differences are small, a dictionary is not.
            .set_column_dictionary_enabled(ColumnPath::from(COLUMNS[0]), false)
            .set_column_encoding(ColumnPath::from(COLUMNS[0]), Encoding::DELTA_BINARY_PACKED)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        for rows in self.rows().chunks(BATCH_ROWS) {
            writer.write(&batch(&schema, rows)?)?;
        }
        writer.into_inner()
    }
}

fn schema() -> SchemaRef {
    let types = [
        DataType::Int64,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        DataType::UInt64,
        DataType::UInt64,
        DataType::Utf8,
        DataType::UInt16,
        DataType::UInt64,
    ];
    let fields: Vec<Field> =
        COLUMNS.into_iter().zip(types).enumerate().map(|(at, (name, kind))| Field::new(name, kind, at > 3)).collect();
    let metadata = HashMap::from([(VERSION_KEY.to_owned(), TRACE_VERSION.to_owned())]);
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

fn batch(schema: &SchemaRef, rows: &[TraceRow]) -> Result<RecordBatch, ParquetError> {
    fn text<'a>(rows: &'a [TraceRow], of: impl Fn(&'a TraceRow) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    }
    let number =
        |of: fn(&TraceRow) -> Option<u64>| -> ArrayRef { Arc::new(UInt64Array::from_iter(rows.iter().map(of))) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.arrival_us))),
        text(rows, |row| &row.tenant),
        text(rows, |row| &row.route),
        text(rows, |row| &row.method),
        number(|row| row.request_bytes),
        number(|row| row.response_bytes),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.endpoint.as_deref()))),
        Arc::new(UInt16Array::from_iter(rows.iter().map(|row| row.status))),
        number(|row| row.latency_us),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Writes beside `path` and renames, so that a reader or a crash sees the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The cause is already on its way to the caller; a leftover is the lesser evil.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// `trace.parquet` → `.trace.parquet.1234.tmp`: in the same folder, so that the rename cannot cross file systems.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(|| "trace".into(), |name| name.to_string_lossy());
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}
