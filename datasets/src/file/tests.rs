//! Tests of the trace's file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{COLUMNS, TraceError, VERSION_KEY};
use crate::trace::{Trace, TraceRow};
use arrow::array::{ArrayRef, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn rows() -> impl Strategy<Value = Vec<TraceRow>> {
    let name = || prop::sample::select(vec!["", "a", "tenant-1", "/api/{id}", "é\u{0}\n", "10.0.0.1:80"]);
    let number = || prop::option::of(any::<u64>());
    let names = (name(), name(), name(), prop::option::of(name()));
    let row = (any::<i64>(), names, number(), number(), prop::option::of(0u16..1_000), number());
    let row = row.prop_map(|(arrival_us, names, request_bytes, response_bytes, status, latency_us)| TraceRow {
        arrival_us,
        tenant: Arc::from(names.0),
        route: Arc::from(names.1),
        method: Arc::from(names.2),
        request_bytes,
        response_bytes,
        endpoint: names.3.map(Arc::from),
        status,
        latency_us,
    });
    prop::collection::vec(row, 0..60)
}

fn sample() -> Vec<u8> {
    let row = crate::trace::tests::row;
    Trace::new((0..500).map(|at| row(at * 1_000, ["a", "b"][at as usize % 2])).collect()).to_bytes("sample").unwrap()
}

/// A file with these columns, and the version where given.
fn file(columns: Vec<(&str, ArrayRef)>, version: Option<&str>) -> Bytes {
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    let metadata: HashMap<String, String> =
        version.map(|v| (VERSION_KEY.to_owned(), v.to_owned())).into_iter().collect();
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, values)| values).collect()).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap().into()
}

/// Columns as another tool might write them: wide strings, narrow numbers.
fn foreign() -> Vec<(&'static str, ArrayRef)> {
    let text = || Arc::new(LargeStringArray::from(vec!["x", "y"])) as ArrayRef;
    let number = || Arc::new(Int32Array::from(vec![Some(200), None])) as ArrayRef;
    COLUMNS
        .into_iter()
        .map(|name| match name {
            "arrival_us" => (name, Arc::new(Int64Array::from(vec![2, 1])) as ArrayRef),
            "tenant" | "route" | "method" | "endpoint" => (name, text()),
            _ => (name, number()),
        })
        .collect()
}

fn with(column: &str, values: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    foreign().into_iter().map(|(name, old)| (name, if name == column { Arc::clone(&values) } else { old })).collect()
}

fn error(bytes: Bytes) -> String {
    Trace::from_bytes(bytes, "t.parquet").unwrap_err().to_string()
}

#[test]
fn files_of_other_tools_are_read_where_their_types_can_hold_the_values() {
    let trace = Trace::from_bytes(file(foreign(), Some("1")), "t").unwrap();
    assert_eq!(trace.len(), 2);
    assert_eq!((trace.rows()[0].arrival_us, &*trace.rows()[0].tenant, trace.rows()[0].status), (1, "y", None));
    assert_eq!((trace.rows()[1].status, trace.rows()[1].latency_us), (Some(200), Some(200)));
}

#[test]
fn each_thing_that_is_wrong_is_named_with_what_would_be_right() {
    let version = Some("1");
    assert!(error(file(foreign(), None)).contains("no tailcast.trace_version"));
    assert!(error(file(foreign(), Some("7"))).contains("version \"7\"; this program reads version \"1\""));
    let without: Vec<_> = foreign().into_iter().filter(|(name, _)| *name != "route").collect();
    assert!(error(file(without, version)).contains("t.parquet has no column route"));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let message = error(file(with("latency_us", Arc::clone(&text)), version));
    assert!(message.contains("column latency_us is Utf8, not a non-negative integer"), "{message}");
    assert!(error(file(with("tenant", Arc::new(Int32Array::from(vec![1, 2]))), version)).contains("not text"));
    let negative: ArrayRef = Arc::new(Int32Array::from(vec![1, -2]));
    assert!(error(file(with("request_bytes", negative), version)).contains("out of range"));
    let status: ArrayRef = Arc::new(Int32Array::from(vec![200, 1_000]));
    let message = error(file(with("status", status), version));
    assert!(message.contains("column status has 1000 in row 1; it must be at most 999"), "{message}");
    let missing: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
    assert!(error(file(with("tenant", missing), version)).contains("column tenant has null in row 0"));
    assert!(error(Bytes::from_static(b"arrival,tenant\n1,a\n")).contains("not a readable Parquet file"));
    assert!(error(Bytes::new()).contains("t.parquet is not a readable Parquet file"));
}

#[test]
fn a_column_of_nulls_only_is_a_column() {
    let nulls = arrow::array::new_null_array(&DataType::Null, 2);
    let trace = Trace::from_bytes(file(with("endpoint", nulls), Some("1")), "t").unwrap();
    assert_eq!(trace.rows()[0].endpoint, None);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let trace = Trace::new(vec![crate::trace::tests::row(1, "a")]);
    trace.write(&path).unwrap();
    trace.write(&path).unwrap();
    assert_eq!(Trace::read(&path).unwrap(), trace);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let error = trace.write(&folder.path().join("absent/t.parquet")).unwrap_err();
    assert!(matches!(&error, TraceError::Write { .. }) && error.to_string().contains("absent"), "{error}");
    let error = Trace::read(Path::new("/nowhere/t.parquet")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read trace /nowhere/t.parquet"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_not_a_panic() {
    let whole = Bytes::from(sample());
    for end in 0..whole.len() {
        assert!(Trace::from_bytes(whole.slice(..end), "cut").is_err(), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(rows in rows()) {
        let trace = Trace::new(rows);
        let bytes = trace.to_bytes("t").unwrap();
        prop_assert_eq!(Trace::from_bytes(bytes.into(), "t").unwrap(), trace);
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..100_000, byte in any::<u8>()) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Trace::from_bytes(bytes.into(), "damaged");
    }

    #[test]
    fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Trace::from_bytes(bytes.into(), "junk").is_err());
    }
}
