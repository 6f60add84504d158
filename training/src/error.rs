//! What can stop a training run.
//!
//! One enum for the crate, each message naming what and where, so that the command line prints it as it is.
//! A single bad file or row is never an error here: those are counted in the reports.

use crate::trees::TreesError;
use std::path::PathBuf;
use tailcast_model::ArtefactError;

/// Why training, loading or evaluating stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The log directory cannot be listed.
    #[error("cannot read the log directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory holds no row that this version can read.
    #[error("no usable log segment in {path}: {found}")]
    NoSegments {
        /// The directory.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// A column is not what the log schema says.
    #[error("log table: {0}")]
    Table(#[from] polars::error::PolarsError),
    /// A trace lacks the columns that training needs.
    #[error(
        "the trace of {rows} rows cannot train a model: {missing}; a training row needs both the endpoint that \
         served the request and its latency"
    )]
    TraceLacks {
        /// Rows in the trace.
        rows: usize,
        /// Which columns are missing, in how many rows.
        missing: String,
    },
    /// Too few rows are left.
    #[error("{rows} usable rows are too few to train on: at least {needed} are needed ({why})")]
    TooFewRows {
        /// Rows left.
        rows: usize,
        /// Rows needed.
        needed: usize,
        /// Where the others went.
        why: String,
    },
    /// All rows are of one endpoint, so there is nothing to choose between.
    #[error("all {rows} rows are of the endpoint {endpoint:?}: a routing model needs at least 2 endpoints")]
    OneEndpoint {
        /// Usable rows.
        rows: usize,
        /// The only endpoint.
        endpoint: String,
    },
    /// An option is out of its range.
    #[error("option {name} = {value} is out of range: {allowed}")]
    Option {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// A library refused to fit.
    #[error("{what} could not be fitted: {reason}")]
    Fit {
        /// What was being fitted.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
    /// The trees could not be fitted.
    #[error(transparent)]
    Trees(#[from] TreesError),
    /// What was learned does not make a valid model.
    #[error("the trained model is not valid: {0}")]
    Model(#[from] ArtefactError),
    /// The model loses to a baseline.
    #[error(
        "the model is refused: its mean pinball loss on {rows} held-out rows is {champion:.4}, the baseline \
         {baseline} has {loss:.4}; more or better rows, or an explicit force, are needed"
    )]
    Refused {
        /// Loss of the model.
        champion: f64,
        /// Name of the best baseline.
        baseline: String,
        /// Loss of that baseline.
        loss: f64,
        /// Rows judged on.
        rows: usize,
    },
    /// The log does not hold both sides of a comparison.
    #[error("the policies cannot be compared: {0}")]
    Comparison(String),
    /// The log carries nothing that this evaluation can use.
    #[error("off-policy evaluation is not possible: {0}")]
    NoEvidence(String),
}
