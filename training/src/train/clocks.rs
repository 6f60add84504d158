//! Features that only tell the time are hidden from the trees.
//!
//! In a log of an hour the time of day is a row number, and so is the age of an endpoint that was there all along: a
//! tree that splits on them remembers what happened at 10:42 and has nothing to say of 10:43, because it cannot go
//! beyond the values that it saw. Two rules: the time of day counts only where the log has seen it on several days,
//! and any feature most of whose latest values lie outside of the earlier ones is hidden. A hidden feature is
//! missing in every row, so no tree asks for it. Rejected: a list of such features (which they are depends on the
//! log: after a month the time of day is a fine feature).

use crate::dataset::Dataset;
use tailcast_features::index;

/// Days that a log needs before the time of day is more than a date: a Tuesday and a Wednesday could both be special.
const MIN_DAYS: i64 = 3;

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// Share of the latest values outside of the earlier range at which a feature is a clock.
const OUTSIDE_SHARE: f64 = 0.5;

/// The features to hide, ascending: those that the rows before `cut` can teach nothing of for the rows after.
pub(super) fn clocks(train: &Dataset, cut: usize) -> Vec<usize> {
    let arrivals = train.arrivals_us();
    let span = arrivals.last().zip(arrivals.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    let short = span < MIN_DAYS * DAY_US;
    let is_clock = |feature: &usize| {
        let of_day = *feature == index::DAY_SIN || *feature == index::DAY_COS;
        (of_day && short) || leaves_its_range(train.feature(*feature), cut)
    };
    (0..train.features.len()).filter(is_clock).collect()
}

/// True where most finite values from `cut` on lie outside of the range before it.
fn leaves_its_range(column: &[f32], cut: usize) -> bool {
    let (early, late) = column.split_at(cut.min(column.len()));
    let finite = |values: &[f32]| values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<f32>>();
    let (early, late) = (finite(early), finite(late));
    if early.is_empty() || late.is_empty() {
        return false;
    }
    let (low, high) = early.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let outside = late.iter().filter(|value| **value < low || **value > high).count();
    outside as f64 > OUTSIDE_SHARE * late.len() as f64
}

/// The rows with these features missing.
pub(super) fn hidden(mut rows: Dataset, features: &[usize]) -> Dataset {
    for feature in features {
        if let Some(column) = rows.features.get_mut(*feature) {
            column.fill(f32::NAN);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{dataset, features};

    fn log(step_us: i64) -> Dataset {
        let mut number = 0;
        dataset(200, |row| {
            row.arrival_us = number * step_us;
            number += 1;
            features(&[
                (index::DAY_SIN, (number as f32 * 0.1).sin()),
                (index::ENDPOINT_AGE, number as f32),
                (index::IN_FLIGHT, (number % 7) as f32),
            ])
        })
    }

    #[test]
    fn what_only_grows_is_a_clock_and_so_is_the_time_of_day_of_a_short_log() {
        assert_eq!(clocks(&log(1_000_000), 170), [index::DAY_SIN, index::DAY_COS, index::ENDPOINT_AGE]);
        assert_eq!(clocks(&log(DAY_US / 24), 170), [index::ENDPOINT_AGE], "eight days know their hours");
    }

    #[test]
    fn hidden_features_are_missing_in_every_row_and_the_others_stay() {
        let rows = hidden(log(1), &[index::ENDPOINT_AGE]);
        assert!(rows.feature(index::ENDPOINT_AGE).iter().all(|value| value.is_nan()));
        assert_eq!(rows.feature(index::IN_FLIGHT)[1], 2.0);
        assert!(clocks(&dataset(0, |_| features(&[])), 0).len() <= 2, "no rows, nothing to go by");
    }
}
