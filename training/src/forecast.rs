//! Quantile forecasts of a set of rows, and the loss that judges them.
//!
//! Everything here is in natural log of milliseconds: an error of 0.1 is ten percent, whether the request takes
//! a millisecond or a second. In milliseconds the slowest route would decide alone.

use tailcast_model::pinball;

/// Forecasts of several quantiles: one column a quantile.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    levels: Vec<f32>,
    values: Vec<Vec<f32>>,
}

impl Forecasts {
    /// Forecasts made column by column; `values[level][row]`.
    pub fn new(levels: &[f32], values: Vec<Vec<f32>>) -> Self {
        Self { levels: levels.to_vec(), values }
    }

    /// The same value at every level, to be shifted by offsets.
    pub fn repeated(levels: &[f32], values: &[f32]) -> Self {
        Self::new(levels, vec![values.to_vec(); levels.len()])
    }

    /// The quantile levels, ascending.
    pub fn levels(&self) -> &[f32] {
        &self.levels
    }

    /// All rows of one level.
    pub fn column(&self, level: usize) -> &[f32] {
        self.values.get(level).map_or(&[], Vec::as_slice)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `offset(level, row)` everywhere, then lifts each level to the one below it, so that none cross.
    pub fn shifted(&self, offset: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = self.values.clone();
        for (level, column) in values.iter_mut().enumerate() {
            column.iter_mut().enumerate().for_each(|(row, value)| *value += offset(level, row));
        }
        for level in 1..values.len() {
            let (below, above) = values.split_at_mut(level);
            for (value, floor) in above[0].iter_mut().zip(&below[level - 1]) {
                *value = value.max(*floor);
            }
        }
        Self::new(&self.levels, values)
    }
}

/// Mean pinball loss of one column; NaN without rows.
pub fn mean_pinball(level: f32, labels: &[f32], forecasts: &[f32]) -> f64 {
    let sum: f64 = labels.iter().zip(forecasts).map(|(label, forecast)| pinball(level, *label, *forecast)).sum();
    sum / labels.len().min(forecasts.len()) as f64
}

/// Share of labels at or below the forecast; NaN without rows.
pub fn coverage(labels: &[f32], forecasts: &[f32]) -> f64 {
    let covered = labels.iter().zip(forecasts).filter(|(label, forecast)| label <= forecast).count();
    covered as f64 / labels.len().min(forecasts.len()) as f64
}

/// The smallest value below or at which at least `level` of the weight lies; NaN without weight.
pub fn weighted_quantile(values: &mut [(f32, f64)], level: f64) -> f32 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in values.iter() {
        below += weight;
        if below >= level * total {
            return *value;
        }
    }
    values.last().map_or(f32::NAN, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn being_above_costs_the_level_and_being_below_the_rest() {
        assert!((pinball(0.9, 3.0, 1.0) - 1.8).abs() < 1e-6);
        assert!((pinball(0.9, 1.0, 3.0) - 0.2).abs() < 1e-6);
        assert_eq!(pinball(0.5, 2.0, 2.0), 0.0);
    }

    #[test]
    fn a_weighted_quantile_counts_weight_and_not_rows() {
        let mut values = vec![(3.0, 1.0), (1.0, 1.0), (2.0, 8.0)];
        assert_eq!(weighted_quantile(&mut values, 0.05), 1.0);
        assert_eq!(weighted_quantile(&mut values, 0.5), 2.0);
        assert_eq!(weighted_quantile(&mut values, 0.95), 3.0);
        assert!(weighted_quantile(&mut [], 0.5).is_nan());
    }

    proptest! {
        #[test]
        fn shifted_levels_never_cross(
            rows in prop::collection::vec(-3.0f32..3.0, 1..20), offsets in prop::collection::vec(-2.0f32..2.0, 3)
        ) {
            let shifted = Forecasts::repeated(&[0.5, 0.9, 0.99], &rows).shifted(|level, _| offsets[level]);
            for row in 0..rows.len() {
                prop_assert!(shifted.column(0)[row] <= shifted.column(1)[row]);
                prop_assert!(shifted.column(1)[row] <= shifted.column(2)[row]);
            }
        }

        #[test]
        fn the_empirical_quantile_minimises_the_pinball_loss(
            labels in prop::collection::vec(-3.0f32..3.0, 5..60), other in -3.0f32..3.0
        ) {
            let mut weighted: Vec<(f32, f64)> = labels.iter().map(|label| (*label, 1.0)).collect();
            let best = weighted_quantile(&mut weighted, f64::from(0.9f32));
            let loss = |value: f32| mean_pinball(0.9, &labels, &vec![value; labels.len()]);
            prop_assert!(loss(best) <= loss(other) + 1e-6);
        }
    }
}
