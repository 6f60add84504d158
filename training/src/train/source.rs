//! Where training rows come from: a log that a proxy wrote, or a trace that another balancer recorded.

use super::stages::Stages;
use crate::checks::{self, QualityReport};
use crate::dataset::{Dataset, dataset_from_log};
use crate::error::TrainError;
use crate::load::{LoadReport, load_segments};
use crate::quarantine::quarantine;
use crate::sample;
use crate::trace_log::{TraceReport, dataset_from_trace};
use polars::prelude::{DataFrame, IdxCa, IdxSize, StringChunked};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use tailcast_datasets::Trace;
use tailcast_features::log::column;

/// What is learned from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A directory of log segments.
    Log(PathBuf),
    /// Segments of a log that were read already.
    Table(DataFrame, LoadReport),
    /// A recorded trace, whose rows need an endpoint and a latency.
    Trace(Trace),
}

/// What reading the source found; which reports there are depends on the source.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SourceReports {
    /// Segments read and refused, of a log.
    pub load: Option<LoadReport>,
    /// Rows used and left out, of a trace.
    pub trace: Option<TraceReport>,
    /// Rows that the quality checks dropped, of a log.
    pub quality: Option<QualityReport>,
}

impl SourceReports {
    /// One line that says where the rows went.
    pub fn summary(&self) -> String {
        match (&self.quality, &self.trace) {
            (Some(quality), _) => quality.summary(),
            (None, Some(trace)) => format!(
                "{} of {} trace rows used, {} without endpoint, {} without latency",
                trace.used, trace.rows, trace.without_endpoint, trace.without_latency
            ),
            (None, None) => "no rows read".to_owned(),
        }
    }
}

/// Reads a source into rows in order of arrival.
///
/// # Errors
/// The source cannot be read, or has no usable row.
pub fn dataset(source: Source) -> Result<(Dataset, SourceReports), TrainError> {
    read(source, Bound { max_rows: usize::MAX, seed: 0 }, &mut Stages::new(&mut |_| {}))
}

/// How much of a source is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) max_rows: usize,
    pub(super) seed: u64,
}

pub(super) fn read(
    source: Source,
    bound: Bound,
    stages: &mut Stages<'_>,
) -> Result<(Dataset, SourceReports), TrainError> {
    match source {
        Source::Log(directory) => {
            stages.enter("load");
            let (frame, load) = load_segments(&directory)?;
            of_table(frame, load, bound, stages)
        }
        Source::Table(frame, load) => of_table(frame, load, bound, stages),
        Source::Trace(trace) => {
            stages.enter("replay of the trace");
            let (dataset, report) = dataset_from_trace(&trace)?;
            let dataset = quarantine(dataset).0.sampled(bound.max_rows, bound.seed);
            Ok((dataset, SourceReports { trace: Some(report), ..SourceReports::default() }))
        }
    }
}

fn of_table(
    frame: DataFrame,
    load: LoadReport,
    bound: Bound,
    stages: &mut Stages<'_>,
) -> Result<(Dataset, SourceReports), TrainError> {
    stages.enter("quality checks");
    let (frame, mut quality) = checks::check(frame)?;
    if frame.height() == 0 {
        return Err(TrainError::TooFewRows { rows: 0, needed: super::MIN_ROWS, why: quality.summary() });
    }
    stages.enter("training matrix");
    let (dataset, quarantined) = quarantine(bounded(frame, bound)?);
    quality.complete(&dataset, quarantined);
    Ok((dataset, SourceReports { load: Some(load), quality: Some(quality), trace: None }))
}

/// The training matrix of a sample of the rows. Of ten million rows one is kept, so they are chosen in the table: the
/// others never become rows of the matrix.
fn bounded(frame: DataFrame, bound: Bound) -> Result<Dataset, TrainError> {
    if frame.height() <= bound.max_rows {
        return dataset_from_log(frame);
    }
    let mut frame = frame;
    frame.rechunk_mut_par();
    let plan = {
        let load = frame.column(&format!("{}in_flight", column::FEATURE_PREFIX))?.f32()?.cont_slice()?;
        let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
        let numbers = |name: &str| Ok::<_, TrainError>(numbered(frame.column(name)?.str()?));
        let (tenants, endpoints) = rayon::join(|| numbers(column::TENANT), || numbers(column::ENDPOINT));
        let (tenants, endpoints) = (tenants?, endpoints?);
        let strata: Vec<sample::Stratum> =
            (0..frame.height()).map(|row| (tenants[row], endpoints[row], sample::load(load[row]))).collect();
        sample::plan(arrivals, &checks::by_arrival(arrivals), &strata, bound.max_rows, bound.seed)
    };
    let rows: Vec<IdxSize> = plan.rows.iter().map(|row| *row as IdxSize).collect();
    let chosen = frame.take(&IdxCa::from_vec("rows".into(), rows))?;
    drop(frame);
    // Already in order of arrival, which is the plan's, so weights stay with their rows.
    Ok(dataset_from_log(chosen)?.weighted(&plan))
}

/// A number for each distinct text.
fn numbered(column: &StringChunked) -> Vec<u32> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut all = Vec::with_capacity(column.len());
    for text in column.iter() {
        let next = numbers.len() as u32;
        all.push(*numbers.entry(text.unwrap_or("")).or_insert(next));
    }
    all
}
