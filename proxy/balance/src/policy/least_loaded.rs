//! The endpoint with the fewest requests in flight over its weight; ties by chance (nginx `least_conn`,
//! HAProxy `leastconn`).

use crate::decision::{Decision, Reason};
use crate::propensity;
use crate::scene::Scene;

pub(super) fn choose(scene: &mut Scene<'_>, decision: &mut Decision) {
    for i in 0..decision.slots.len() {
        let slot = decision.slots[i];
        let score = scene.in_flight(slot) as f32 / scene.weight(slot);
        scene.push(&mut decision.candidates, slot, 0.0, score);
    }
    let least = decision.candidates.iter().map(|candidate| candidate.score).fold(f32::INFINITY, f32::min);
    propensity::uniform_where(&mut decision.candidates, |candidate| candidate.score <= least);
    decision.chosen = scene.draw(&decision.candidates);
    decision.reason = Reason::LeastLoad;
}
