//! Open-loop load: every request is sent at its intended time, whatever became of the others.
//!
//! Latency counts from the *intended* time to the last byte of the answer, so a stall of the target shows in all
//! the requests that were due meanwhile (no coordinated omission; Tene 2013). A closed loop would politely wait
//! and report the stall once.

mod connection;
mod generator;
mod shot;
mod target;
mod traffic;

pub use generator::{Failure, LoadOptions, LoadResult, Sample, run};
pub use shot::{Shot, shots};
pub use target::{Target, TargetError};
pub use traffic::{RouteShare, Traffic, TrafficError};
