//! One import from the first byte to the trace.

use super::clf::Clf;
use super::collect::Collector;
use super::draft::{Draft, LineParser, Reason};
use super::elb::Elb;
use super::envelope::unwrapped;
use super::envoy::Envoy;
use super::haproxy::HaProxy;
use super::heroku::Heroku;
use super::lines::{Line, Lines};
use super::nginx::Nginx;
use super::rejects::RejectSample;
use super::report::ImportReport;
use super::{DEFAULT_TENANT, Format, ImportError, ImportOptions, table};
use crate::trace::Trace;
use std::io::{Read, Write};

/// A line longer than a log has.
const TOO_LONG: Reason = "line is longer than 1 MiB";
/// A line with a zero byte inside.
const BINARY: Reason = "line is binary";

/// Lines between two calls of `progress`.
const PROGRESS_LINES: u64 = 4_096;

/// Imports a log. `rejects` gets a sample of the lines that could not be read, `progress` the number of bytes of
/// `reader` consumed so far.
///
/// # Errors
/// The input cannot be read, has no request at all, or an option does not fit. Single lines never fail an import.
pub fn import(
    reader: impl Read,
    rejects: &mut dyn Write,
    options: &ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<(Trace, ImportReport), ImportError> {
    check(options)?;
    let parser = parser(options)?;
    let tenant = options.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let mut run = Run {
        lines: Lines::open(reader)?,
        // Columns mean what they say; a log writes seconds because its format has no more.
        collector: Collector::new(tenant, !options.format.has_columns()),
        sample: RejectSample::new(rejects),
        report: ImportReport::new(options.format),
        progress,
    };
    match parser {
        Some(parser) => {
            while let Some(line) = run.next()? {
                run.parsed(&line, &*parser)?;
            }
        }
        None if options.format == Format::Csv => table::csv(&mut run, options.map.as_deref())?,
        None => table::jsonl(&mut run, options.map.as_deref())?,
    }
    run.finish(options.format)
}

fn check(options: &ImportOptions) -> Result<(), ImportError> {
    let format = options.format;
    if options.map.is_some() && !format.has_columns() {
        return Err(ImportError::Option { option: "a column map", allowed: "csv and jsonl", format });
    }
    if options.log_format.is_some() && format != Format::Nginx {
        return Err(ImportError::Option { option: "a log_format", allowed: "nginx", format });
    }
    Ok(())
}

/// The parser of a format of lines; `None` for those with columns.
fn parser(options: &ImportOptions) -> Result<Option<Box<dyn LineParser>>, ImportError> {
    Ok(match options.format {
        Format::Csv | Format::Jsonl => None,
        Format::Clf => Some(Box::new(Clf::apache())),
        Format::Nginx => Some(Box::new(Nginx::new(options.log_format.as_deref())?)),
        Format::HaProxy => Some(Box::new(HaProxy)),
        Format::Elb => Some(Box::new(Elb)),
        Format::Heroku => Some(Box::new(Heroku)),
        Format::Envoy => Some(Box::new(Envoy)),
    })
}

/// An import under way.
pub(super) struct Run<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) report: ImportReport,
    collector: Collector,
    sample: RejectSample<'a>,
    progress: &'a mut dyn FnMut(u64),
}

impl Run<'_> {
    /// The next line with something on it; blank, binary and endless ones are counted on the way.
    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        while let Some(line) = self.lines.next()? {
            if line.number.is_multiple_of(PROGRESS_LINES) {
                (self.progress)(self.lines.bytes());
            }
            if line.cut {
                self.reject(&line, TOO_LONG)?;
            } else if line.text.trim().is_empty() {
                self.report.blank_lines += 1;
            } else if line.text.starts_with('#') {
                self.report.comment_lines += 1;
            } else if line.text.contains('\0') {
                self.reject(&line, BINARY)?;
            } else {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn parsed(&mut self, line: &Line, parser: &dyn LineParser) -> Result<(), ImportError> {
        let text = unwrapped(&line.text);
        let draft = parser.parse(text.trim());
        self.take(line, draft)
    }

    /// A draft becomes a row, a reason a reject.
    pub(super) fn take(&mut self, line: &Line, draft: Result<Draft<'_>, Reason>) -> Result<(), ImportError> {
        match draft.and_then(|draft| self.collector.push(draft)) {
            Ok(()) => Ok(()),
            Err(reason) => self.reject(line, reason),
        }
    }

    /// Counts a line that could not be read.
    pub(super) fn reject(&mut self, line: &Line, reason: Reason) -> Result<(), ImportError> {
        self.report.rejected += 1;
        self.sample.reject(line, reason)
    }

    fn finish(self, format: Format) -> Result<(Trace, ImportReport), ImportError> {
        let mut report = self.report;
        (self.progress)(self.lines.bytes());
        report.lines = self.lines.read();
        for (reason, count) in self.sample.finish()? {
            report.reasons.insert(reason.to_owned(), count);
        }
        let lines = report.lines;
        if self.collector.len() == 0 {
            return Err(match report.rejected {
                0 => ImportError::Empty { lines },
                _ => ImportError::Nothing { lines, format, reasons: report.reasons_line() },
            });
        }
        let trace = self.collector.finish(&mut report);
        if report.spread > 0 {
            report.notes.push(format!(
                "times are logged in whole seconds: {} rows were spread evenly over their second",
                report.spread
            ));
        }
        if report.in_other_route > 0 {
            report
                .notes
                .push(format!("the table of routes is full: {} rows have the route other", report.in_other_route));
        }
        Ok((trace, report))
    }
}
