//! Continuous training: what is new in the log, when it is time to train, and whether the traffic has drifted.
//!
//! | module | is |
//! | --- | --- |
//! | [`schedule`] | when to train, from the time and what was seen |
//! | [`drift`] | whether the champion still fits the newest rows |
//!
//! Nothing here waits or tells the time: the loop that does is the command's.

pub mod drift;
pub mod schedule;

pub use drift::{Drift, DriftWatch};
pub use schedule::{Schedule, Start, Why};
