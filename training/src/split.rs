//! The split by time: train, then calibration, then held-out test.
//!
//! Only by time. Features carry the recent past (decayed means, residuals), so a random split would put the
//! answer's neighbours on both sides and every model would look good; and what is asked of a model is the next
//! hour, not a random minute of the last. 70 / 15 / 15: the tail quantiles need most rows to fit, while the 99th
//! percentile needs some hundred rows to calibrate and as many to judge. Rows that arrive at the same
//! microsecond as the last row of a part belong to that part (the earlier one), so no instant is split.

use crate::dataset::Dataset;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Share of the rows that train.
pub const TRAIN_SHARE: f64 = 0.70;

/// Share of the rows that calibrate; the rest judges.
pub const CALIBRATION_SHARE: f64 = 0.15;

/// Rows and times of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Rows.
    pub rows: usize,
    /// First arrival, microseconds since the Unix epoch; 0 without rows.
    pub from_us: i64,
    /// Last arrival, microseconds since the Unix epoch; 0 without rows.
    pub until_us: i64,
}

/// The three parts, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitReport {
    /// What the model is fitted on.
    pub train: Slice,
    /// What it is calibrated on.
    pub calibration: Slice,
    /// What it is judged on.
    pub test: Slice,
}

/// The three parts.
#[derive(Debug, Clone)]
pub struct Split {
    /// What the model is fitted on.
    pub train: Dataset,
    /// What it is calibrated on.
    pub calibration: Dataset,
    /// What it is judged on.
    pub test: Dataset,
}

impl Split {
    /// Splits rows that are in order of arrival; a sample where the log that it is of is split.
    pub fn by_time(dataset: &Dataset) -> Self {
        let arrivals = dataset.arrivals_us();
        let until = |end_us: i64| arrivals.partition_point(|at| *at <= end_us);
        let of_log = dataset.ends_us.map(|[train, calibration]| (until(train), until(calibration)));
        let (first, second) = of_log.unwrap_or_else(|| boundaries(arrivals));
        let part = |rows: Range<usize>| dataset.take(&rows.collect::<Vec<_>>());
        Self { train: part(0..first), calibration: part(first..second), test: part(second..dataset.len()) }
    }

    /// Rows and times of the parts.
    pub fn report(&self) -> SplitReport {
        let slice = |part: &Dataset| Slice {
            rows: part.len(),
            from_us: part.arrivals_us().first().copied().unwrap_or(0),
            until_us: part.arrivals_us().last().copied().unwrap_or(0),
        };
        SplitReport { train: slice(&self.train), calibration: slice(&self.calibration), test: slice(&self.test) }
    }
}

/// First row of the calibration and of the test part.
pub(crate) fn boundaries(arrivals: &[i64]) -> (usize, usize) {
    let at = |share: f64| {
        let mut row = (arrivals.len() as f64 * share).round() as usize;
        while row > 0 && row < arrivals.len() && arrivals[row] == arrivals[row - 1] {
            row += 1;
        }
        row.min(arrivals.len())
    };
    (at(TRAIN_SHARE), at(TRAIN_SHARE + CALIBRATION_SHARE))
}

/// Numbers of at most `max` of `rows` rows, one drawn from each of `max` strata of equal count; ascending.
pub(crate) fn stratified(rows: usize, max: usize, seed: u64) -> Vec<usize> {
    if rows <= max {
        return (0..rows).collect();
    }
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    (0..max)
        .map(|stratum| {
            let start = (stratum as u128 * rows as u128 / max as u128) as usize;
            let end = ((stratum as u128 + 1) * rows as u128 / max as u128) as usize;
            random.random_range(start..end.max(start + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_on_a_boundary_go_to_the_earlier_part() {
        let mut arrivals: Vec<i64> = (0..100).collect();
        arrivals[70..74].fill(69);
        assert_eq!(boundaries(&arrivals), (74, 85));
        assert_eq!(boundaries(&[5; 40]), (40, 40), "one instant is never split");
        assert_eq!(boundaries(&[]), (0, 0));
    }

    proptest! {
        #[test]
        fn every_part_is_later_than_the_one_before(mut arrivals in prop::collection::vec(0i64..300, 0..400)) {
            arrivals.sort_unstable();
            let (first, second) = boundaries(&arrivals);
            prop_assert!(first <= second && second <= arrivals.len());
            for boundary in [first, second] {
                if boundary > 0 && boundary < arrivals.len() {
                    prop_assert!(arrivals[boundary - 1] < arrivals[boundary]);
                }
            }
        }

        #[test]
        fn a_sample_is_ascending_distinct_and_spread_over_all_strata(rows in 1usize..5_000, max in 1usize..600) {
            let sample = stratified(rows, max, 7);
            prop_assert_eq!(sample.len(), rows.min(max));
            prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(sample.iter().all(|row| *row < rows));
            let gap = rows.div_ceil(max) * 2;
            prop_assert!(sample.windows(2).all(|pair| pair[1] - pair[0] <= gap));
            prop_assert_eq!(sample, stratified(rows, max, 7));
        }
    }
}
