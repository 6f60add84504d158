//! What happens at a time and not because of a request: brown-outs, joins, warm-ups, antagonists, polls, retraining.

use crate::chance::{exponential, stream};
use crate::scenario::{Event, Scenario};
use crate::workload::SECOND;
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Steps of a warm-up, seconds.
const WARM_STEP_SECS: f64 = 0.25;

/// A change at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Timed {
    BrownOut { first: usize, count: usize, factor: f64 },
    Failing { first: usize, count: usize, failing: bool },
    SwapClasses { route: usize },
    Join { servers: usize },
    Warm { server: usize, factor: f64 },
    Antagonist { server: usize, on: bool },
    Poll,
    Report,
    Retrain,
}

/// Changes in order of time.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    changes: Vec<Timed>,
}

impl Timeline {
    pub(crate) fn push(&mut self, at: u64, change: Timed) {
        // The number of the change breaks ties, so equal times keep their order.
        self.heap.push(Reverse((at, self.changes.len() as u64)));
        self.changes.push(change);
    }

    pub(crate) fn next_at(&self) -> u64 {
        self.heap.peek().map_or(u64::MAX, |Reverse((at, _))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Timed> {
        let Reverse((_, number)) = self.heap.pop()?;
        self.changes.get(number as usize).copied()
    }

    /// All changes of a scenario that are known beforehand.
    pub(crate) fn of(scenario: &Scenario, seed: u64) -> Self {
        let nanos = |secs: f64| (secs * SECOND) as u64;
        let mut timeline = Self::default();
        for event in &scenario.events {
            match *event {
                Event::BrownOut { from_secs, until_secs, first, count, factor } => {
                    timeline.push(nanos(from_secs), Timed::BrownOut { first, count, factor });
                    timeline.push(nanos(until_secs), Timed::BrownOut { first, count, factor: 1.0 });
                }
                Event::FailFast { from_secs, until_secs, first, count } => {
                    timeline.push(nanos(from_secs), Timed::Failing { first, count, failing: true });
                    timeline.push(nanos(until_secs), Timed::Failing { first, count, failing: false });
                }
                Event::SwapClasses { at_secs, route } => timeline.push(nanos(at_secs), Timed::SwapClasses { route }),
            }
        }
        let mut first = 0;
        for class in &scenario.classes {
            if let Some(at) = class.joins_at_secs {
                timeline.push(nanos(at), Timed::Join { servers: first + class.count });
                let steps = (class.warms_over_secs / WARM_STEP_SECS).ceil() as usize;
                for step in 0..=steps {
                    let share = if steps == 0 { 1.0 } else { step as f64 / steps as f64 };
                    let factor = class.warms_from + (1.0 - class.warms_from) * share;
                    for server in first..first + class.count {
                        timeline.push(nanos(at + share * class.warms_over_secs), Timed::Warm { server, factor });
                    }
                }
            }
            first += class.count;
        }
        timeline.antagonists(scenario, seed);
        timeline
    }

    /// On/off phases of each server's antagonist, exponential, from their stationary state. How many are on at the start
    /// is the share of all and not drawn: a draw of 11 in 100 is off by a third every so often, which is capacity, and
    /// seeds would differ by that more than policies do.
    fn antagonists(&mut self, scenario: &Scenario, seed: u64) {
        let Some(other) = scenario.antagonists else { return };
        let until = scenario.warmup_secs + scenario.measure_secs;
        let mean_off = other.mean_on_secs * (1.0 - other.share) / other.share.max(1e-9);
        let servers = scenario.server_count();
        let mut order = stream(seed, 999);
        let mut places: Vec<(u64, usize)> = (0..servers).map(|server| (order.random(), server)).collect();
        places.sort_unstable();
        let at_start = (other.share * servers as f64).round() as usize;
        for (place, (_, server)) in places.into_iter().enumerate() {
            let mut rng = stream(seed, 1_000 + server as u64);
            let mut on = place < at_start;
            let mut at = 0.0;
            while at < until {
                self.push((at * SECOND) as u64, Timed::Antagonist { server, on });
                at += exponential(&mut rng) * if on { other.mean_on_secs } else { mean_off };
                on = !on;
            }
        }
    }
}
