//! Which features the forecasts come from: gains of splits, and for the start its share of what was won.
//!
//! Splits and steps have no common currency but the loss. So the start as a whole gets the gain that the trees had
//! for each unit of loss that they took off, times the loss that the start took off, and shares it among its
//! features by how much each moves the forecast.

use super::set::TrainingSet;
use super::steps::Steps;
use tailcast_model::forest::Tree;

/// Mean losses on the training set at three points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Milestones {
    /// The best constants.
    pub(super) constants: f64,
    /// The start.
    pub(super) start: f64,
    /// All rounds.
    pub(super) end: f64,
}

/// Importance of each feature; `gains` are those of the splits of `trees`.
pub(super) fn importance(
    training: &TrainingSet<'_>,
    trees: &[Tree],
    gains: &[Vec<f64>],
    start: &[Steps],
    losses: Milestones,
) -> Vec<f32> {
    let mut sums = vec![0.0f64; training.columns.len()];
    for (tree, gains) in trees.iter().zip(gains) {
        for (split, gain) in tree.splits.iter().zip(gains) {
            sums[usize::from(split.feature)] += gain;
        }
    }
    let of_trees: f64 = sums.iter().sum();
    let (by_start, by_trees) = ((losses.constants - losses.start).max(0.0), (losses.start - losses.end).max(0.0));
    let of_start = if by_trees > 0.0 && of_trees > 0.0 { of_trees * by_start / by_trees } else { by_start };
    let moves: Vec<f64> = start.iter().map(|steps| spread(training, steps)).collect();
    let all: f64 = moves.iter().sum();
    if all > 0.0 {
        start.iter().zip(&moves).for_each(|(steps, moved)| sums[steps.feature] += of_start * moved / all);
    }
    // A gain that is not a number (of an empty set) is none.
    sums.into_iter().map(|gain| if gain.is_finite() { gain as f32 } else { 0.0 }).collect()
}

/// Standard deviation of what the steps add.
fn spread(training: &TrainingSet<'_>, steps: &Steps) -> f64 {
    let values = || {
        let weighted = training.columns[steps.feature].iter().zip(training.weights);
        weighted.filter(|(_, weight)| **weight > 0.0).map(|(value, weight)| (steps.value(*value), f64::from(*weight)))
    };
    let total: f64 = values().map(|(_, weight)| weight).sum();
    let mean = values().map(|(value, weight)| f64::from(value) * weight).sum::<f64>() / total;
    (values().map(|(value, weight)| (f64::from(value) - mean).powi(2) * weight).sum::<f64>() / total).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailcast_model::forest::Split;

    #[test]
    fn the_start_gets_its_share_of_the_loss_that_was_won() {
        let columns: Vec<&[f32]> = vec![&[0.0, 1.0], &[0.0, 1.0], &[5.0, 5.0]];
        let training = TrainingSet { columns, labels: &[0.0, 1.0], weights: &[1.0; 2], censored: &[false; 2] };
        let tree = Tree { splits: vec![Split { feature: 0, bin: 1 }], leaves: vec![0.0, 1.0] };
        let steps = |feature: usize| Steps { feature, lowest: 0.0, steps: vec![(0.5, 2.0)] };
        let losses = Milestones { constants: 4.0, start: 2.0, end: 1.0 };
        let of = |start: &[Steps]| importance(&training, std::slice::from_ref(&tree), &[vec![3.0]], start, losses);
        assert_eq!(of(&[]), [3.0, 0.0, 0.0]);
        assert_eq!(of(&[steps(1), steps(2)]), [3.0, 6.0, 0.0], "feature 2 is constant and moves nothing");
    }
}
