//! What a training run says of itself: everything that the command line prints, in one serialisable value.

use super::plots::Plots;
use crate::bandit::BanditReport;
use crate::calibrate::CoverageRow;
use crate::checks::QualityReport;
use crate::error::TrainError;
use crate::error_head::ErrorHeadReport;
use crate::groups::GroupReport;
use crate::judge::Judgement;
use crate::load::LoadReport;
use crate::split::SplitReport;
use crate::trace_log::TraceReport;
use serde::Serialize;

/// The report of a training run.
#[derive(Debug, Clone, Serialize)]
pub struct TrainReport {
    /// Segments read and refused, where the source is a log.
    pub load: Option<LoadReport>,
    /// Rows used and left out, where the source is a trace.
    pub trace: Option<TraceReport>,
    /// Rows that the quality checks dropped, where the source is a log.
    pub quality: Option<QualityReport>,
    /// Rows that were learned from: those that passed the checks, or a sample of them.
    pub rows: usize,
    /// The split by time.
    pub split: SplitReport,
    /// The model against the baselines on the test slice.
    pub judgement: Judgement,
    /// Coverage of the model on the test slice, one row a quantile.
    pub coverage: Vec<CoverageRow>,
    /// The tenant groups.
    pub groups: Vec<GroupReport>,
    /// Whether the bandit was kept.
    pub bandit: BanditReport,
    /// How the error head came about.
    pub errors: ErrorHeadReport,
    /// Features and their share of the gain, the largest first.
    pub top_features: Vec<(String, f32)>,
    /// Trees in the model.
    pub trees: usize,
    /// The setting of the trees that won on the last part of the train slice, in words.
    pub setting: String,
    /// Seconds that each stage took, in order.
    pub stage_secs: Vec<(String, f64)>,
    /// Id of the model.
    pub model_id: String,
    /// The tables behind the figures.
    pub plots: Plots,
}

impl TrainReport {
    /// Lets a model through that beats every baseline on the test slice.
    ///
    /// # Errors
    /// It loses to one; the message has both losses.
    pub fn gate(&self) -> Result<(), TrainError> {
        self.judgement.gate(false)
    }

    /// What somebody should look at in the rows, though it stopped nothing.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.quality.as_ref().map(QualityReport::warnings).unwrap_or_default();
        if let Some(load) = &self.load {
            warnings.extend(load.skipped.iter().map(|file| format!("{} was skipped: {}", file.name, file.reason)));
            warnings.extend(load.missing.iter().map(|gap| format!("segments are missing: {gap}")));
        }
        warnings
    }

    /// Coverage of the 99th percentile on the test slice; NaN where the model has none.
    pub fn p99_coverage(&self) -> f64 {
        let of_p99 = self.coverage.iter().find(|row| (row.level - 0.99).abs() < 1e-3);
        of_p99.map_or(f64::NAN, |row| row.overall)
    }
}
