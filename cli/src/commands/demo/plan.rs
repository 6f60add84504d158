//! How long each stage of the demo takes.

use std::time::Duration;

/// Durations of a demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoPlan {
    /// Recording under round robin.
    pub(super) record: Duration,
    /// Traffic around the swap of the model.
    pub(super) hot_load: Duration,
    /// One block of the A/B.
    pub(super) block: Duration,
    /// Pairs of blocks.
    pub(super) pairs: usize,
}

/// What training and starting take on two cores, seconds: for the estimate that is printed, nothing else.
const TRAINING_SECS: f64 = 3.0;

/// What the queue of the endpoint in brown-out takes to empty after a block of round robin, seconds; for the same.
const DRAIN_SECS: f64 = 2.5;

impl DemoPlan {
    /// Within 90 s on two cores.
    pub(super) fn full() -> Self {
        Self {
            record: Duration::from_secs(18),
            hot_load: Duration::from_secs(3),
            block: Duration::from_secs(4),
            pairs: 6,
        }
    }

    /// Two thirds of that. Blocks are not shorter, because caches need seconds to settle after a switch.
    pub(super) fn quick() -> Self {
        Self { record: Duration::from_secs(12), hot_load: Duration::from_secs(2), pairs: 4, ..Self::full() }
    }

    /// The slice of the A/B at whose start one endpoint browns out: both policies get their share of it.
    pub(super) fn brown_out_slice(&self) -> usize {
        self.pairs / 2
    }

    pub(super) fn estimate_secs(&self) -> f64 {
        let traffic = self.record + self.hot_load + self.block * 2 * self.pairs as u32;
        let drained = (self.pairs - self.brown_out_slice()) as f64;
        traffic.as_secs_f64() + TRAINING_SECS + DRAIN_SECS * drained
    }
}
