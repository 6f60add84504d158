//! What no input may do to any importer: panic, lose a line, or be lost silently.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Format, ImportError, ImportOptions, ImportReport, import};
use crate::Trace;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

/// A good line of each format, from which inputs are made by damage.
const SEEDS: [(Format, &str); 8] = [
    (Format::Csv, "time,path,tenant,latency_ms\n2024-05-01 10:00:00.5,/a/1,\"x \"\"y\"\"\",7\n"),
    (Format::Jsonl, "{\"ts\":1714557600.5,\"request\":{\"uri\":\"/a\",\"method\":\"GET\"},\"latency_ms\":7}\n"),
    (Format::Clf, "10.0.0.1 - - [01/May/2024:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\" 0.5 10.0.0.2:80\n"),
    (
        Format::Nginx,
        "10.0.0.1 - - [01/May/2024:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\" 0.5 a:1, b:2 502, 200 0.1, 0.2\n",
    ),
    (
        Format::HaProxy,
        "10.0.0.1:5 [01/May/2024:10:00:00.500] web api/s1 1/2/3/4/10 200 5 - - ---- 1/1/1/1/0 0/0 {a|b} \"GET /a HTTP/1.1\"\n",
    ),
    (
        Format::Elb,
        "2024-05-01T10:00:00.5Z lb 10.0.0.1:5 10.0.0.2:80 0.1 0.2 0.3 200 200 5 6 \"GET http://h:80/a HTTP/1.1\" \"x\" - -\n",
    ),
    (
        Format::Heroku,
        "2024-05-01T10:00:00.5+00:00 heroku[router]: at=info method=GET path=\"/a\" host=h dyno=web.1 connect=1ms service=2ms status=200 bytes=5\n",
    ),
    (
        Format::Envoy,
        "[2024-05-01T10:00:00.5Z] \"GET /a HTTP/1.1\" 200 - 5 6 7 8 \"-\" \"x\" \"id\" \"h\" \"10.0.0.2:80\"\n",
    ),
];

fn run(format: Format, input: &[u8]) -> Result<(Trace, ImportReport), ImportError> {
    let mut rejects = Vec::new();
    let result = import(input, &mut rejects, &ImportOptions::new(format), &mut |_| {});
    assert!(!rejects.iter().any(|byte| *byte < b' ' && !b"\n\t".contains(byte)), "control characters in the sample");
    if let Ok((trace, report)) = &result {
        let known = report.blank_lines + report.comment_lines + report.header_lines + report.continued_lines;
        assert_eq!(report.lines, report.imported + report.rejected + known, "{report:?}");
        assert_eq!(report.rejected, report.reasons.values().sum::<u64>());
        assert_eq!(trace.len() as u64, report.imported);
        assert!(trace.rows().is_sorted_by_key(|row| row.arrival_us));
        let reread = Trace::from_bytes(trace.to_bytes("t").unwrap().into(), "t").unwrap();
        assert_eq!(&reread, trace);
    }
    result
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_format_reads_its_line_plain_and_packed() {
    for (format, seed) in SEEDS {
        let (plain, report) = run(format, seed.as_bytes()).unwrap();
        assert_eq!((plain.len(), report.rejected), (1, 0), "{format}");
        let (packed, _) = run(format, &gzip(seed.as_bytes())).unwrap();
        assert_eq!(plain, packed, "{format}");
        let crlf = seed.replace('\n', "\r\n");
        let (windows, _) = run(format, crlf.trim_end().as_bytes()).unwrap();
        assert_eq!(plain, windows, "{format}");
    }
}

#[test]
fn an_input_without_a_request_is_a_clear_error() {
    for format in Format::ALL {
        for input in ["", "\n\n", "# nothing but a comment\n"] {
            let error = run(format, input.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the input is empty"), "{format}: {error}");
        }
        assert!(run(format, b"junk\n").is_err(), "{format}");
    }
}

#[test]
fn zeros_endless_lines_and_broken_encodings_are_rejected_beside_good_lines() {
    for (format, seed) in SEEDS {
        let mut input = seed.as_bytes().to_vec();
        input.extend(b"bin\0ary\n");
        input.extend(vec![b'x'; 10 << 20]);
        input.extend(b"\n\xff\xfe broken\n");
        input.extend(seed.lines().last().unwrap().as_bytes());
        let (trace, report) = run(format, &input).unwrap();
        assert_eq!((trace.len(), report.rejected), (2, 3), "{format} {report:?}");
        assert_eq!(report.reasons["line is binary"], 1);
        assert_eq!(report.reasons["line is longer than 1 MiB"], 1);
    }
}

#[test]
fn options_that_do_nothing_for_a_format_are_refused() {
    let refused =
        |options: ImportOptions| import(&b"x"[..], &mut Vec::new(), &options, &mut |_| {}).unwrap_err().to_string();
    let map = Some("arrival=t".to_owned());
    let message = refused(ImportOptions { map, ..ImportOptions::new(Format::Elb) });
    assert_eq!(message, "a column map is for csv and jsonl, not for elb");
    let log_format = Some("$request".to_owned());
    let message = refused(ImportOptions { log_format, ..ImportOptions::new(Format::Clf) });
    assert_eq!(message, "a log_format is for nginx, not for clf");
}

#[test]
fn lines_inside_a_container_runtimes_json_are_found() {
    for (format, seed) in SEEDS.into_iter().filter(|(format, _)| !format.has_columns()) {
        let wrapped =
            serde_json::json!({ "log": seed, "stream": "stdout", "time": "2024-05-01T10:00:01Z" }).to_string();
        let (trace, _) = run(format, wrapped.as_bytes()).unwrap();
        assert_eq!(trace, run(format, seed.as_bytes()).unwrap().0, "{format}");
    }
}

#[test]
fn prefixes_of_syslog_journald_and_containers_are_passed_over() {
    let prefixes = [
        "<134>May  1 10:00:00 lb1 app[412]: ",
        "May  1 10:00:00 lb1 app: ",
        "<134>1 2024-05-01T10:00:00.6Z lb1 app 412 - - ",
        "2024-05-01T10:00:00.600000+00:00 lb1 app[412]: ",
        "2024-05-01T10:00:00.612345678Z stdout F ",
        "lb-1  | ",
    ];
    let formats = [Format::Clf, Format::Nginx, Format::HaProxy, Format::Envoy];
    for (format, seed) in SEEDS.into_iter().filter(|(format, _)| formats.contains(format)) {
        let plain = run(format, seed.as_bytes()).unwrap().0;
        for prefix in prefixes {
            let (trace, _) = run(format, format!("{prefix}{seed}").as_bytes()).unwrap();
            assert_eq!(trace, plain, "{format} after {prefix:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in Format::ALL {
            let _ = run(format, &bytes);
        }
    }

    #[test]
    fn damaged_lines_never_panic_and_are_all_counted(
        damage in prop::collection::vec((0usize..400, any::<u8>()), 0..6),
        cut in 0usize..400,
    ) {
        for (format, seed) in SEEDS {
            let mut bytes = seed.as_bytes().repeat(2);
            for (at, byte) in &damage {
                let at = at % bytes.len();
                bytes[at] = *byte;
            }
            let _ = run(format, &bytes);
            bytes.truncate(cut);
            let _ = run(format, &bytes);
        }
    }

    #[test]
    fn lines_made_of_a_formats_own_marks_never_panic(line in "[-\\[\\]{}\"\\\\/:|,;= .0-9a-zé\t]{0,120}") {
        for (format, seed) in SEEDS {
            let _ = run(format, format!("{seed}{line}\n").as_bytes());
        }
    }
}
