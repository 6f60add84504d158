//! Public traces as arrivals: small readers of the files under `../shared/traces`.
//!
//! A row is an instant, a tenant, a size and a relative cost; the simulator stretches time to the load that the
//! scenario asks for and scales the cost to the mean work of the scenario's route, so that only the *shape* of the
//! traffic is the trace's. Rejected: the readers of `tailcast-datasets` (they make training rows, which need an
//! endpoint and a latency that these traces do not have).

mod azure;
mod mooncake;
mod servegen;

use crate::error::SimError;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::str::FromStr;

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TraceRow {
    pub(crate) at_secs: f64,
    pub(crate) tenant: u32,
    pub(crate) cost: f64,
    pub(crate) body_bytes: Option<u64>,
}

/// Which reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceFormat {
    /// Azure LLM inference 2023: arrivals and token counts; `code` and `conv` are two tenants.
    AzureLlm,
    /// Mooncake: conversations with shared prefixes; the prefix is the tenant (cache affinity).
    Mooncake,
    /// ServeGen: rates and burstiness of production clients, which are the tenants.
    ServeGen,
}

impl FromStr for TraceFormat {
    type Err = SimError;

    fn from_str(name: &str) -> Result<Self, SimError> {
        match name {
            "azure_llm" => Ok(Self::AzureLlm),
            "mooncake" => Ok(Self::Mooncake),
            "servegen" => Ok(Self::ServeGen),
            _ => Err(SimError::value("trace.format", name, "azure_llm, mooncake or servegen")),
        }
    }
}

/// Reads a trace, in order of arrival; tenants are numbers below `tenants`.
pub(crate) fn read(format: TraceFormat, path: &Path, tenants: usize) -> Result<Vec<TraceRow>, SimError> {
    let mut rows = match format {
        TraceFormat::AzureLlm => azure::read(path)?,
        TraceFormat::Mooncake => mooncake::read(path)?,
        TraceFormat::ServeGen => servegen::read(path)?,
    };
    for row in &mut rows {
        row.tenant %= tenants.max(1) as u32;
    }
    rows.sort_by(|a, b| a.at_secs.total_cmp(&b.at_secs));
    if rows.is_empty() {
        return Err(SimError::NoTrace { path: path.to_owned(), reason: "it has no usable row".to_owned() });
    }
    Ok(rows)
}

/// The lines of a gzipped text file.
fn lines(path: &Path) -> Result<impl Iterator<Item = String>, SimError> {
    let missing = |reason: String| SimError::NoTrace { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| missing(error.to_string()))?;
    Ok(BufReader::new(GzDecoder::new(file)).lines().map_while(Result::ok))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_missing_trace_says_skipped_and_an_unknown_format_its_alternatives() {
        let error = read(TraceFormat::Mooncake, Path::new("/nowhere/x.gz"), 1).unwrap_err().to_string();
        assert!(error.starts_with("skipped: no /nowhere/x.gz"), "{error}");
        assert!("csv".parse::<TraceFormat>().unwrap_err().to_string().contains("azure_llm, mooncake"));
    }
}
