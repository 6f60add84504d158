//! What a worker hands over of a request that ended.

use crate::metrics::Counter;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tailcast_features::{OutcomeKind, Row, Tick};

/// A request that ended under a model.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Tick,
    /// Stable hash of the pool's name.
    pub(crate) pool: u64,
    /// Stable hash of the tenant.
    pub(crate) tenant: u64,
    /// True where the model routed it, false in the control.
    pub(crate) is_treated: bool,
    /// Id of the model that was loaded when it was decided.
    pub(crate) model: Arc<str>,
    pub(crate) kind: OutcomeKind,
    /// Natural log of its milliseconds.
    pub(crate) ln_ms: f32,
    /// The features of the endpoint that it went to, as the policy saw them.
    pub(crate) row: Row,
}

impl Sample {
    /// True where its latency is what the work took.
    pub(crate) fn is_answered(&self) -> bool {
        self.kind.is_latency_evidence()
    }
}

/// One worker's way to the judge.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    queue: SyncSender<Sample>,
    /// A request whose uniform number is below is sampled.
    below: u64,
    lost: Arc<Counter>,
}

impl Sampler {
    /// Samples a `share` of the requests that a model routed, and all of the control.
    pub(crate) fn new(queue: SyncSender<Sample>, share: f64, lost: Arc<Counter>) -> Self {
        // 2^64 times the share; `as` saturates.
        Self { queue, below: (share * (u64::MAX as f64)) as u64, lost }
    }

    /// Whether a request is sampled; `number` is a uniform number of its own.
    pub(crate) fn wants(&self, number: u64, is_treated: bool) -> bool {
        !is_treated || number < self.below
    }

    /// Hands a sample over. A judge that is behind loses some: it is never waited for.
    pub(crate) fn send(&self, sample: Sample) {
        if self.queue.try_send(sample).is_err() {
            self.lost.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tailcast_features::hash::mix;

    #[test]
    fn the_share_is_kept_and_the_control_is_always_sampled() {
        let (queue, _samples) = mpsc::sync_channel(1);
        let sampler = Sampler::new(queue, 0.1, Arc::default());
        let treated = (0..10_000).filter(|request| sampler.wants(mix(7, *request), true)).count();
        assert!((850..1_150).contains(&treated), "{treated} of 10000");
        assert!((0..100).all(|request| sampler.wants(mix(7, request), false)));
    }
}
