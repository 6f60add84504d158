//! Mooncake's conversation trace: JSON lines with `timestamp` (ms), lengths, and the ids of shared prefix blocks.
//!
//! Requests that share their first own block belong to one conversation and want the same backend: the block is the
//! tenant. The very first block is a system prompt that most requests share, so the second is taken where there is one.

use super::{TraceRow, lines};
use crate::error::SimError;
use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Line {
    timestamp: f64,
    input_length: f64,
    output_length: f64,
    hash_ids: Vec<u32>,
}

/// Cost of an output token over that of an input token.
const OUTPUT_OVER_INPUT: f64 = 20.0;

/// Bytes of a token in a prompt, about.
const TOKEN_BYTES: f64 = 4.0;

pub(super) fn read(path: &Path) -> Result<Vec<TraceRow>, SimError> {
    Ok(lines(path)?.filter_map(|line| row(&line)).collect())
}

fn row(line: &str) -> Option<TraceRow> {
    let line: Line = serde_json::from_str(line).ok()?;
    let tenant = line.hash_ids.get(1).or(line.hash_ids.first()).copied().unwrap_or(0);
    let cost = line.input_length + OUTPUT_OVER_INPUT * line.output_length;
    let body_bytes = Some((line.input_length * TOKEN_BYTES) as u64);
    Some(TraceRow { at_secs: line.timestamp * 1e-3, tenant, cost, body_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_prefix_block_is_the_tenant() {
        let parsed = row(r#"{"timestamp": 3000, "input_length": 10, "output_length": 2, "hash_ids": [0, 14, 15]}"#);
        assert_eq!(parsed, Some(TraceRow { at_secs: 3.0, tenant: 14, cost: 50.0, body_bytes: Some(40) }));
        assert_eq!(row("not json"), None);
    }
}
