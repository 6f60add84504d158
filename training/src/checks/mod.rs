//! Quality checks: which logged rows may teach, and why the others may not.
//!
//! Each check is a mask over whole columns. A row counts for the first check that it fails, so the counts add
//! up to the rows that were dropped, and each check keeps a few samples, because a count alone explains
//! nothing. Rejected: repairing rows (clipping a latency, renormalising propensities): what is logged wrongly
//! once is wrong in ways that the repair does not know.

mod decisions;
mod features;
mod parity;

pub use parity::Parity;

use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::quarantine::Quarantined;
use polars::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use tailcast_features::OutcomeKind;
use tailcast_features::log::column;

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

/// Names of one kind beyond which they are no longer names: a tenant header that carries a request's number.
const MANY_NAMES: usize = 1_000;

/// Unless each of them has so many rows.
const ROWS_A_NAME: usize = 20;

/// Share of cut-off requests beyond which the tail is guesswork.
const CENSORED_SHARE: f64 = 0.05;

/// What the checks found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Rows checked.
    pub rows: usize,
    /// Rows kept.
    pub kept: usize,
    /// Checks that dropped rows, in the order in which they ran.
    pub rejected: Vec<Rejection>,
    /// Share of missing values of each feature.
    pub missing: Vec<(String, f64)>,
    /// What a replay of the rows' requests through the feature store found.
    pub parity: Parity,
    /// Share of the rows that are learned from whose request failed.
    pub failed_ratio: f64,
    /// Share of them that was cut off: their latency is a lower bound.
    pub censored_ratio: f64,
    /// Tenants, routes and endpoints among them.
    pub tenants: usize,
    /// Routes among them.
    pub routes: usize,
    /// Endpoints among them.
    pub endpoints: usize,
    /// Tenants whose absurd latencies were left out.
    pub quarantined: Vec<Quarantined>,
}

impl QualityReport {
    /// Takes in what only the training matrix shows.
    pub(crate) fn complete(&mut self, dataset: &Dataset, quarantined: Vec<Quarantined>) {
        let share = |is: fn(OutcomeKind) -> bool| {
            dataset.outcome.iter().filter(|outcome| is(**outcome)).count() as f64 / dataset.len().max(1) as f64
        };
        self.failed_ratio = share(OutcomeKind::is_endpoint_failure);
        self.censored_ratio = share(OutcomeKind::is_censored);
        let names = dataset.names();
        (self.tenants, self.routes, self.endpoints) = (names.tenants.len(), names.routes.len(), names.endpoints.len());
        self.quarantined = quarantined;
    }

    /// What somebody should look at, though it stopped nothing.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (kind, count) in [("tenants", self.tenants), ("routes", self.routes), ("endpoints", self.endpoints)] {
            if count > MANY_NAMES && count > self.kept / ROWS_A_NAME {
                warnings
                    .push(format!("{count} {kind} in {} rows: is that a name, or a number of the request?", self.kept));
            }
        }
        if self.censored_ratio > CENSORED_SHARE {
            let percent = self.censored_ratio * 100.0;
            warnings
                .push(format!("{percent:.1} % of the requests were cut off, so the tail is only known to be above"));
        }
        if let Some(sample) = &self.parity.sample {
            let (unequal, rows) = (self.parity.unequal, self.parity.rows);
            warnings.push(format!(
                "{unequal} of {rows} replayed rows were logged with other features than this version computes: {sample}"
            ));
        }
        warnings.extend(self.quarantined.iter().map(|one| {
            format!(
                "{} of {} rows of tenant {:?} took more than {:.0} ms, far beyond all other tenants, and were left out",
                one.absurd, one.rows, one.tenant, one.bound_ms
            )
        }));
        warnings
    }

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
    let Found { checks, missing } = checks(&frame)?;
    report.missing = missing;
    for check in checks {
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
    report.parity = parity::replay(&kept)?;
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

/// What was found in a table.
struct Found {
    /// The checks in the order in which they run.
    checks: Vec<Check>,
    /// Share of missing values of each feature.
    missing: Vec<(String, f64)>,
}

fn checks(frame: &DataFrame) -> Result<Found, TrainError> {
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
    ];
    let features = features::walk(frame)?;
    checks.extend(features.checks);
    checks.extend(decisions::checks(frame)?);
    let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
    let order = by_arrival(arrivals);
    checks.push(Check {
        name: "duplicate",
        reason: "the same request number at the same arrival was read before".to_owned(),
        fails: duplicates(arrivals, frame.column(column::REQUEST_ID)?.u64()?.cont_slice()?, &order),
    });
    checks.push(Check {
        name: "clock_jump",
        reason: format!("a handful of arrivals more than {} h from all others", ISLAND_GAP_US / 3_600_000_000),
        fails: clock_jumps(arrivals, &order),
    });
    Ok(Found { checks, missing: features.missing })
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

/// The rows in order of arrival; equal arrivals in the order of the table.
pub(crate) fn by_arrival(arrivals: &[i64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..arrivals.len() as u32).collect();
    if !arrivals.is_sorted() {
        order.par_sort_unstable_by_key(|row| (arrivals[*row as usize], *row));
    }
    order
}

/// Rows whose request number and arrival an earlier row has. Request numbers are unique within one proxy's life only;
/// the arrival tells lives and proxies apart.
fn duplicates(arrivals: &[i64], ids: &[u64], order: &[u32]) -> Vec<bool> {
    let mut fails = vec![false; arrivals.len()];
    let mut together: Vec<(u64, u32)> = Vec::new();
    for instant in order.chunk_by(|a, b| arrivals[*a as usize] == arrivals[*b as usize]).filter(|rows| rows.len() > 1) {
        together.clear();
        together.extend(instant.iter().map(|row| (ids[*row as usize], *row)));
        together.sort_unstable();
        let again = together.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        again.for_each(|pair| fails[pair[1].1 as usize] = true);
    }
    fails
}

/// Rows in islands of time that are both far from all others and tiny.
fn clock_jumps(arrivals: &[i64], order: &[u32]) -> Vec<bool> {
    let mut fails = vec![false; arrivals.len()];
    let is_near = |a: &u32, b: &u32| arrivals[*b as usize].saturating_sub(arrivals[*a as usize]) <= ISLAND_GAP_US;
    for island in order.chunk_by(is_near) {
        if (island.len() as f64) < ISLAND_SHARE * arrivals.len() as f64 {
            island.iter().for_each(|row| fails[*row as usize] = true);
        }
    }
    fails
}

#[cfg(test)]
mod tests;
