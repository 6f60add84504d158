//! The model artefact and what is served from it: the compiled forest, calibration, tenant groups, bandit weights
//! and the error-probability head. Prediction only.
//!
//! | module | is |
//! | --- | --- |
//! | [`model`] | [`Model`]: a validated artefact, ready to forecast |
//! | [`parts`] | [`ModelParts`]: what a trainer hands over |
//! | [`forest`] | oblivious multi-quantile trees on u8 bins |
//! | [`ensemble`] | ordinary binary trees that LightGBM or XGBoost trained |
//! | [`quantised`], [`kernel`] | its leaves as integers; the innermost loops |
//! | `ladder` | values to bins |
//! | [`decision`] | the forest compiled for all candidates of a request at once |
//! | [`calibration`], [`groups`], [`bandit`], [`errors`] | what is added to the forest's forecast |
//! | [`forecast`] | the quantiles of one candidate |
//! | [`artefact`] | one file: tensors, metadata, checksum, canary |
//! | [`importance`] | which features the trees gained from |
//!
//! It links no training library, opens no socket and reads no clock, so the proxy can hold it on the hot path and
//! a test can hold it anywhere. Rejected: a trait for "a model". There are two kinds of trees, and the policy
//! calls them for every candidate of every request.

pub mod artefact;
pub mod bandit;
pub mod calibration;
pub mod decision;
pub mod ensemble;
pub mod errors;
pub mod forecast;
pub mod forest;
pub mod groups;
pub mod importance;
pub mod kernel;
mod ladder;
pub mod model;
pub mod parts;
pub mod quantised;

pub use artefact::error::ArtefactError;
pub use decision::DecisionForecasts;
pub use ensemble::Ensemble;
pub use forecast::{Forecast, Level, MAX_QUANTILES, pinball};
pub use forest::Forest;
pub use model::Model;
pub use parts::{ModelParts, TrainingWindow};

#[cfg(test)]
pub(crate) mod testing;
