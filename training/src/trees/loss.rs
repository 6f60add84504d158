//! The loss that is trained and the coverage that is wished for.
//!
//! Weighted means in f64 over blocks of fixed size, added in the order of the blocks: a loss is the same on every run,
//! whatever the number of threads.

use rayon::prelude::*;

/// Rows of a block: enough work to be worth a thread's attention.
const BLOCK: usize = 1 << 15;

/// Weighted mean pinball loss at level `q`: `q·(y − f)` below the label, `(1 − q)·(f − y)` above (Koenker &
/// Bassett 1978). NaN without weight.
pub fn pinball(labels: &[f32], predictions: &[f32], q: f32, weights: &[f32]) -> f64 {
    pinball_censored(labels, predictions, q, weights, &vec![false; labels.len()])
}

/// The same where some labels are lower bounds: such a row costs nothing once the forecast is at or above its bound.
pub(super) fn pinball_censored(labels: &[f32], predictions: &[f32], q: f32, weights: &[f32], censored: &[bool]) -> f64 {
    let q = f64::from(q);
    let row = |label: f32, prediction: f32, censored: bool| {
        let error = f64::from(label) - f64::from(prediction);
        let above = if censored { 0.0 } else { (q - 1.0) * error };
        if error >= 0.0 { q * error } else { above }
    };
    let blocks: Vec<(f64, f64)> = labels
        .par_chunks(BLOCK)
        .zip(predictions.par_chunks(BLOCK))
        .zip(weights.par_chunks(BLOCK).zip(censored.par_chunks(BLOCK)))
        .map(|((labels, predictions), (weights, censored))| {
            let rows = labels.iter().zip(predictions).zip(weights.iter().zip(censored));
            rows.fold((0.0, 0.0), |(sum, total), ((label, prediction), (weight, censored))| {
                let weight = f64::from(*weight);
                (sum + weight * row(*label, *prediction, *censored), total + weight)
            })
        })
        .collect();
    let (sum, total) = blocks.into_iter().fold((0.0, 0.0), |(a, b), (sum, total)| (a + sum, b + total));
    sum / total
}

/// Weighted share of labels at or below the forecast. NaN without weight.
pub fn coverage(labels: &[f32], predictions: &[f32], weights: &[f32]) -> f64 {
    let (mut covered, mut total) = (0.0, 0.0);
    for ((label, prediction), weight) in labels.iter().zip(predictions).zip(weights) {
        total += f64::from(*weight);
        covered += if label <= prediction { f64::from(*weight) } else { 0.0 };
    }
    covered / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_low_costs_the_level_too_high_the_rest_and_weights_count() {
        let loss = |prediction: f32| pinball(&[1.0], &[prediction], 0.75, &[2.0]);
        assert_eq!((loss(0.0), loss(1.0), loss(2.0)), (0.75, 0.0, 0.25));
        assert_eq!(pinball(&[1.0, 1.0], &[0.0, 2.0], 0.75, &[3.0, 1.0]), 0.625);
        assert!(pinball(&[], &[], 0.5, &[]).is_nan());
    }

    #[test]
    fn a_bound_that_is_exceeded_costs_nothing_and_one_that_is_not_does() {
        let loss = |prediction: f32| pinball_censored(&[1.0], &[prediction], 0.75, &[1.0], &[true]);
        assert_eq!((loss(0.0), loss(5.0)), (0.75, 0.0));
    }

    #[test]
    fn coverage_counts_the_weight_at_or_below() {
        assert_eq!(coverage(&[1.0, 2.0, 3.0], &[1.0, 1.5, 4.0], &[1.0, 2.0, 1.0]), 0.5);
    }
}
