//! Offline training: from log segments, or from a trace that another balancer recorded, to a judged model.
//!
//! | module | is the stage |
//! | --- | --- |
//! | [`load`] | a directory of segments to one table |
//! | [`checks`] | which rows may teach, and why the others may not |
//! | [`mod@dataset`] | the training matrix |
//! | [`trace_log`] | the same matrix from a trace that Tailcast never wrote |
//! | [`quarantine`] | rows that one tenant would poison the others with |
//! | `sample` | a bounded sample that keeps the rare, and its weights |
//! | [`split`] | by time: train, calibration, test |
//! | [`trees`] | the champion: oblivious multi-quantile trees |
//! | [`baselines`] | what the champion must beat |
//! | [`groups`], [`bandit`], [`error_head`] | tenant groups, what the forecast misses, the probability of failure |
//! | [`calibrate`] | conformal shifts and coverage |
//! | [`judge`] | champion against baselines |
//! | [`gate`] | challenger against champion: may it serve? |
//! | [`registry`] | numbered models and the pointers to those that serve |
//! | [`promotion`] | from a trained model to a published one, through the gate |
//! | [`follow`] | when to train again: timer and drift |
//! | [`mod@train`] | all of it in order, with a report |
//! | [`import`] | a model that LightGBM or XGBoost trained, into the artefact |
//! | [`ope`] | off-policy evaluation of another policy on the log |
//! | [`sequential`] | control against treatment in a log, with a test for looking at any time |

pub mod bandit;
pub mod baselines;
pub mod calibrate;
pub mod checks;
pub mod dataset;
pub mod error;
pub mod error_head;
pub mod fairness;
pub mod follow;
pub mod forecast;
pub mod gate;
pub mod groups;
pub mod import;
pub mod judge;
pub mod load;
pub mod ope;
pub mod promotion;
pub mod quarantine;
pub mod registry;
mod ridge;
mod sample;
pub mod sequential;
pub mod split;
pub mod trace_log;
pub mod train;
pub mod trees;

pub use error::TrainError;
pub use train::{Progress, Source, SourceReports, TrainOptions, TrainReport, Trained, dataset, slices, train};
