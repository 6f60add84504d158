//! Azure LLM inference trace 2023: `TIMESTAMP,ContextTokens,GeneratedTokens`, one hour of two services.
//!
//! The file named in a scenario is one service; where its sibling lies beside it, both are read as two tenants.

use super::{TraceRow, lines};
use crate::error::SimError;
use std::path::Path;

/// Cost of a generated token over that of a context token: decoding is one pass each, prefill is batched.
const GENERATED_OVER_CONTEXT: f64 = 20.0;

/// Bytes of a token in a prompt, about.
const TOKEN_BYTES: f64 = 4.0;

pub(super) fn read(path: &Path) -> Result<Vec<TraceRow>, SimError> {
    let mut rows = service(path, 0)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sibling = path.with_file_name(name.replace("_conv", "_code"));
    if sibling != path && sibling.exists() {
        rows.extend(service(&sibling, 1)?);
    }
    let first = rows.iter().map(|row| row.at_secs).fold(f64::INFINITY, f64::min);
    rows.iter_mut().for_each(|row| row.at_secs -= first);
    Ok(rows)
}

fn service(path: &Path, tenant: u32) -> Result<Vec<TraceRow>, SimError> {
    Ok(lines(path)?.filter_map(|line| row(line.trim(), tenant)).collect())
}

fn row(line: &str, tenant: u32) -> Option<TraceRow> {
    let mut fields = line.split(',');
    let (_, clock) = fields.next()?.split_once(' ')?;
    let context: f64 = fields.next()?.parse().ok()?;
    let generated: f64 = fields.next()?.parse().ok()?;
    let mut seconds = 0.0;
    for part in clock.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    let cost = context + GENERATED_OVER_CONTEXT * generated;
    Some(TraceRow { at_secs: seconds, tenant, cost, body_bytes: Some((context * TOKEN_BYTES) as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_row_and_the_header_none() {
        let parsed = row("2023-11-16 18:17:03.9799600,4808,10", 1);
        let expected = TraceRow { at_secs: 65_823.979_96, tenant: 1, cost: 5_008.0, body_bytes: Some(19_232) };
        assert!(parsed.is_some_and(|row| (row.at_secs - expected.at_secs).abs() < 1e-6 && row.cost == expected.cost));
        assert_eq!(row("TIMESTAMP,ContextTokens,GeneratedTokens", 0), None);
    }
}
