//! The better of two different endpoints drawn at random. Source: Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", 2001; with peak-EWMA cost it is Finagle's and linkerd's balancer.

use crate::decision::Decision;
use crate::propensity;
use crate::scene::Scene;

pub(super) fn choose(scene: &mut Scene<'_>, decision: &mut Decision, cost: impl Fn(&Scene<'_>, usize) -> f64) {
    for i in 0..decision.slots.len() {
        let slot = decision.slots[i];
        let score = cost(scene, slot) as f32;
        scene.push(&mut decision.candidates, slot, 0.0, score);
    }
    propensity::best_of(&mut decision.candidates, 2);
    let count = decision.candidates.len();
    let first = scene.below(count);
    let second = (first + 1 + scene.below(count - 1)) % count;
    let (a, b) = (decision.candidates[first].score, decision.candidates[second].score);
    let heads = scene.below(2) == 0;
    decision.chosen = if a < b || (a == b && heads) { first } else { second };
}
