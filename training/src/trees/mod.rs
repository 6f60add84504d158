//! The champion: gradient-boosted oblivious trees with several quantiles in each leaf, trained on histograms.
//!
//! One round:
//! 1. `gradient`: the pinball gradient of every row and quantile, as integers;
//! 2. `sample`: blocks of rows that choose the tree's structure;
//! 3. `grow`: level by level the one question, asked in all leaves, with the largest summed gain (`histogram`);
//! 4. `renewal`: leaf values are the quantiles of the residuals of *all* rows in the leaf, shrunk, times the
//!    learning rate, since the gradient of a pinball loss has a sign but no size;
//! 5. `monotone`: leaves are clamped so that no forecast falls when a monotone feature grows.
//!
//! It starts from constants, from step functions of single features (`steps`), or from the questions of an earlier
//! forest (`warm`).
//!
//! Sources: oblivious trees and MultiQuantile, Prokhorenkova et al. 2018 (CatBoost); leaf renewal, Friedman 2001
//! (LAD-TreeBoost); censored rows, Kaplan & Meier 1958. The result does not depend on the number of threads: sums
//! are of integers, everything else is added in a fixed order.
//!
//! Rejected: a forest for each quantile (three times the cost of a forecast, and quantiles that cross), leaf-wise
//! trees (a fraction of a percent less loss, five times the cost of a forecast), and float histograms (their
//! subtraction drifts, and their sums depend on the order).

mod binned;
mod borders;
pub mod error;
mod fit;
mod gradient;
mod grow;
mod histogram;
mod importance;
pub mod loss;
mod monotone;
pub mod params;
mod renewal;
mod sample;
pub mod set;
pub mod steps;
pub mod warm;

pub use error::TreesError;
pub use fit::{FittedTrees, Progress, RoundLoss};
pub use params::{TreeParams, ValidTreeParams};
pub use set::TrainingSet;
pub use steps::Steps;
pub use warm::WarmStart;

#[cfg(test)]
mod tests;
