//! `tailcast replay import`: another recorder's log becomes a trace.

use crate::args::ImportArgs;
use crate::progress::Stage;
use crate::training_report::moment;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tailcast_datasets::import::{ImportOptions, ImportReport, import_file};

/// Appended to the output's name where `--rejects` is not given.
const REJECTS_SUFFIX: &str = ".rejects";

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let options = ImportOptions {
        format: args.format,
        map: args.map.clone(),
        log_format: args.log_format.clone(),
        tenant: args.tenant.clone(),
    };
    let rejects = args.rejects.clone().unwrap_or_else(|| beside(&args.output));
    // The size of a pipe is not known.
    let bytes = std::fs::metadata(&args.input).map_or(0, |file| file.len());
    let stage = Stage::new(format!("importing {}", args.input.display()), bytes, "bytes");
    let report = import_file(&args.input, &args.output, &rejects, &options, &mut |read| stage.at(read))?;
    stage.done(format!("{} of {} lines", report.imported, report.lines));
    if args.json {
        return super::print_json(&report);
    }
    super::print(&text(&report, &args.output, &rejects))
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(REJECTS_SUFFIX);
    PathBuf::from(name)
}

fn text(report: &ImportReport, output: &Path, rejects: &Path) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:<11} {value}");
    line("imported", format!("{} of {} lines as {}", report.imported, report.lines, report.format));
    if report.rejected > 0 {
        line(
            "rejected",
            format!("{}: {}; a sample is in {}", report.rejected, report.reasons_line(), rejects.display()),
        );
    }
    let skipped = report.blank_lines + report.comment_lines + report.header_lines;
    if skipped > 0 {
        line(
            "no requests",
            format!("{} blank, {} comments, {} headers", report.blank_lines, report.comment_lines, report.header_lines),
        );
    }
    if let (Some(from), Some(until)) = (report.from_us, report.until_us) {
        line("arrivals", format!("{} to {}", moment(from), moment(until)));
    }
    if report.out_of_order > 0 {
        line("sorted", format!("{} lines were out of order", report.out_of_order));
    }
    if report.spread > 0 {
        line("spread", format!("{} arrivals were logged in whole seconds and are spread over them", report.spread));
    }
    line("found", format!("{} tenants, {} routes, {} endpoints", report.tenants, report.routes, report.endpoints));
    if report.in_other_route > 0 {
        line(
            "other",
            format!("{} requests are of routes beyond the table and called \"other\"", report.in_other_route),
        );
    }
    line(
        "known",
        format!(
            "endpoint of {}, latency of {}, status of {} requests",
            report.with_endpoint, report.with_latency, report.with_status
        ),
    );
    if !report.columns.is_empty() {
        let columns: Vec<String> =
            report.columns.iter().map(|(field, column)| format!("{field} from {column}")).collect();
        line("columns", columns.join(", "));
    }
    for note in &report.notes {
        line("note", note.clone());
    }
    line("wrote", output.display().to_string());
    let next = if report.with_endpoint > 0 && report.with_latency > 0 {
        format!("tailcast train --trace {} --out model.tailcast", output.display())
    } else {
        format!("tailcast replay --trace {} --to http://127.0.0.1:8080", output.display())
    };
    line("next", next);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rejects_lie_beside_the_output() {
        assert_eq!(beside(Path::new("a/b.parquet")), PathBuf::from("a/b.parquet.rejects"));
    }

    #[test]
    fn what_was_not_read_is_said_with_its_reason() {
        let report = ImportReport {
            lines: 10,
            imported: 8,
            rejected: 2,
            reasons: [("no timestamp".to_owned(), 2)].into(),
            ..ImportReport::default()
        };
        let text = text(&report, Path::new("o.parquet"), Path::new("o.rejects"));
        assert!(
            text.contains("8 of 10 lines") && text.contains("no timestamp (2); a sample is in o.rejects"),
            "{text}"
        );
        assert!(text.contains("tailcast replay --trace"), "{text}");
    }
}
