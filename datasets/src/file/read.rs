//! Reading a trace: every column checked for its type, every value for its range, nothing believed.
//!
//! Decoders of Parquet can panic on damaged bytes, so the decoding runs inside `catch_unwind` and a panic becomes
//! [`TraceError::Damaged`]. Rejected: a checksum of our own, which files written by other tools would lack.

use super::{COLUMNS, TRACE_VERSION, TraceError, VERSION_KEY};
use crate::trace::{Trace, TraceRow};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Highest status; three digits is what HTTP has.
const MAX_STATUS: u64 = 999;

impl Trace {
    /// Reads a trace file.
    ///
    /// # Errors
    /// The file cannot be read, is not a trace, has another version, lacks a column or holds a value out of range.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let file = path.display().to_string();
        let bytes = fs::read(path).map_err(|source| TraceError::Read { file: file.clone(), source })?;
        Self::from_bytes(Bytes::from(bytes), &file)
    }

    /// Reads a trace from the bytes of its file; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn from_bytes(bytes: Bytes, file: &str) -> Result<Self, TraceError> {
        let decoder = Decoder { file, names: Names::default() };
        match catch_unwind(AssertUnwindSafe(move || decoder.decode(bytes))) {
            Ok(trace) => trace,
            Err(_) => Err(TraceError::Damaged { file: file.to_owned(), detail: "its decoder gave up".to_owned() }),
        }
    }
}

/// Names that rows share.
#[derive(Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

struct Decoder<'a> {
    file: &'a str,
    names: Names,
}

impl Decoder<'_> {
    fn decode(mut self, bytes: Bytes) -> Result<Trace, TraceError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| self.damaged(&error))?;
        match builder.schema().metadata().get(VERSION_KEY) {
            None => return Err(TraceError::NotATrace { file: self.file.to_owned() }),
            Some(version) if version != TRACE_VERSION => {
                return Err(TraceError::Version { file: self.file.to_owned(), found: version.clone() });
            }
            Some(_) => {}
        }
        let reader = builder.build().map_err(|error| self.damaged(&error))?;
        let mut rows = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|error| self.damaged(&error))?;
            self.batch(&batch, &mut rows)?;
        }
        Ok(Trace::new(rows))
    }

    fn batch(&mut self, batch: &RecordBatch, rows: &mut Vec<TraceRow>) -> Result<(), TraceError> {
        let first = rows.len() as u64;
        let [arrival, tenant, route, method, request, response, endpoint, status, latency] = COLUMNS;
        let arrival_us = self.column(batch, arrival, &DataType::Int64, "an integer")?;
        let arrivals = arrival_us.as_primitive::<Int64Type>();
        let tenants = self.text(batch, tenant)?;
        let routes = self.text(batch, route)?;
        let methods = self.text(batch, method)?;
        let endpoints = self.text(batch, endpoint)?;
        let requests = self.count(batch, request)?;
        let responses = self.count(batch, response)?;
        let statuses = self.count(batch, status)?;
        let latencies = self.count(batch, latency)?;
        for at in 0..batch.num_rows() {
            let row = first + at as u64;
            if arrivals.is_null(at) {
                return Err(self.null(arrival, row));
            }
            let mut name = |column: &'static str, texts: &StringArray| match texts.is_valid(at) {
                true => Ok(self.names.share(texts.value(at))),
                false => Err(column),
            };
            let required = name(tenant, &tenants).and_then(|tenant| {
                Ok((tenant, name(route, &routes)?, name(method, &methods)?, name(endpoint, &endpoints).ok()))
            });
            let (tenant, route, method, endpoint) = required.map_err(|column| self.null(column, row))?;
            let number = |column: &ArrayRef| column.is_valid(at).then(|| column.as_primitive::<UInt64Type>().value(at));
            rows.push(TraceRow {
                arrival_us: arrivals.value(at),
                tenant,
                route,
                method,
                request_bytes: number(&requests),
                response_bytes: number(&responses),
                endpoint,
                status: number(&statuses).map(|value| self.status(status, row, value)).transpose()?,
                latency_us: number(&latencies),
            });
        }
        Ok(())
    }

    fn column(
        &self,
        batch: &RecordBatch,
        column: &'static str,
        kind: &DataType,
        expected: &'static str,
    ) -> Result<ArrayRef, TraceError> {
        let Some(found) = batch.column_by_name(column) else {
            return Err(TraceError::MissingColumn { file: self.file.to_owned(), column });
        };
        let wrong = |found: String| TraceError::ColumnType { file: self.file.to_owned(), column, found, expected };
        let from = found.data_type();
        let fits = match kind {
            DataType::Utf8 => is_text(from),
            _ => from.is_integer(),
        };
        if !fits && from != &DataType::Null {
            return Err(wrong(from.to_string()));
        }
        let cast = cast(found, kind).map_err(|error| wrong(error.to_string()))?;
        // A cast writes null for what does not fit, for example a negative size.
        if from != &DataType::Null && cast.null_count() > found.logical_null_count() {
            return Err(wrong(format!("{from} with values out of range")));
        }
        Ok(cast)
    }

    fn text(&self, batch: &RecordBatch, column: &'static str) -> Result<StringArray, TraceError> {
        Ok(self.column(batch, column, &DataType::Utf8, "text")?.as_string::<i32>().clone())
    }

    fn count(&self, batch: &RecordBatch, column: &'static str) -> Result<ArrayRef, TraceError> {
        self.column(batch, column, &DataType::UInt64, "a non-negative integer")
    }

    fn status(&self, column: &'static str, row: u64, value: u64) -> Result<u16, TraceError> {
        u16::try_from(value).ok().filter(|_| value <= MAX_STATUS).ok_or_else(|| TraceError::Value {
            file: self.file.to_owned(),
            column,
            row,
            found: value.to_string(),
            expected: "at most 999",
        })
    }

    fn null(&self, column: &'static str, row: u64) -> TraceError {
        let expected = "given in every row";
        TraceError::Value { file: self.file.to_owned(), column, row, found: "null".to_owned(), expected }
    }

    fn damaged(&self, error: &dyn std::error::Error) -> TraceError {
        TraceError::Damaged { file: self.file.to_owned(), detail: error.to_string() }
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
