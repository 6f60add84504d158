//! One JSON object a line. Columns are the keys of the first objects, nested ones with dots (`request.method`).

use super::super::ImportError;
use super::super::draft::Reason;
use super::super::lines::Line;
use super::super::run::Run;
use super::resolve::plan;
use super::row::{Record, draft};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Lines looked at for columns: a key that is rarer than this is hardly worth a map.
const PROBED_LINES: usize = 1_000;

/// Bytes looked at for columns, so that long lines do not fill the memory.
const PROBED_BYTES: usize = 8 << 20;

/// Columns known at most.
const MAX_COLUMNS: usize = 1_000;

/// Deepest nesting of a column.
const MAX_DEPTH: usize = 4;

/// A line that is no object.
const NOT_AN_OBJECT: Reason = "not a JSON object";

impl Record for Map<String, Value> {
    fn cell(&self, _place: usize, name: &str) -> Option<Cow<'_, str>> {
        let value = self.get(name).or_else(|| {
            let (first, rest) = name.split_once('.')?;
            rest.split('.').try_fold(self.get(first)?, |value, key| value.get(key))
        })?;
        match value {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// Imports JSON lines.
pub(in crate::import) fn jsonl(run: &mut Run<'_>, map: Option<&str>) -> Result<(), ImportError> {
    let mut probed: Vec<Line> = Vec::new();
    let mut columns = Vec::new();
    let mut bytes = 0;
    while probed.len() < PROBED_LINES && bytes < PROBED_BYTES {
        let Some(line) = run.next()? else { break };
        if let Some(object) = object(&line.text) {
            collect(&object, "", 1, &mut columns);
        }
        bytes += line.text.len();
        probed.push(line);
    }
    if columns.is_empty() {
        for line in probed {
            run.reject(&line, NOT_AN_OBJECT)?;
        }
        // Without one object at the beginning there is no plan; the rest is counted all the same.
        while let Some(line) = run.next()? {
            run.reject(&line, NOT_AN_OBJECT)?;
        }
        return Ok(());
    }
    let plan = plan(map, &columns)?;
    run.report.columns = plan.columns.clone();
    run.report.notes.extend(plan.notes.iter().cloned());
    run.lines.give_back(probed.into_iter());
    while let Some(line) = run.next()? {
        match object(&line.text) {
            Some(object) => run.take(&line, draft(&plan, &object))?,
            None if matches!(line.text.trim(), "[" | "]") => run.report.comment_lines += 1,
            None => run.reject(&line, NOT_AN_OBJECT)?,
        }
    }
    Ok(())
}

/// The object on a line; the commas and brackets of an array around it are passed over.
fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim().trim_start_matches(['[', ',']).trim_end_matches([']', ',']).trim();
    serde_json::from_str(text).ok()
}

fn collect(object: &Map<String, Value>, prefix: &str, depth: usize, columns: &mut Vec<String>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inner) if depth < MAX_DEPTH => collect(inner, &format!("{name}."), depth + 1, columns),
            _ if columns.len() < MAX_COLUMNS && !columns.contains(&name) => columns.push(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::super::{Format, ImportError, ImportOptions, ImportReport, import};
    use crate::Trace;

    fn imported(map: Option<&str>, text: &str) -> Result<(Trace, ImportReport), ImportError> {
        let options = ImportOptions { map: map.map(str::to_owned), ..ImportOptions::new(Format::Jsonl) };
        import(text.as_bytes(), &mut Vec::new(), &options, &mut |_| {})
    }

    #[test]
    fn nested_keys_and_late_keys_are_columns() {
        let text =
            "{\"ts\":1.5,\"request\":{\"uri\":\"/a/7\",\"method\":\"PUT\"}}\nno json\n{\"ts\":2,\"pod\":\"p1\"}\n";
        let (trace, report) =
            imported(Some("arrival=ts,route=request.uri,method=request.method,endpoint=pod"), text).unwrap();
        assert_eq!((trace.len(), report.rejected, report.lines), (2, 1, 3));
        assert_eq!((&*trace.rows()[0].route, &*trace.rows()[0].method), ("/a/{id}", "PUT"));
        assert_eq!(trace.rows()[1].endpoint.as_deref(), Some("p1"));
    }

    #[test]
    fn an_array_over_lines_is_read_like_lines() {
        let (trace, report) =
            imported(None, "[\n{\"time\":1,\"path\":\"/a\"},\n{\"time\":2,\"path\":\"/b\"}\n]\n").unwrap();
        assert_eq!((trace.len(), report.rejected, report.comment_lines), (2, 0, 2));
    }

    #[test]
    fn an_input_without_objects_is_counted_to_its_end() {
        let error = imported(None, &"no json\n".repeat(1_500)).unwrap_err().to_string();
        assert!(error.contains("none of 1500 lines") && error.contains("not a JSON object (1500)"), "{error}");
    }

    #[test]
    fn a_missing_column_is_answered_with_those_there_are() {
        let error = imported(Some("arrival=when"), "{\"ts\":1,\"a\":{\"b\":2}}\n").unwrap_err().to_string();
        assert!(error.contains("a.b") && error.contains("ts"), "{error}");
    }
}
