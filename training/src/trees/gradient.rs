//! The pinball gradient of a row, as integers that a histogram can add and subtract exactly.
//!
//! The gradient of quantile `q` is `w·(q − 1{y < f})`. Summed over rows it is `q·W − C`, where `W` is the weight and
//! `C` the weight of the rows below their forecast: so a histogram cell holds `W` and one `C` for each quantile. A
//! censored row (`y` is a lower bound) has its gradient `w·q` while the forecast is below the bound, and zero above
//! it, since nothing then says on which side the truth lies: it adds `q·w` to `C`.
//!
//! Weights become integers of at most [`UNITS`], so sums are exact: subtraction of histograms does not drift, and
//! the result does not depend on the order of additions. Rejected: f64 sums (twice the memory traffic).

use super::binned::Binned;
use rayon::prelude::*;

/// The largest weight in units: relative weights are kept to a thousandth, and a million rows fit a u32.
const UNITS: f64 = 1024.0;

/// Units that all rows may sum to: a u32 with a bit to spare.
const MAX_TOTAL_UNITS: f64 = (1u64 << 31) as f64;

/// Weight, and the weight below the forecast of each quantile. `L` is at least one more than there are quantiles.
pub(super) type Cell<const L: usize> = [u32; L];

/// Row weights as integers.
#[derive(Debug)]
pub(super) struct Units {
    /// Weight of each row, in units; at least 1.
    pub(super) of_row: Vec<u32>,
    /// Weight of a unit.
    pub(super) unit: f64,
    /// True where all rows weigh the same.
    pub(super) uniform: bool,
}

impl Units {
    pub(super) fn new(weights: &[f32]) -> Self {
        let largest = weights.iter().fold(0.0f64, |most, weight| most.max(f64::from(*weight)));
        let units = UNITS.min((MAX_TOTAL_UNITS / weights.len().max(1) as f64).floor()).max(1.0);
        let unit = if largest > 0.0 { largest / units } else { 1.0 };
        let of_row: Vec<u32> =
            weights.iter().map(|weight| (f64::from(*weight) / unit).round().max(1.0) as u32).collect();
        let uniform = of_row.windows(2).all(|pair| pair[0] == pair[1]);
        Self { of_row, unit, uniform }
    }
}

/// The cells of the rows of a sample, in its order, under the forecasts so far, `forecasts[quantile][row]`.
pub(super) fn encode<const L: usize>(
    rows: &Binned,
    units: &Units,
    quantiles: &[f32],
    forecasts: &[Vec<f32>],
    sample: &[u32],
    cells: &mut Vec<Cell<L>>,
) {
    cells.clear();
    cells.resize(sample.len(), [0; L]);
    cells.par_iter_mut().zip(sample).for_each(|(cell, row)| {
        let row = *row as usize;
        let (weight, label) = (units.of_row[row], rows.labels[row]);
        cell[0] = weight;
        for ((below, quantile), forecast) in cell[1..].iter_mut().zip(quantiles).zip(forecasts) {
            let forecast = forecast[row];
            *below = if rows.censored[row] {
                if label <= forecast { (weight as f32 * quantile).round() as u32 } else { 0 }
            } else {
                u32::from(label < forecast) * weight
            };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(labels: &[f32], censored: &[bool], weights: &[f32]) -> Binned {
        Binned { columns: vec![], labels: labels.to_vec(), weights: weights.to_vec(), censored: censored.to_vec() }
    }

    /// `q·W − C` of a cell, in weight.
    fn gradient(cell: &Cell<4>, quantile: f32, at: usize, unit: f64) -> f64 {
        (f64::from(quantile) * f64::from(cell[0]) - f64::from(cell[at])) * unit
    }

    #[test]
    fn gradients_are_those_of_the_pinball_loss_and_zero_above_a_bound() {
        let rows = rows(&[1.0, 1.0, 1.0], &[false, false, true], &[2.0, 1.0, 1.0]);
        let units = Units::new(&rows.weights);
        assert!(!units.uniform);
        let mut cells: Vec<Cell<4>> = Vec::new();
        for (forecast, expected) in [(0.0, [1.8, 0.9, 0.9]), (2.0, [-0.2, -0.1, 0.0])] {
            encode(&rows, &units, &[0.9], &[vec![forecast; 3]], &[0, 1, 2], &mut cells);
            for (cell, expected) in cells.iter().zip(expected) {
                assert!((gradient(cell, 0.9, 1, units.unit) - expected).abs() < 2e-3, "{cell:?}");
            }
        }
    }

    #[test]
    fn the_sum_of_all_units_fits_and_small_weights_do_not_vanish() {
        let units = Units::new(&[1.0, 1e-9]);
        assert_eq!(units.of_row, [1024, 1]);
        let many = Units::new(&vec![1.0; 5_000_000]);
        assert!(many.uniform);
        assert!(many.of_row.iter().map(|unit| u64::from(*unit)).sum::<u64>() <= 1 << 31);
    }
}
