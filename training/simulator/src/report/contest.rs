//! What the gate said of the challengers of a run.

use crate::error::SimError;
use crate::learn::Challenge;
use serde::Serialize;
use std::sync::Arc;
use tailcast_model::Model;

/// One challenger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContestReport {
    /// When it was fitted, seconds.
    pub at_secs: f64,
    /// True where it replaced the model that served.
    pub passed: bool,
    /// Rows that neither model had seen.
    pub rows: usize,
    /// Its mean pinball loss over the champion's; `None` where there was nothing to judge.
    pub loss_ratio: Option<f64>,
    /// Everything that spoke against it; empty where it passed.
    pub reasons: Vec<String>,
}

impl ContestReport {
    /// The report, and the model where it passed.
    pub(crate) fn of(at_secs: f64, found: Result<Challenge, SimError>) -> (Self, Option<Arc<Model>>) {
        match found {
            Ok(Challenge { model, verdict }) => {
                let loss_ratio = verdict.challenger.as_ref().zip(verdict.champion.as_ref());
                let report = Self {
                    at_secs,
                    passed: verdict.passed,
                    rows: verdict.rows,
                    loss_ratio: loss_ratio.map(|(own, other)| own.mean_pinball / other.mean_pinball),
                    reasons: verdict.reasons,
                };
                let model = report.passed.then_some(model);
                (report, model)
            }
            Err(error) => {
                let reasons = vec![error.to_string()];
                (Self { at_secs, passed: false, rows: 0, loss_ratio: None, reasons }, None)
            }
        }
    }
}
