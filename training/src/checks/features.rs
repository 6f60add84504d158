//! Checks on the features of a row, all in one walk over each column: infinities, values outside of what the unit
//! allows, and how many are missing.

use super::Check;
use crate::error::TrainError;
use polars::prelude::*;
use rayon::prelude::*;
use std::ops::RangeInclusive;
use tailcast_features::FEATURES;
use tailcast_features::log::column;
use tailcast_features::schema::FeatureSpec;

/// What the columns hold.
pub(super) struct Found {
    /// The checks, in the order in which they run.
    pub(super) checks: [Check; 2],
    /// Share of missing values of each feature.
    pub(super) missing: Vec<(String, f64)>,
}

/// Walks over all features.
pub(super) fn walk(frame: &DataFrame) -> Result<Found, TrainError> {
    let columns: Vec<&[f32]> = FEATURES
        .iter()
        .map(|feature| {
            let name = format!("{}{}", column::FEATURE_PREFIX, feature.name);
            Ok(frame.column(&name)?.f32()?.cont_slice()?)
        })
        .collect::<Result<_, TrainError>>()?;
    let height = frame.height();
    let of_feature = |(feature, values): (&FeatureSpec, &&[f32])| {
        let range = range_of(feature);
        // Nearly all columns are sound: one quick walk says so, and only a bad one is walked again.
        let missing = values.iter().filter(|value| value.is_nan()).count();
        let sound = values.iter().filter(|value| range.contains(value)).count();
        let bad: Vec<usize> = if missing + sound == values.len() {
            Vec::new()
        } else {
            (0..values.len()).filter(|row| !(values[*row].is_nan() || range.contains(&values[*row]))).collect()
        };
        (missing, bad)
    };
    let walked: Vec<(usize, Vec<usize>)> = FEATURES.par_iter().zip(&columns).map(of_feature).collect();
    let (mut infinite, mut outside) = (vec![false; height], vec![false; height]);
    let mut named = Vec::new();
    for ((feature, values), (_, bad)) in FEATURES.iter().zip(&columns).zip(&walked) {
        for row in bad {
            if values[*row].is_infinite() { infinite[*row] = true } else { outside[*row] = true }
        }
        if bad.iter().any(|row| values[*row].is_finite()) {
            named.push(feature.name);
        }
    }
    let missing = FEATURES
        .iter()
        .zip(&walked)
        .map(|(feature, (missing, _))| (feature.name.to_owned(), *missing as f64 / height.max(1) as f64));
    let outside_reason = format!("a feature is outside of what its unit allows: {}", named.join(", "));
    Ok(Found {
        checks: [
            Check {
                name: "infinite_feature",
                reason: "a feature is infinite; missing is NaN".to_owned(),
                fails: infinite,
            },
            Check { name: "feature_range", reason: outside_reason, fails: outside },
        ],
        missing: missing.collect(),
    })
}

/// What a unit allows. The ends are far beyond any traffic: outside of them a column was misread, or a counter ran over.
fn range_of(feature: &FeatureSpec) -> RangeInclusive<f32> {
    match feature.unit {
        "flag" => 0.0..=1.0,
        // From a nanosecond to a year.
        "ln_ms" => -14.0..=25.0,
        "ln_ratio" => -30.0..=30.0,
        // Sine and cosine of the day are ratios, and an endpoint may be asked for more than all of its capacity.
        "ratio" => -1.0..=1e4,
        unit if unit.starts_with("ln1p") => 0.0..=45.0,
        _ => 0.0..=1e9,
    }
}
