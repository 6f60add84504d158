//! Quality checks: which logged rows may teach, and why the others may not.
//!
//! Each check is a mask over whole columns. A row counts for the first check that it fails, so the counts add
//! up to the rows that were dropped, and each check keeps a few samples, because a count alone explains
//! nothing. Rejected: repairing rows (clipping a latency, renormalising propensities): what is logged wrongly
//! once is wrong in ways that the repair does not know.

mod decisions;

use crate::error::TrainError;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Write;
use tailcast_features::log::column;
use tailcast_features::{FEATURES, OutcomeKind};

/// Latencies above this are a broken clock and no request: one hour, microseconds.
pub const MAX_LATENCY_US: u64 = 3_600_000_000;

/// A silence longer than this splits the log into islands of time: one day, microseconds.
const ISLAND_GAP_US: i64 = 86_400_000_000;

/// An island with less than this share of the rows is a jump of the arrival clock and no traffic.
const ISLAND_SHARE: f64 = 0.01;

/// Samples kept of each check: enough to see a pattern.
const SAMPLES: usize = 3;

/// Rows that one check dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Name of the check.
    pub check: String,
    /// What is wrong with these rows.
    pub reason: String,
    /// How many there are.
    pub count: usize,
    /// A few of them.
    pub samples: Vec<String>,
}

/// What the checks found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Rows checked.
    pub rows: usize,
    /// Rows kept.
    pub kept: usize,
    /// Checks that dropped rows, in the order in which they ran.
    pub rejected: Vec<Rejection>,
}

impl QualityReport {
    /// One line that says where the rows went.
    pub fn summary(&self) -> String {
        let mut line = format!("{} of {} rows kept", self.kept, self.rows);
        for rejection in &self.rejected {
            let _ = write!(line, ", {} {}", rejection.count, rejection.check);
        }
        line
    }
}

/// One check: its name, what it means, and which rows fail it.
struct Check {
    name: &'static str,
    reason: String,
    fails: Vec<bool>,
}

/// Runs every check and keeps the rows that pass all.
///
/// # Errors
/// The table does not have the columns of the log; [`crate::load`] excludes that.
pub fn check(frame: DataFrame) -> Result<(DataFrame, QualityReport), TrainError> {
    let mut open = vec![true; frame.height()];
    let mut report = QualityReport { rows: frame.height(), ..QualityReport::default() };
    let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
    let ids = frame.column(column::REQUEST_ID)?.u64()?.cont_slice()?;
    for check in checks(&frame)? {
        let mut rejection =
            Rejection { check: check.name.to_owned(), reason: check.reason, count: 0, samples: Vec::new() };
        for (row, fails) in check.fails.iter().enumerate() {
            if *fails && open[row] {
                open[row] = false;
                rejection.count += 1;
                if rejection.samples.len() < SAMPLES {
                    rejection.samples.push(sample(&frame, row, arrivals[row], ids[row])?);
                }
            }
        }
        if rejection.count > 0 {
            report.rejected.push(rejection);
        }
    }
    let kept = frame.filter(&BooleanChunked::from_slice("kept".into(), &open))?;
    report.kept = kept.height();
    Ok((kept, report))
}

fn sample(frame: &DataFrame, row: usize, arrival: i64, id: u64) -> Result<String, TrainError> {
    let text =
        |name: &str| -> Result<String, TrainError> { Ok(frame.column(name)?.str()?.get(row).unwrap_or("").to_owned()) };
    Ok(format!(
        "request {id} at {arrival} us: endpoint {:?}, outcome {:?}, latency {} us, propensity {}",
        text(column::ENDPOINT)?,
        text(column::OUTCOME)?,
        frame.column(column::LATENCY)?.u64()?.get(row).unwrap_or(0),
        frame.column(column::PROPENSITY)?.f32()?.get(row).unwrap_or(f32::NAN),
    ))
}

fn checks(frame: &DataFrame) -> Result<Vec<Check>, TrainError> {
    let mut checks = vec![
        Check {
            name: "missing_name",
            reason: "pool, tenant, route or endpoint is empty".to_owned(),
            fails: missing_names(frame)?,
        },
        Check {
            name: "unknown_outcome",
            reason: "the outcome is none of those that this version knows".to_owned(),
            fails: strings(frame, column::OUTCOME, |name| OutcomeKind::from_name(name).is_none())?,
        },
        Check {
            name: "latency_range",
            reason: format!("latency above {} s, or a success in no time", MAX_LATENCY_US / 1_000_000),
            fails: latency_out_of_range(frame)?,
        },
        Check {
            name: "infinite_feature",
            reason: "a feature is infinite; missing is NaN".to_owned(),
            fails: infinite(frame)?,
        },
    ];
    checks.extend(decisions::checks(frame)?);
    checks.push(Check {
        name: "duplicate",
        reason: "the same request number at the same arrival was read before".to_owned(),
        fails: duplicates(frame)?,
    });
    checks.push(Check {
        name: "clock_jump",
        reason: format!("a handful of arrivals more than {} h from all others", ISLAND_GAP_US / 3_600_000_000),
        fails: clock_jumps(frame.column(column::ARRIVAL)?.i64()?.cont_slice()?),
    });
    Ok(checks)
}

fn mask(values: BooleanChunked) -> Vec<bool> {
    values.iter().map(|value| value.unwrap_or(true)).collect()
}

fn strings(frame: &DataFrame, name: &str, fails: impl Fn(&str) -> bool) -> Result<Vec<bool>, TrainError> {
    Ok(frame.column(name)?.str()?.iter().map(|value| value.is_none_or(&fails)).collect())
}

fn missing_names(frame: &DataFrame) -> Result<Vec<bool>, TrainError> {
    let mut fails = vec![false; frame.height()];
    for name in [column::POOL, column::TENANT, column::ROUTE, column::ENDPOINT] {
        let missing = strings(frame, name, str::is_empty)?;
        fails.iter_mut().zip(missing).for_each(|(fails, missing)| *fails |= missing);
    }
    Ok(fails)
}

fn latency_out_of_range(frame: &DataFrame) -> Result<Vec<bool>, TrainError> {
    let latency = frame.column(column::LATENCY)?.u64()?;
    let success = frame.column(column::OUTCOME)?.str()?.equal(OutcomeKind::Success.name());
    Ok(mask(latency.gt(MAX_LATENCY_US) | (latency.equal(0u64) & success)))
}

fn infinite(frame: &DataFrame) -> Result<Vec<bool>, TrainError> {
    let mut fails = BooleanChunked::full("infinite".into(), false, frame.height());
    for feature in FEATURES {
        let name = format!("{}{}", column::FEATURE_PREFIX, feature.name);
        fails = fails | frame.column(&name)?.f32()?.is_infinite();
    }
    Ok(mask(fails))
}

fn duplicates(frame: &DataFrame) -> Result<Vec<bool>, TrainError> {
    let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
    let ids = frame.column(column::REQUEST_ID)?.u64()?.cont_slice()?;
    // Request numbers are unique within one proxy's life only; the arrival tells lives and proxies apart.
    let mut seen = HashSet::with_capacity(ids.len());
    Ok(ids.iter().zip(arrivals).map(|key| !seen.insert(key)).collect())
}

/// Rows in islands of time that are both far from all others and tiny.
fn clock_jumps(arrivals: &[i64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..arrivals.len()).collect();
    order.sort_unstable_by_key(|row| arrivals[*row]);
    let mut fails = vec![false; arrivals.len()];
    for island in order.chunk_by(|a, b| arrivals[*b].saturating_sub(arrivals[*a]) <= ISLAND_GAP_US) {
        if (island.len() as f64) < ISLAND_SHARE * arrivals.len() as f64 {
            island.iter().for_each(|row| fails[*row] = true);
        }
    }
    fails
}

#[cfg(test)]
mod tests;
