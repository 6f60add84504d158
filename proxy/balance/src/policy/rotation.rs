//! Round robin over the eligible endpoints, in slot order from a random start.
//!
//! The rotation remembers the last *slot*, not a counter modulo the number of eligible endpoints: when an
//! endpoint is ejected, a counter jumps and two neighbours get twice their share. The start is random, so
//! over that chance every eligible endpoint has propensity 1/n, which is what is logged: it is exact as a
//! marginal, and off-policy evaluation flags such rows because given the history the turn is certain.

use crate::decision::{Decision, Reason};
use crate::scene::Scene;

/// The slot that was served last.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    last: Option<usize>,
}

impl Rotation {
    pub(crate) fn choose(&mut self, scene: &mut Scene<'_>, decision: &mut Decision) {
        let count = decision.slots.len();
        scene.uniform(decision);
        decision.chosen = match self.last {
            None => scene.below(count),
            // Slots are in ascending order: the next one above the last, else the first.
            Some(last) => decision.slots.iter().position(|slot| *slot > last).unwrap_or(0),
        };
        self.last = decision.slots.get(decision.chosen).copied();
        decision.reason = Reason::Rotation;
    }
}
