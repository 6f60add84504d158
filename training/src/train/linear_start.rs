//! The linear model that boosting may start from, as step functions.
//!
//! A few features on whose steps a ridge regression of log-latency is fitted: first all, then the strongest alone. It
//! is fitted on the steps and not on the values, so it knows of its own coarseness. The steps reach beyond the
//! range of training on either side: there the trees know nothing and the line goes on. Rejected: all features (the
//! weak ones only add their steps to the noise), and an unbounded line (a feature that is ten times out of range is
//! broken, not slow).

use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::ridge::ridge;
use crate::split::stratified;
use crate::trees::Steps;
use ndarray::Array2;
use tailcast_features::{FEATURE_COUNT, FEATURES};

/// Features of the final fit: with three trees each, 24 trees.
const TERMS: usize = 8;

/// Thresholds of a feature: with the question whether there is a value, fifteen levels are three trees of five.
const STEPS: usize = 14;

/// How far the steps go beyond the central range of training, in such ranges, on either side.
const BEYOND: f32 = 0.3;

/// Share of the values outside of the central range, on either side: outliers must not stretch the steps.
const OUTLIERS: f64 = 0.005;

/// Rows that are fitted at most: a dozen coefficients are known to a thousandth long before that.
const MAX_ROWS: usize = 20_000;

/// Ridge as a share of the rows: recent latencies go together, and without it two of them would get large weights
/// of opposite sign.
const RIDGE_SHARE: f64 = 0.002;

/// The step functions of a data set's rows; none where nothing is linear.
///
/// # Errors
/// The solver fails.
pub(super) fn fit(train: &Dataset, seed: u64) -> Result<Vec<Steps>, TrainError> {
    let whole: Vec<usize> = (0..train.len()).filter(|row| train.is_evidence(*row)).collect();
    let rows: Vec<usize> = stratified(whole.len(), MAX_ROWS, seed).into_iter().map(|i| whole[i]).collect();
    let target: Vec<f64> = rows.iter().map(|row| f64::from(train.label[*row])).collect();
    let mean = target.iter().sum::<f64>() / target.len().max(1) as f64;
    let target: Vec<f64> = target.into_iter().map(|label| label - mean).collect();
    let stairs: Vec<Stair> = (0..FEATURE_COUNT).filter_map(|feature| Stair::new(train, feature, &rows)).collect();
    let mut chosen: Vec<&Stair> = stairs.iter().collect();
    // All, then the strongest alone; after that only weights of the wrong sign still go.
    for round in 0.. {
        if chosen.is_empty() {
            break;
        }
        let theta = weights(&chosen, train, &rows, &target)?;
        let mut strength: Vec<f64> = chosen.iter().zip(&theta).map(|(stair, theta)| stair.strength(*theta)).collect();
        let mut sorted = strength.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let least = sorted.get(TERMS - 1).copied().unwrap_or(0.0);
        if round > 0 && strength.iter().all(|strength| *strength > 0.0) {
            return Ok(chosen.iter().zip(theta).map(|(stair, theta)| stair.steps(theta)).collect());
        }
        let mut keep = strength.drain(..).map(|strength| strength > 0.0 && strength >= least);
        chosen.retain(|_| keep.next().unwrap_or(false));
    }
    Ok(Vec::new())
}

fn weights(chosen: &[&Stair], train: &Dataset, rows: &[usize], target: &[f64]) -> Result<Vec<f64>, TrainError> {
    let design = Array2::from_shape_fn((rows.len(), chosen.len()), |(row, column)| {
        let stair = chosen[column];
        stair.standardised(train.features[stair.feature][rows[row]])
    });
    ridge(&design, target, &vec![1.0; rows.len()], (RIDGE_SHARE * rows.len() as f64).max(1.0))
}

/// A feature cut into even steps.
struct Stair {
    feature: usize,
    thresholds: Vec<f32>,
    /// Value of each step: one more than thresholds.
    levels: Vec<f32>,
    mean: f64,
    spread: f64,
}

impl Stair {
    /// `None` where the feature is constant or missing.
    fn new(train: &Dataset, feature: usize, rows: &[usize]) -> Option<Self> {
        let column = train.feature(feature);
        let mut values: Vec<f32> = rows.iter().map(|row| column[*row]).filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| values.get((share * values.len().saturating_sub(1) as f64) as usize).copied();
        let (low, high) = (at(OUTLIERS)?, at(1.0 - OUTLIERS)?);
        let step = (high - low) * (1.0 + 2.0 * BEYOND) / (STEPS as f32 + 1.0);
        let first = low - (high - low) * BEYOND;
        let thresholds: Vec<f32> = (1..=STEPS).map(|i| first + step * i as f32).collect();
        let levels = (0..=STEPS).map(|i| first + step * (i as f32 + 0.5)).collect();
        if !thresholds.windows(2).all(|pair| pair[0] < pair[1]) {
            return None;
        }
        let mut stair = Self { feature, thresholds, levels, mean: 0.0, spread: 0.0 };
        let count = values.len() as f64;
        stair.mean = values.iter().map(|value| stair.level(*value)).sum::<f64>() / count;
        stair.spread = (values.iter().map(|v| (stair.level(*v) - stair.mean).powi(2)).sum::<f64>() / count).sqrt();
        (stair.spread > 1e-6).then_some(stair)
    }

    fn level(&self, value: f32) -> f64 {
        f64::from(self.levels[self.thresholds.partition_point(|threshold| *threshold < value)])
    }

    /// Mean 0, spread 1; missing is 0.
    fn standardised(&self, value: f32) -> f64 {
        if value.is_nan() { 0.0 } else { (self.level(value) - self.mean) / self.spread }
    }

    /// How much the feature moves the forecast; nothing where it would have to fall along a monotone feature.
    fn strength(&self, theta: f64) -> f64 {
        if FEATURES[self.feature].monotone && theta < 0.0 { 0.0 } else { theta.abs() }
    }

    fn steps(&self, theta: f64) -> Steps {
        let added = |level: &f32| (theta * (f64::from(*level) - self.mean) / self.spread) as f32;
        let values: Vec<f32> = self.levels.iter().map(added).collect();
        // A missing value adds nothing, so along a monotone feature no value may add less.
        let lowest = values.first().copied().unwrap_or(0.0);
        let lowest = if FEATURES[self.feature].monotone { lowest.max(0.0) } else { lowest };
        let steps = values.windows(2).map(|pair| pair[1] - pair[0]);
        Steps { feature: self.feature, lowest, steps: self.thresholds.iter().copied().zip(steps).collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{dataset, features};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use tailcast_features::index;

    /// Rows with latency 2·cost − 0.5·residual, and other features that do nothing; in-flight pulls by `pull`.
    fn log(pull: f32) -> Dataset {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        dataset(4_000, |row| {
            let mut draw = || random.random::<f32>();
            let (cost, residual, in_flight) = (draw() * 4.0, draw(), (draw() * 8.0).floor());
            row.ln_ms = 2.0 * cost - 0.5 * residual + pull * in_flight + 0.2 * (draw() - 0.5);
            features(&[
                (index::ROUTE_COST, if draw() < 0.02 { f32::NAN } else { cost }),
                (index::ENDPOINT_RESIDUAL, residual),
                (index::IN_FLIGHT, in_flight),
                (index::PRIORITY, 1.0),
                (index::THROUGHPUT, draw()),
            ])
        })
    }

    fn of(all: &[Steps], feature: usize) -> Option<&Steps> {
        all.iter().find(|steps| steps.feature == feature)
    }

    #[test]
    fn a_line_is_recovered_and_goes_on_beyond_the_range_and_ends() {
        let all = fit(&log(0.0), 0).unwrap();
        let cost = of(&all, index::ROUTE_COST).unwrap();
        let slope = (cost.value(3.5) - cost.value(0.5)) / 3.0;
        assert!((slope - 2.0).abs() < 0.35, "{slope}");
        let gain = cost.value(5.0) - cost.value(3.95);
        assert!(gain > 1.0, "one unit beyond the range is worth {gain}");
        assert_eq!(cost.value(9.0), cost.value(1e9));
        assert!(of(&all, index::ENDPOINT_RESIDUAL).is_some_and(|steps| steps.value(0.9) < steps.value(0.1)));
        assert!(of(&all, index::PRIORITY).is_none(), "a constant explains nothing");
        assert!(all.len() <= TERMS);
    }

    #[test]
    fn a_monotone_feature_never_starts_with_a_fall() {
        let falling = fit(&log(-0.3), 0).unwrap();
        assert!(of(&falling, index::IN_FLIGHT).is_none());
        let rising = fit(&log(0.3), 0).unwrap();
        let steps = of(&rising, index::IN_FLIGHT).unwrap();
        assert!(steps.lowest >= 0.0 && steps.steps.iter().all(|(_, step)| *step >= 0.0));
    }

    #[test]
    fn no_rows_and_constant_rows_have_no_start() {
        assert!(fit(&dataset(0, |_| features(&[])), 0).unwrap().is_empty());
        assert!(fit(&dataset(50, |_| features(&[(index::IN_FLIGHT, 1.0)])), 0).unwrap().is_empty());
    }
}
