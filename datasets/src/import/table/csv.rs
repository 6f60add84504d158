//! Separated values: the separator is found in the header, which may be absent where a map names columns by place.

use super::super::ImportError;
use super::super::draft::Reason;
use super::super::lines::Line;
use super::super::run::Run;
use super::record::{Decoded, Decoder};
use super::resolve::{Plan, plan};
use super::row::{Record, draft};
use ::csv::StringRecord;
use std::borrow::Cow;

/// Separators, the likelier first.
const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// Lines that one quoted record may go over. Beyond it a quote was simply not closed.
const MAX_RECORD_LINES: usize = 32;

/// Bytes that one record may have, as those of one line.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// A record that the decoder refuses.
const BAD_RECORD: Reason = "not a record of separated values";

impl Record for StringRecord {
    fn cell(&self, place: usize, _name: &str) -> Option<Cow<'_, str>> {
        self.get(place).map(Cow::Borrowed)
    }
}

/// Imports separated values.
pub(in crate::import) fn csv(run: &mut Run<'_>, map: Option<&str>) -> Result<(), ImportError> {
    let Some(header) = run.next()? else { return Ok(()) };
    let mut decoder = Decoder::new(separator(&header.text));
    let first = decoder.read(&header.text).record.unwrap_or_default();
    let columns: Vec<String> = first.iter().map(|name| name.trim().to_owned()).collect();
    let plan = plan(map, &columns)?;
    // Where the map goes by place alone, the first line may already be data.
    let by_place = map.is_some_and(by_place);
    if by_place && draft(&plan, &first).is_ok() {
        run.lines.give_back([header.clone()].into_iter());
    } else {
        run.report.header_lines += 1;
    }
    run.report.columns = plan.columns.clone();
    run.report.notes.extend(plan.notes.iter().cloned());
    while let Some(line) = run.next()? {
        if line.text == header.text && !by_place {
            // Files that were put together repeat their header.
            run.report.header_lines += 1;
            continue;
        }
        take(run, &plan, &mut decoder, line)?;
    }
    Ok(())
}

fn by_place(map: &str) -> bool {
    map.split(',').filter(|part| !part.contains("==")).all(|part| part.contains("=#"))
}

fn take(run: &mut Run<'_>, plan: &Plan, decoder: &mut Decoder, line: Line) -> Result<(), ImportError> {
    let Decoded { record, open } = decoder.read(&line.text);
    let record = if open { joined(run, decoder, &line.text)?.or(record) } else { record };
    match record {
        Some(record) => run.take(&line, draft(plan, &record)),
        None => run.reject(&line, BAD_RECORD),
    }
}

/// The record of a line and of the lines after it, if they close the quoted field that it leaves open.
fn joined(run: &mut Run<'_>, decoder: &mut Decoder, first: &str) -> Result<Option<StringRecord>, ImportError> {
    let mut followers = Vec::new();
    let mut text = first.to_owned();
    while followers.len() < MAX_RECORD_LINES && text.len() < MAX_RECORD_BYTES {
        let Some(line) = run.lines.next()? else { break };
        text.push('\n');
        text.push_str(&line.text);
        let cut = line.cut;
        followers.push(line);
        let decoded = decoder.read(&text);
        if !decoded.open && decoded.record.is_some() {
            run.report.continued_lines += followers.len() as u64;
            return Ok(decoded.record);
        }
        if cut {
            break;
        }
    }
    run.lines.give_back(followers.into_iter());
    Ok(None)
}

/// The separator that cuts the header into the most pieces.
fn separator(header: &str) -> u8 {
    let pieces = |separator: u8| Decoder::new(separator).read(header).record.map_or(0, |record| record.len());
    SEPARATORS.into_iter().rev().max_by_key(|separator| pieces(*separator)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::super::{Format, ImportOptions, ImportReport, import};
    use super::*;
    use crate::Trace;

    fn imported(map: Option<&str>, text: &str) -> (Trace, ImportReport) {
        let options = ImportOptions { map: map.map(str::to_owned), ..ImportOptions::new(Format::Csv) };
        import(text.as_bytes(), &mut Vec::new(), &options, &mut |_| {}).unwrap()
    }

    #[test]
    fn the_separator_is_found_in_the_header() {
        for (header, expected) in [("a,b;c,d", b','), ("a;b;c", b';'), ("a\tb", b'\t'), ("a|b|c", b'|'), ("a", b',')] {
            assert_eq!(separator(header), expected, "{header}");
        }
        let (trace, _) = imported(None, "time;path\n5;/a\n");
        assert_eq!(&*trace.rows()[0].route, "/a");
    }

    #[test]
    fn a_quoted_field_may_go_over_lines_and_an_open_quote_does_not_swallow_the_file() {
        let (trace, report) = imported(Some("arrival=t,tenant=x"), "t,x\n1,\"a\nb\"\n2,c\n");
        assert_eq!(&*trace.rows()[0].tenant, "a\u{fffd}b");
        assert_eq!((report.lines, report.imported, report.continued_lines), (4, 2, 1));
        let (trace, _) = imported(Some("arrival=t,tenant=x"), "t,x\n1,5\" a\n2,6\" b\n");
        assert_eq!(trace.len(), 2, "a quote inside a field opens nothing");
        let many: String = (0..100).map(|t| format!("{t},y\n")).collect();
        let (trace, report) = imported(Some("arrival=t,tenant=x"), &format!("t,x\n5,\"open\n{many}"));
        assert_eq!((trace.len() as u64, report.rejected), (101, 0));
    }

    #[test]
    fn a_header_may_be_absent_where_the_map_goes_by_place() {
        let (trace, report) = imported(Some("arrival=#1,tenant=#2,route==/x"), "5,a\n6,b\n");
        assert_eq!((trace.len(), report.header_lines), (2, 0));
        let (trace, report) = imported(Some("arrival=#1,tenant=#2"), "when,who\n5,a\n6,b\n");
        assert_eq!((trace.len(), report.header_lines), (2, 1));
    }

    #[test]
    fn short_rows_long_rows_and_repeated_headers_are_no_trouble() {
        let (trace, report) = imported(Some("arrival=t,tenant=x"), "t,x\n1\n2,b,more,and more\nt,x\n3,c\n,d\n");
        assert_eq!((trace.len(), report.header_lines, report.rejected), (3, 2, 1));
        assert_eq!(report.lines, report.imported + report.rejected + report.header_lines);
        assert_eq!(&*trace.rows()[0].tenant, "default");
    }
}
