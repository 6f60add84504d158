//! Directories as they are found in the wild: whole, cut off, foreign, empty.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::{learnable_log, stream_bytes, write_parquet};
use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;
use std::sync::Arc;

fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(directory.path().join(name), bytes).unwrap());
    directory
}

fn refusal(directory: &tempfile::TempDir) -> String {
    load_segments(directory.path()).unwrap_err().to_string()
}

#[test]
fn open_and_closed_segments_become_one_table_in_the_order_of_their_names() {
    let (one, two) = (learnable_log(300, 1), learnable_log(200, 2));
    let directory =
        directory(&[("b.arrow", &stream_bytes(std::slice::from_ref(&two))), ("notes.txt", b"not a segment")]);
    write_parquet(&directory.path().join("a.parquet"), std::slice::from_ref(&one));
    let (frame, report) = load_segments(directory.path()).unwrap();
    assert_eq!(frame.height(), 500);
    assert_eq!(report.rows(), 500);
    let names: Vec<&str> = report.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["a.parquet", "b.arrow"]);
    assert!(report.skipped.is_empty() && report.segments.iter().all(|segment| segment.damaged_bytes == 0));
    let ids = frame.column(column::REQUEST_ID).unwrap().u64().unwrap();
    assert_eq!((ids.get(0), ids.get(300)), (Some(0), Some(0)));
}

#[test]
fn a_segment_that_a_crash_cut_off_gives_its_whole_batches() {
    let batches = [learnable_log(100, 1), learnable_log(100, 2), learnable_log(100, 3)];
    let whole = stream_bytes(&batches);
    let two = stream_bytes(&batches[..2]);
    // Without the end marker, then in the middle of the third batch.
    for (bytes, rows) in [(&whole[..whole.len() - 8], 300), (&whole[..two.len() + 500], 200)] {
        let (frame, report) = load_segments(directory(&[("open.arrow", bytes)]).path()).unwrap();
        assert_eq!(frame.height(), rows);
        assert_eq!(report.segments[0].damaged_bytes > 0, rows == 200);
    }
}

#[test]
fn foreign_and_broken_files_are_listed_with_the_reason_and_the_rest_is_read() {
    let good = stream_bytes(&[learnable_log(50, 1)]);
    let directory = directory(&[
        ("a.parquet", b"PAR1 this is no parquet file PAR1"),
        ("b.arrow", b""),
        ("c.arrow", b"hello, world, this is text"),
        ("d.arrow", &good[..40]),
        ("e.arrow", &good),
        ("f.arrow", &foreign()),
    ]);
    let (frame, report) = load_segments(directory.path()).unwrap();
    assert_eq!(frame.height(), 50);
    assert_eq!(report.segments.len(), 1);
    let reasons: Vec<(&str, &str)> =
        report.skipped.iter().map(|file| (file.name.as_str(), file.reason.as_str())).collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert!(reasons[1].1.contains("no Arrow IPC stream"), "{reasons:?}");
    assert!(reasons[4].1.contains("no log of ours"), "{reasons:?}");
}

/// A sound Arrow stream of somebody else.
fn foreign() -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([(
        "x",
        Arc::new(arrow::array::Int32Array::from(vec![1, 2, 3])) as arrow::array::ArrayRef,
    )])
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

#[test]
fn a_segment_of_another_schema_or_version_is_refused_by_name() {
    let write = |key: &str, value: &str| {
        let batch = learnable_log(20, 1);
        let mut metadata = batch.schema().metadata().clone();
        metadata.insert(key.to_owned(), value.to_owned());
        let schema = Arc::new(batch.schema().as_ref().clone().with_metadata(metadata));
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).unwrap();
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &schema).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        bytes
    };
    let other_schema = refusal(&directory(&[("a.arrow", &write(column::META_SCHEMA_HASH, "0123456789abcdef"))]));
    assert!(other_schema.contains("feature schema is 0123456789abcdef"), "{other_schema}");
    let other_version = refusal(&directory(&[("a.arrow", &write(column::META_LOG_VERSION, "99"))]));
    assert!(other_version.contains("log version is 99"), "{other_version}");
}

#[test]
fn a_directory_without_rows_is_an_error_that_says_what_was_found() {
    assert!(refusal(&directory(&[])).contains("no *.parquet and no *.arrow"));
    assert!(refusal(&directory(&[("a.arrow", b"x")])).contains("a.arrow was skipped"));
    assert!(refusal(&directory(&[("a.arrow", &stream_bytes(&[]))])).contains("a.arrow has no whole batch"));
    let absent = load_segments(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(absent.contains("cannot read the log directory /nowhere/at/all"), "{absent}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_bytes_never_end_the_run_in_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = stream_bytes(&[learnable_log(20, 1), learnable_log(20, 2)]);
        let position = at.index(bytes.len());
        bytes[position] = byte;
        bytes.truncate(bytes.len() / 2 + cut.index(bytes.len() / 2 + 1));
        if let Ok((frame, report)) = load_segments(directory(&[("a.arrow", &bytes)]).path()) {
            prop_assert_eq!(frame.height(), report.rows());
            prop_assert!(frame.height() <= 40);
        }
    }
}

#[test]
fn a_gap_in_a_proxys_numbering_is_named() {
    let bytes = stream_bytes(&[learnable_log(20, 1)]);
    let names = [
        "decisions-1-9-000002.arrow",
        "decisions-1-9-000003.arrow",
        "decisions-1-9-000006.arrow",
        "decisions-2-9-000001.arrow",
    ];
    let directory = directory(&names.map(|name| (name, bytes.as_slice())));
    let (_, report) = load_segments(directory.path()).unwrap();
    assert_eq!(report.missing, ["2 after decisions-1-9-000003.arrow"]);
}
