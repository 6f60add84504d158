//! What the log's own policies gave, to be set beside what is estimated of another one.
//!
//! Off-policy estimates and what was routed answer different questions (see [`super::MEANING`]): the first leaves the queues
//! as they were, the second has moved them. Where the log holds rows that a policy routed itself, both can be seen, and where they
//! are apart, the estimate is not what a deployment would give.
//!
//! Intervals are from batch means over time (Law & Kelton): requests that share a queue go together, and an interval that takes
//! them for independent would be too narrow by a factor of several.

use super::{Estimate, OpeReport};
use crate::dataset::Dataset;
use serde::{Deserialize, Serialize};

/// Batches of time, and the 97.5th percentile of Student's t with as many less one degrees of freedom.
const BATCHES: usize = 20;
const T_975: f64 = 2.093;

/// Rows below which a policy's own figures are not shown.
const MIN_ROWS: usize = 200;

/// What one policy's requests took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routed {
    /// The policy.
    pub policy: String,
    /// Its rows.
    pub rows: usize,
    /// Mean latency, milliseconds; a failed request costs at least the threshold.
    pub mean_ms: Estimate,
    /// Share of requests that failed or were over the threshold.
    pub over_ratio: Estimate,
}

/// Of each policy with rows enough, the largest first.
pub(super) fn routed(dataset: &Dataset, threshold_ms: f64) -> Vec<Routed> {
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); dataset.names().policies.len()];
    for (row, policy) in dataset.policy.iter().enumerate() {
        if let Some(rows) = rows_of.get_mut(*policy as usize) {
            rows.push(row);
        }
    }
    let mut found: Vec<Routed> = dataset
        .names()
        .policies
        .iter()
        .zip(rows_of)
        .filter(|(_, rows)| rows.len() >= MIN_ROWS)
        .map(|(policy, rows)| {
            let failed = |row: usize| dataset.outcome[row].is_endpoint_failure();
            let ms = |row: &usize| {
                let ms = f64::from(dataset.label[*row]).exp();
                if failed(*row) { ms.max(threshold_ms) } else { ms }
            };
            let over =
                |row: &usize| f64::from(u8::from(failed(*row) || f64::from(dataset.label[*row]).exp() > threshold_ms));
            Routed {
                policy: policy.to_owned(),
                rows: rows.len(),
                mean_ms: batch_means(&rows.iter().map(ms).collect::<Vec<_>>()),
                over_ratio: batch_means(&rows.iter().map(over).collect::<Vec<_>>()),
            }
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.rows));
    found
}

/// The mean of a series in order of time.
fn batch_means(values: &[f64]) -> Estimate {
    let n = values.len().max(1) as f64;
    let value = values.iter().sum::<f64>() / n;
    let means: Vec<f64> = values
        .chunks(values.len().div_ceil(BATCHES).max(1))
        .map(|batch| batch.iter().sum::<f64>() / batch.len() as f64)
        .collect();
    let count = means.len() as f64;
    let between = means.iter().map(|mean| (mean - value).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let half = T_975 * (between / count).sqrt();
    Estimate { value, low: value - half, high: value + half }
}

/// In words, whether the estimate of the model's rule and what `predictive` gave in the same log are apart.
pub(super) fn beside(model: &OpeReport, routed: &[Routed]) -> Option<String> {
    let live = routed.iter().find(|one| one.policy == "predictive")?;
    let (estimated, seen) = (model.mean_ms_dr, live.mean_ms);
    let figures = format!(
        "doubly robust {:.1} ms [{:.1}, {:.1}], as routed by `predictive` {:.1} ms [{:.1}, {:.1}]",
        estimated.value, estimated.low, estimated.high, seen.value, seen.low, seen.high
    );
    let apart = estimated.low > seen.high || seen.low > estimated.high;
    Some(match (apart, seen.value < estimated.value) {
        (false, _) => format!("off-policy and live agree: {figures}"),
        (true, true) => {
            format!(
                "off-policy and live disagree: {figures}; deployed, the policy also shortens the queues, which the estimate leaves as they were"
            )
        }
        (true, false) => {
            format!(
                "off-policy and live disagree: {figures}; deployed, the policy does worse than one request at a time promises: it crowds what it prefers, or another model routed"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_differ_widen_the_interval_and_equal_ones_leave_none() {
        let constant = batch_means(&[3.0; 100]);
        assert_eq!((constant.value, constant.low, constant.high), (3.0, 3.0, 3.0));
        // The same numbers, shuffled through time and gathered in its halves.
        let mixed: Vec<f64> = (0..200).map(|row| f64::from(row % 2)).collect();
        let halves: Vec<f64> = (0..200).map(|row| f64::from(u8::from(row >= 100))).collect();
        let width = |values: &[f64]| batch_means(values).high - batch_means(values).low;
        assert!(width(&mixed) < 1e-9 && width(&halves) > 0.4, "{} {}", width(&mixed), width(&halves));
        assert_eq!(batch_means(&[]).value, 0.0);
    }
}
