//! Offline training: from log segments, or from a trace that another balancer recorded, to a judged model.
//!
//! | module | is the stage |
//! | --- | --- |
//! | [`load`] | a directory of segments to one table |
//! | [`checks`] | which rows may teach, and why the others may not |
//! | [`mod@dataset`] | the training matrix |
//! | [`trace_log`] | the same matrix from a trace that Tailcast never wrote |
//! | [`split`] | by time: train, calibration, test |
//! | [`trees`] | the champion: oblivious multi-quantile trees |
//! | [`baselines`] | what the champion must beat |
//! | [`groups`], [`bandit`], [`error_head`] | tenant groups, what the forecast misses, the probability of failure |
//! | [`calibrate`] | conformal shifts and coverage |
//! | [`judge`] | champion against baselines, and the gate |
//! | [`mod@train`] | all of it in order, with a report |
//! | [`ope`] | off-policy evaluation of another policy on the log |

pub mod bandit;
pub mod baselines;
pub mod calibrate;
pub mod checks;
pub mod dataset;
pub mod error;
pub mod error_head;
pub mod forecast;
pub mod groups;
pub mod judge;
pub mod load;
pub mod ope;
mod ridge;
pub mod split;
pub mod trace_log;
pub mod train;
pub mod trees;

pub use error::TrainError;
pub use train::{Progress, Source, SourceReports, TrainOptions, TrainReport, Trained, dataset, train};
