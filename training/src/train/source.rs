//! Where training rows come from: a log that a proxy wrote, or a trace that another balancer recorded.

use super::stages::Stages;
use crate::checks::{self, QualityReport};
use crate::dataset::{Dataset, dataset_from_log};
use crate::error::TrainError;
use crate::load::{LoadReport, load_segments};
use crate::trace_log::{TraceReport, dataset_from_trace};
use serde::Serialize;
use std::path::PathBuf;
use tailcast_datasets::Trace;

/// What is learned from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A directory of log segments.
    Log(PathBuf),
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
    read(source, &mut Stages::new(&mut |_| {}))
}

pub(super) fn read(source: Source, stages: &mut Stages<'_>) -> Result<(Dataset, SourceReports), TrainError> {
    match source {
        Source::Log(directory) => {
            stages.enter("load");
            let (frame, load) = load_segments(&directory)?;
            stages.enter("quality checks");
            let (frame, quality) = checks::check(frame)?;
            if frame.height() == 0 {
                return Err(TrainError::TooFewRows { rows: 0, needed: super::MIN_ROWS, why: quality.summary() });
            }
            stages.enter("training matrix");
            let dataset = dataset_from_log(frame)?;
            Ok((dataset, SourceReports { load: Some(load), quality: Some(quality), trace: None }))
        }
        Source::Trace(trace) => {
            stages.enter("replay of the trace");
            let (dataset, report) = dataset_from_trace(&trace)?;
            Ok((dataset, SourceReports { trace: Some(report), ..SourceReports::default() }))
        }
    }
}
