//! Progress, and the time that each stage took.
//!
//! The one place of the crate that reads a clock, a monotonic one, and for the report alone: no decision, no number
//! in the model depends on it.

use super::Progress;
use crate::error::TrainError;
use crate::trees::TreesError;
use std::time::Instant;

/// The stages of one run.
pub(super) struct Stages<'a> {
    progress: &'a mut dyn FnMut(Progress),
    open: Option<(&'static str, Instant)>,
    done: Vec<(String, f64)>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self { progress, open: None, done: Vec::new() }
    }

    /// Ends the stage before and begins this one.
    pub(super) fn enter(&mut self, stage: &'static str) {
        self.close();
        (self.progress)(Progress::Stage(stage));
        self.open = Some((stage, Instant::now()));
    }

    /// Tells of a round.
    pub(super) fn round(&mut self, done: usize, total: usize, loss: f64) {
        (self.progress)(Progress::Round { done, total, loss });
    }

    /// Seconds of every stage, in order.
    pub(super) fn finish(mut self) -> Vec<(String, f64)> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if let Some((stage, since)) = self.open.take() {
            self.done.push((stage.to_owned(), since.elapsed().as_secs_f64()));
        }
    }
}

/// Threads for a stage that is not the trees'.
pub(super) fn pool(threads: usize) -> Result<rayon::ThreadPool, TrainError> {
    let failed = |error: rayon::ThreadPoolBuildError| TreesError::Threads { threads, reason: error.to_string() };
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(failed)?)
}
