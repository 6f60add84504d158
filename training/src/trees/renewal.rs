//! Leaf values: the quantile of the residuals of all rows in the leaf, shrunk where the evidence is thin.
//!
//! The step of a leaf for quantile `q` is the weighted `q`-quantile of `y − f` over its rows, times the learning rate,
//! times `n/(n + λ)` with the effective count `n = 4·q·(1 − q)·W`: all of the weight for the median, a twenty-fifth of
//! it for the 99th percentile, which a few rows decide.
//!
//! Censored rows enter by the product-limit estimate (Kaplan & Meier 1958): each hands its weight to the rows above
//! its bound, which is sound also for rows whose forecast already exceeds the bound; dropping those would bias the
//! tail downward. Where the bounds leave the quantile open, it is known only to be at or above the last residual: the
//! leaf then steps up to there, but never down.

use super::binned::Binned;
use super::gradient::Units;
use rayon::prelude::*;

/// f32 levels such as 0.99 lie a little above their decimal: without this slack 100 rows would ask for the 101st.
const SLACK: f64 = 1e-6;

/// Marks a censored row in a packed residual; below it is the weight in units, above it the residual.
const CENSORED: u64 = 1 << 31;

/// What a leaf's step is made of.
#[derive(Debug)]
pub(super) struct Renewal<'a> {
    pub(super) rows: &'a Binned,
    pub(super) units: &'a Units,
    pub(super) quantiles: &'a [f32],
    pub(super) learning_rate: f32,
    pub(super) l2: f64,
    /// Whether any row is censored: most logs have none, and then no leaf has to look.
    pub(super) any_censored: bool,
}

/// Values of the leaves of a tree.
#[derive(Debug, Clone)]
pub(super) struct Leaves {
    /// `[leaf][quantile]`.
    pub(super) values: Vec<f32>,
    /// Weight of each leaf in units.
    pub(super) weights: Vec<f64>,
}

impl Renewal<'_> {
    /// Steps of `count` leaves; `leaf_of[row]` is the leaf of a row, `forecasts[quantile][row]` its forecast.
    pub(super) fn leaves(&self, leaf_of: &[u8], count: usize, forecasts: &[Vec<f32>]) -> Leaves {
        let (rows, ends) = by_leaf(leaf_of, count);
        let steps: Vec<(Vec<f32>, f64)> = (0..count)
            .into_par_iter()
            .map(|leaf| {
                let start = if leaf == 0 { 0 } else { ends[leaf - 1] };
                self.leaf(&rows[start..ends[leaf]], forecasts)
            })
            .collect();
        let weights = steps.iter().map(|(_, weight)| *weight).collect();
        Leaves { values: steps.into_iter().flat_map(|(values, _)| values).collect(), weights }
    }

    fn leaf(&self, rows: &[u32], forecasts: &[Vec<f32>]) -> (Vec<f32>, f64) {
        let units: f64 = if self.units.uniform {
            self.units.of_row.first().map_or(0.0, |unit| f64::from(*unit) * rows.len() as f64)
        } else {
            rows.iter().map(|row| f64::from(self.units.of_row[*row as usize])).sum()
        };
        let plain = self.units.uniform && !(self.any_censored && self.has_censored(rows));
        let (mut keys, mut packed) = (Vec::new(), Vec::new());
        let step = |(quantile, forecasts): (&f32, &Vec<f32>)| {
            let q = f64::from(*quantile);
            let residual = if plain {
                keys.clear();
                keys.extend(rows.iter().map(|row| key(self.rows.labels[*row as usize] - forecasts[*row as usize])));
                plain_quantile(&mut keys, q)
            } else {
                packed.clear();
                packed.extend(rows.iter().map(|row| self.pack(*row as usize, forecasts)));
                quantile_of(&mut packed, q).map(|found| found.unwrap_or_else(|last| last.max(0.0)))
            };
            let count = 4.0 * q * (1.0 - q) * units * self.units.unit;
            let shrunk = if count > 0.0 { count / (count + self.l2) } else { 0.0 };
            residual.map_or(0.0, |residual| (f64::from(residual) * shrunk) as f32 * self.learning_rate)
        };
        (self.quantiles.iter().zip(forecasts).map(step).collect(), units)
    }

    fn has_censored(&self, rows: &[u32]) -> bool {
        rows.iter().any(|row| self.rows.censored[*row as usize])
    }

    fn pack(&self, row: usize, forecasts: &[f32]) -> u64 {
        pack(self.rows.labels[row] - forecasts[row], self.units.of_row[row], self.rows.censored[row])
    }
}

/// The start values: weighted quantiles of what the step functions, `start[row]`, leave of the labels.
pub(super) fn start_values(rows: &Binned, units: &Units, quantiles: &[f32], start: &[f32]) -> Vec<f32> {
    let of_row = |row: usize| pack(rows.labels[row] - start[row], units.of_row[row], rows.censored[row]);
    let mut packed: Vec<u64> = (0..rows.len()).map(of_row).collect();
    let value = |quantile: &f32| match quantile_of(&mut packed, f64::from(*quantile)) {
        Some(Ok(value) | Err(value)) => value,
        None => 0.0,
    };
    quantiles.iter().map(value).collect()
}

/// The rows of each leaf, leaf by leaf, and where each ends.
fn by_leaf(leaf_of: &[u8], count: usize) -> (Vec<u32>, Vec<usize>) {
    let mut ends = vec![0usize; count];
    for leaf in leaf_of {
        ends[usize::from(*leaf)] += 1;
    }
    let mut sum = 0;
    // Starts first: they move to the ends while rows are filled in.
    for end in &mut ends {
        (*end, sum) = (sum, sum + *end);
    }
    let mut rows = vec![0u32; leaf_of.len()];
    for (row, leaf) in leaf_of.iter().enumerate() {
        let next = &mut ends[usize::from(*leaf)];
        rows[*next] = row as u32;
        *next += 1;
    }
    (rows, ends)
}

/// A number that sorts as the residual does; selecting among integers is twice as fast as among floats.
fn key(residual: f32) -> u32 {
    let bits = residual.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn of_key(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Residual, censored or not, and weight in one number that sorts by residual, certain rows before censored ones.
fn pack(residual: f32, units: u32, censored: bool) -> u64 {
    u64::from(key(residual)) << 32 | if censored { CENSORED } else { 0 } | u64::from(units)
}

fn residual_of(packed: u64) -> f32 {
    of_key((packed >> 32) as u32)
}

/// The quantile where all rows weigh the same and none is censored.
fn plain_quantile(keys: &mut [u32], q: f64) -> Option<f32> {
    let rank = (q * keys.len() as f64 - SLACK).ceil() as usize;
    let at = rank.clamp(1, keys.len().max(1)) - 1;
    (at < keys.len()).then(|| of_key(*keys.select_nth_unstable(at).1))
}

/// The quantile by the product-limit estimate; `Err` with the last value where censored rows leave it open; `None`
/// without rows.
fn quantile_of(packed: &mut [u64], q: f64) -> Option<Result<f32, f32>> {
    packed.sort_unstable();
    let weight = |packed: u64| (packed & (CENSORED - 1)) as f64;
    let mut at_risk: f64 = packed.iter().map(|packed| weight(*packed)).sum();
    let mut surviving = 1.0;
    for packed in packed.iter() {
        let own = weight(*packed);
        if packed & CENSORED == 0 {
            surviving *= ((at_risk - own) / at_risk).max(0.0);
            if 1.0 - surviving >= q - SLACK {
                return Some(Ok(residual_of(*packed)));
            }
        }
        at_risk -= own;
    }
    packed.last().map(|last| Err(residual_of(*last)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packed_residuals_sort_like_numbers() {
        let values = [f32::MIN, -2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0, f32::MAX];
        let packed = values.map(|value| pack(value, 7, false));
        assert!(packed.is_sorted());
        assert_eq!(packed.map(residual_of).map(f32::to_bits), values.map(f32::to_bits));
        assert!(pack(1.0, 9, false) < pack(1.0, 1, true));
    }

    #[test]
    fn without_censoring_the_estimate_is_the_weighted_quantile() {
        let mut packed: Vec<u64> = (1..=100).rev().map(|i| pack(i as f32, 3, false)).collect();
        for (q, expected) in [(0.5f32, 50.0), (0.95, 95.0), (0.99, 99.0), (0.999, 100.0)] {
            assert_eq!(quantile_of(&mut packed, f64::from(q)), Some(Ok(expected)));
            let mut keys: Vec<u32> = (1..=100).map(|i| key(i as f32)).collect();
            assert_eq!(plain_quantile(&mut keys, f64::from(q)), Some(expected));
        }
        let mut weighted = vec![pack(1.0, 1, false), pack(2.0, 8, false), pack(3.0, 1, false)];
        assert_eq!(quantile_of(&mut weighted, 0.5), Some(Ok(2.0)));
        assert_eq!(quantile_of(&mut [], 0.5), None);
        assert_eq!(plain_quantile(&mut [], 0.5), None);
    }

    #[test]
    fn a_censored_row_hands_its_weight_to_the_rows_above() {
        // Kaplan-Meier by hand: survival 4/5 after 1, then 3 at risk: 8/15 after 3, 4/15 after 4, 0 after 5.
        let mut packed =
            [(1.0, false), (2.0, true), (3.0, false), (4.0, false), (5.0, false)].map(|(r, c)| pack(r, 2, c));
        assert_eq!(quantile_of(&mut packed, 0.2), Some(Ok(1.0)));
        assert_eq!(quantile_of(&mut packed, 0.45), Some(Ok(3.0)));
        assert_eq!(quantile_of(&mut packed, 0.5), Some(Ok(4.0)));
        let mut open = [pack(1.0, 1, false), pack(7.0, 1, true)];
        assert_eq!(quantile_of(&mut open, 0.9), Some(Err(7.0)));
    }

    #[test]
    fn rows_are_grouped_by_leaf_in_order() {
        assert_eq!(by_leaf(&[2, 0, 2, 0], 4), (vec![1, 3, 0, 2], vec![2, 2, 4, 4]));
    }

    proptest! {
        #[test]
        fn censoring_never_lowers_the_estimate(
            rows in prop::collection::vec((-5.0f32..5.0, any::<bool>()), 1..60), q in 0.05f64..0.95
        ) {
            let value = |censor: bool| {
                let mut packed: Vec<u64> = rows.iter().map(|(r, c)| pack(*r, 1, censor && *c)).collect();
                quantile_of(&mut packed, q).unwrap().unwrap_or_else(|last| last)
            };
            prop_assert!(value(true) >= value(false));
        }
    }
}
