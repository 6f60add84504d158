//! A bounded sample that keeps what is rare: strata of tenant × endpoint × load, and weights that put them right again.
//!
//! A log of ten million rows is mostly two tenants at noon. Each stratum of `n` rows gives the square root's share of
//! the sample, at least [`FLOOR`] rows and at most all of them (power allocation, Bankier 1988); a row of it then weighs
//! `n/m`, its inverse probability, so that a weighted sum over the sample is, in the mean, the sum over the log
//! (Horvitz & Thompson 1952). Weights are scaled to a mean of one. Within a stratum time is cut into as many parts as
//! rows are taken, and each gives one, so that every hour keeps its share.
//!
//! Only what knows weights may be fitted on it, which is the trees. Rejected: the same number of each stratum (weights
//! would differ by thousands, and the common traffic would be known by a few rows), and sampling by label.

use crate::split::{boundaries, stratified};
use std::collections::HashMap;

/// Rows of a stratum that are kept in any case: enough to place its median.
const FLOOR: usize = 30;

/// Tenant, endpoint and load level of a row.
pub(crate) type Stratum = (u32, u32, u8);

/// Which rows of a log are learned from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Numbers of the rows, in order of arrival.
    pub(crate) rows: Vec<usize>,
    /// Inverse probability of each to be among them, scaled to a mean of one over the train part; one in the others,
    /// which are drawn evenly.
    pub(crate) weights: Vec<f32>,
    /// Arrivals of the last row of the train and of the calibration part, microseconds since the Unix epoch.
    pub(crate) ends_us: [i64; 2],
}

/// Plans a sample of about `max` rows. `order` is the rows in order of arrival, `strata` that of each row by number.
pub(crate) fn plan(arrivals: &[i64], order: &[u32], strata: &[Stratum], max: usize, seed: u64) -> Plan {
    let sorted: Vec<i64> = order.iter().map(|row| arrivals[*row as usize]).collect();
    let (first, second) = boundaries(&sorted);
    let end = |boundary: usize| boundary.checked_sub(1).map_or(i64::MIN, |last| sorted[last]);
    let share = |rows: usize| ((rows as f64 / order.len().max(1) as f64) * max as f64) as usize;
    let mut rows = Vec::with_capacity(max);
    let mut weights = Vec::with_capacity(max);
    let train: Vec<Stratum> = order[..first].iter().map(|row| strata[*row as usize]).collect();
    for (at, weight) in balanced(&train, share(first), seed) {
        rows.push(order[at] as usize);
        weights.push(weight);
    }
    for part in [first..second, second..order.len()] {
        let chosen = stratified(part.len(), share(part.len()), seed);
        rows.extend(chosen.into_iter().map(|at| order[part.start + at] as usize));
    }
    weights.resize(rows.len(), 1.0);
    Plan { rows, weights, ends_us: [end(first), end(second)] }
}

/// At most about `max` of the rows of these strata, ascending, each with its weight.
fn balanced(strata: &[Stratum], max: usize, seed: u64) -> Vec<(usize, f32)> {
    let all = strata.len();
    if all <= max {
        return (0..all).map(|row| (row, 1.0)).collect();
    }
    let mut of: HashMap<Stratum, Vec<u32>> = HashMap::new();
    for (row, stratum) in strata.iter().enumerate() {
        of.entry(*stratum).or_default().push(row as u32);
    }
    let mut of: Vec<(Stratum, Vec<u32>)> = of.into_iter().collect();
    of.sort_unstable_by_key(|(stratum, _)| *stratum);
    let sizes: Vec<usize> = of.iter().map(|(_, rows)| rows.len()).collect();
    let mut taken: Vec<(usize, f32)> = Vec::with_capacity(max);
    for ((number, (_, rows)), count) in (0u64..).zip(&of).zip(allocation(&sizes, max)) {
        let weight = rows.len() as f32 / count.max(1) as f32;
        let chosen = stratified(rows.len(), count, seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        taken.extend(chosen.into_iter().map(|at| (rows[at] as usize, weight)));
    }
    taken.sort_unstable_by_key(|(row, _)| *row);
    let mean = all as f32 / taken.len().max(1) as f32;
    taken.iter_mut().for_each(|(_, weight)| *weight /= mean);
    taken
}

/// Load level: none, 1, 2–3, 4–7 … requests in flight; its own level where nothing is known.
pub(crate) fn load(in_flight: f32) -> u8 {
    if in_flight.is_nan() { u8::MAX } else { (in_flight.max(0.0) + 1.0).log2().min(30.0) as u8 }
}

/// Rows of each stratum: in proportion to the root of its size, but at least the floor and at most all.
fn allocation(sizes: &[usize], max: usize) -> Vec<usize> {
    // With more strata than the sample has floors the floor must give way.
    let floor = FLOOR.min((max / sizes.len().max(1)).max(1));
    let rows =
        |scale: f64| sizes.iter().map(move |size| (((*size as f64).sqrt() * scale) as usize).max(floor).min(*size));
    // The sum rises with the scale, so the right scale is found by halving.
    let (mut low, mut high) = (0.0f64, sizes.iter().map(|size| (*size as f64).sqrt()).fold(1.0, f64::max));
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if rows(middle).sum::<usize>() > max { high = middle } else { low = middle }
    }
    rows(low).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    /// One row in a hundred is of tenant 1, one in fifty under load; its value follows from the tenant and the row.
    fn strata(rows: usize) -> (Vec<Stratum>, Vec<f64>) {
        let stratum = |row: usize| (u32::from(row % 100 == 99), 0, if row.is_multiple_of(50) { 5 } else { 1 });
        let value = |row: usize| (row % 97) as f64 + if row % 100 == 99 { 50.0 } else { 0.0 };
        ((0..rows).map(stratum).collect(), (0..rows).map(value).collect())
    }

    #[test]
    fn the_rare_are_kept_and_the_weights_put_the_sums_right() {
        let (strata, values) = strata(50_000);
        let sample = balanced(&strata, 5_000, 1);
        assert!((4_900..=5_000).contains(&sample.len()), "{}", sample.len());
        assert!(sample.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let rare = sample.iter().filter(|(row, _)| strata[*row].0 == 1).count();
        assert!(rare > 350, "{rare} of the 500 rows of the rare tenant, where chance would take 50");
        let truth = values.iter().sum::<f64>() / 50_000.0;
        let weight: f64 = sample.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let found = sample.iter().map(|(row, weight)| values[*row] * f64::from(*weight)).sum::<f64>() / weight;
        assert!((found / truth - 1.0).abs() < 0.01, "{found} {truth}");
        assert!((weight / sample.len() as f64 - 1.0).abs() < 1e-3);
        assert_eq!(sample, balanced(&strata, 5_000, 1));
    }

    #[test]
    fn a_small_log_is_taken_whole_and_many_strata_share_what_there_is() {
        assert_eq!(balanced(&strata(300).0, 300, 1), (0..300).map(|row| (row, 1.0)).collect::<Vec<_>>());
        assert_eq!(allocation(&[1_000; 50], 100), [2; 50]);
        let rows = allocation(&[10, 10_000, 40_000], 3_040);
        assert!(rows[0] == 10 && rows[1].abs_diff(1_010) <= 1 && rows[2].abs_diff(2_020) <= 1, "{rows:?}");
    }

    #[test]
    fn a_plan_is_in_order_of_arrival_and_keeps_the_parts_of_the_whole_log() {
        let arrivals: Vec<i64> = (0..10_000).map(|row| (row * 7_919) % 10_000).collect();
        let order = crate::checks::by_arrival(&arrivals);
        let plan = plan(&arrivals, &order, &strata(10_000).0, 1_000, 1);
        let times: Vec<i64> = plan.rows.iter().map(|row| arrivals[*row]).collect();
        assert!(times.is_sorted() && plan.ends_us == [6_999, 8_499]);
        let train = times.iter().filter(|at| **at <= 6_999).count();
        assert!((680..=700).contains(&train) && plan.weights[train..].iter().all(|weight| *weight == 1.0));
        assert_eq!(times.len() - train, 300);
    }
}
