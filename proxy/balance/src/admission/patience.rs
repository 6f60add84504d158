//! How long a request may wait: a queue that stands gets little, one that empties now and then gets more.
//!
//! CoDel's insight is that a good queue absorbs a burst and empties, and a bad one stands: its delay helps nobody (Nichols &
//! Jacobson, *Controlling Queue Delay*, 2012). CoDel itself then drops at a rate that grows with the square root of the
//! drops so far, for senders that slow down when they see one. Clients of HTTP do not: at three times the capacity two of
//! three requests must go at once. So the form of Facebook's *controlled delay* is used (Maurer, *Fail at Scale*, ACM Queue
//! 2015): a request that comes to a queue that has not been empty for an interval may wait for the target, any other for
//! the interval.
//!
//! Rejected: adaptive LIFO, the other half of that article. It serves the newest first because in one queue the oldest are
//! those whose clients have gone; here none waits longer than the interval, tenants have queues of their own, and order
//! within a tenant is worth keeping.

use std::time::Duration;
use tailcast_features::Tick;

/// Bounds of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatienceOptions {
    /// Wait in a queue that stands.
    pub target: Duration,
    /// Wait in any other, and the time without being empty after which a queue stands.
    pub interval: Duration,
}

impl Default for PatienceOptions {
    /// Facebook's: 100 ms absorb what a scheduler or a collector holds up. Its 5 ms of target are for one queue; here up
    /// to hundreds take turns, and a target below one round would refuse a tenant its turn.
    fn default() -> Self {
        Self { target: Duration::from_millis(20), interval: Duration::from_millis(100) }
    }
}

/// When one queue was last empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    empty_at: Tick,
}

impl Patience {
    /// The queue is empty at this time.
    pub(super) fn emptied(&mut self, now: Tick) {
        self.empty_at = now;
    }

    /// Longest wait of a request that comes now.
    pub(super) fn of(&self, options: &PatienceOptions, now: Tick) -> Duration {
        if now.since(self.empty_at) > options.interval {
            options.target.min(options.interval)
        } else {
            options.interval
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_stands_for_an_interval_gets_the_target_until_it_was_empty() {
        let options = PatienceOptions::default();
        let mut patience = Patience::default();
        let at = |ms: u64| Tick::from_secs_f64(50.0).after(Duration::from_millis(ms));
        patience.emptied(at(0));
        assert_eq!(patience.of(&options, at(100)), options.interval);
        assert_eq!(patience.of(&options, at(101)), options.target);
        patience.emptied(at(150));
        assert_eq!(patience.of(&options, at(200)), options.interval);
    }
}
