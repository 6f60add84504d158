//! The probability that the endpoint fails the request: logistic regression (linfa) over a few signals.
//!
//! The forest forecasts the latency of answers that work; an endpoint that refuses quickly would be the best of
//! all without this head. A handful of signals, because failures are rare: with hundreds of rows of the rare
//! class a tree would learn the accidents of one outage. Below [`MIN_FAILURES`] failures, or where the solver
//! fails or ends worse than a constant, the head is the constant rate, and says so.

use crate::dataset::Dataset;
use crate::split::stratified;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use tailcast_features::{FEATURES, OutcomeKind, index};

/// The signals: recent failures, load, age of the oldest request, recent slowness.
pub const SIGNALS: [usize; 5] = [
    index::ERROR_RATE,
    index::IN_FLIGHT,
    index::OLDEST_IN_FLIGHT,
    index::ENDPOINT_RESIDUAL_FAST,
    index::POOL_IN_FLIGHT,
];

/// Failures below which coefficients would be noise: about four a signal.
pub const MIN_FAILURES: usize = 20;

/// Rows that are fitted at most; six coefficients need no more.
const MAX_ROWS: usize = 100_000;

/// L2 penalty on standardised signals: one pseudo-request, so that separable data still has a solution.
const PENALTY: f64 = 1.0;

/// Iterations of L-BFGS; six coefficients converge in a few dozen.
const ITERATIONS: u64 = 200;

/// `p = 1 / (1 + exp(−(intercept + Σ weight·(x − mean)/scale)))`, a missing `x` counting as its mean.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorHead {
    /// Feature indices, weights, means and scales.
    pub terms: Vec<Term>,
    /// Log-odds where every signal is at its mean.
    pub intercept: f32,
}

/// One signal of the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Index into the feature row.
    pub feature: usize,
    /// Log-odds a standard deviation.
    pub weight: f32,
    /// Mean of the signal, and what a missing value counts as.
    pub mean: f32,
    /// Standard deviation of the signal.
    pub scale: f32,
}

/// How the head came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorHeadReport {
    /// Rows of answers and failures.
    pub rows: usize,
    /// Failures of endpoints among them.
    pub failures: usize,
    /// True where the head is the constant rate.
    pub constant: bool,
    /// Weights by feature name.
    pub weights: Vec<(String, f32)>,
    /// In words.
    pub note: String,
}

impl ErrorHead {
    /// Probability of failure of a feature row.
    pub fn probability(&self, row: &[f32]) -> f32 {
        let sum = self.terms.iter().fold(self.intercept, |sum, term| {
            let value = row.get(term.feature).copied().filter(|value| value.is_finite());
            sum + value.map_or(0.0, |value| term.weight * ((value - term.mean) / term.scale))
        });
        1.0 / (1.0 + (-sum).exp())
    }

    /// Fits the train slice, errors included, and keeps the fit only where its log loss on `judge`, a later slice,
    /// is below that of the constant rate. It never fails: the constant rate is always there.
    pub fn fit(train: &Dataset, judge: &Dataset, seed: u64) -> (Self, ErrorHeadReport) {
        let rows = answered(train);
        let failed = |row: &usize| train.outcome[*row].is_endpoint_failure();
        let failures = rows.iter().filter(|row| failed(row)).count();
        let constant = constant(failures, rows.len());
        let report = |head: &Self, note: String| ErrorHeadReport {
            rows: rows.len(),
            failures,
            constant: head.terms.is_empty(),
            weights: head.terms.iter().map(|term| (FEATURES[term.feature].name.to_owned(), term.weight)).collect(),
            note,
        };
        if failures < MIN_FAILURES || rows.len() - failures < MIN_FAILURES {
            let note =
                format!("constant rate: {failures} failures in {} rows, {MIN_FAILURES} of each needed", rows.len());
            return (constant.clone(), report(&constant, note));
        }
        let picked: Vec<usize> = stratified(rows.len(), MAX_ROWS, seed).into_iter().map(|i| rows[i]).collect();
        let labels: Vec<bool> = picked.iter().map(failed).collect();
        match logistic(train, &picked, &labels) {
            Ok(head) if log_loss(&head, judge) < log_loss(&constant, judge) => {
                let note = format!("logistic over {} signals", head.terms.len());
                let report = report(&head, note);
                (head, report)
            }
            Ok(_) => {
                let report =
                    report(&constant, "constant rate: the logistic fit was no better on a later slice".to_owned());
                (constant, report)
            }
            Err(reason) => {
                let report = report(&constant, format!("constant rate: the logistic fit failed: {reason}"));
                (constant, report)
            }
        }
    }
}

/// The rows that say something of the endpoint: a client that went away says nothing.
fn answered(dataset: &Dataset) -> Vec<usize> {
    (0..dataset.len()).filter(|row| dataset.outcome[*row] != OutcomeKind::ClientAbort).collect()
}

/// The rate with half a failure added to either side, so that zero failures are rare and not impossible.
fn constant(failures: usize, rows: usize) -> ErrorHead {
    let rate = (failures as f32 + 0.5) / (rows as f32 + 1.0);
    ErrorHead { terms: Vec::new(), intercept: (rate / (1.0 - rate)).ln() }
}

fn logistic(train: &Dataset, rows: &[usize], labels: &[bool]) -> Result<ErrorHead, String> {
    let scales: Vec<(f64, f64)> = SIGNALS.iter().map(|feature| scale(train.feature(*feature), rows)).collect();
    let records = Array2::from_shape_fn((rows.len(), SIGNALS.len()), |(row, signal)| {
        let (mean, spread) = scales[signal];
        let value = f64::from(train.features[SIGNALS[signal]][rows[row]]);
        if value.is_finite() && spread > 1e-9 { (value - mean) / spread } else { 0.0 }
    });
    let targets = Array1::from_iter(labels.iter().copied());
    let model = LogisticRegression::default()
        .alpha(PENALTY)
        .max_iterations(ITERATIONS)
        .fit(&linfa::Dataset::new(records, targets))
        .map_err(|error| error.to_string())?;
    // linfa calls the larger of the two classes positive; `true` is, but a silent change would turn the head round.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    let terms = SIGNALS
        .iter()
        .zip(&scales)
        .zip(model.params())
        .filter(|((_, (_, spread)), _)| *spread > 1e-9)
        .map(|((feature, (mean, spread)), coefficient)| Term {
            feature: *feature,
            weight: (sign * coefficient) as f32,
            mean: *mean as f32,
            scale: *spread as f32,
        })
        .collect();
    let head = ErrorHead { terms, intercept: (sign * model.intercept()) as f32 };
    let finite = |term: &Term| term.weight.is_finite() && term.mean.is_finite() && term.scale.is_finite();
    let finite = head.intercept.is_finite() && head.terms.iter().all(finite);
    if finite { Ok(head) } else { Err("a coefficient is not finite".to_owned()) }
}

fn scale(column: &[f32], rows: &[usize]) -> (f64, f64) {
    let finite = || rows.iter().filter_map(|row| column.get(*row)).filter(|v| v.is_finite()).map(|v| f64::from(*v));
    let count = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / count;
    (mean, (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// Mean log loss; infinite without rows, so that nothing is judged better on none.
fn log_loss(head: &ErrorHead, judge: &Dataset) -> f64 {
    let rows = answered(judge);
    if rows.is_empty() {
        return f64::INFINITY;
    }
    let loss = |row: &usize| {
        let p = f64::from(head.probability(&judge.row(*row))).clamp(1e-9, 1.0 - 1e-9);
        if judge.outcome[*row].is_endpoint_failure() { -p.ln() } else { -(1.0 - p).ln() }
    };
    rows.iter().map(loss).sum::<f64>() / rows.len() as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{dataset, features};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// The head of one log, judged on another.
    fn fit(count: usize, probability: impl Fn(f32) -> f32) -> (ErrorHead, ErrorHeadReport) {
        ErrorHead::fit(&log(count, 5, &probability), &log(count, 6, &probability), 0)
    }

    fn log(count: usize, seed: u64, probability: impl Fn(f32) -> f32) -> Dataset {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        dataset(count, |row| {
            let rate = random.random::<f32>();
            row.outcome = if random.random::<f32>() < probability(rate) {
                OutcomeKind::ServerError
            } else {
                OutcomeKind::Success
            };
            features(&[(index::ERROR_RATE, rate), (index::IN_FLIGHT, 3.0)])
        })
    }

    #[test]
    fn an_endpoint_that_fails_more_is_forecast_to_fail_more() {
        let (head, report) = fit(4_000, |rate| 0.6 * rate);
        assert!(!report.constant && report.failures > 500, "{report:?}");
        let at = |rate: f32| head.probability(&features(&[(index::ERROR_RATE, rate), (index::IN_FLIGHT, 3.0)]));
        assert!((at(0.5) - 0.3).abs() < 0.08, "{}", at(0.5));
        assert!(at(0.9) > at(0.1) + 0.3);
        let unknown = head.probability(&features(&[]));
        assert!((unknown - 0.3).abs() < 0.1, "{unknown}");
    }

    #[test]
    fn with_few_failures_the_head_is_the_rate() {
        let (head, report) = fit(1_000, |_| 0.005);
        assert!(report.constant && report.note.contains("constant"), "{report:?}");
        let rate = (report.failures as f32 + 0.5) / (report.rows as f32 + 1.0);
        assert!((head.probability(&features(&[])) - rate).abs() < 1e-5);
    }

    #[test]
    fn signals_that_mislead_on_the_later_slice_are_dropped() {
        let (head, report) =
            ErrorHead::fit(&log(2_000, 5, |rate| 0.6 * rate), &log(2_000, 6, |rate| 0.6 - 0.6 * rate), 0);
        assert!(report.constant && report.note.contains("no better"), "{report:?}");
        assert!(head.terms.is_empty());
    }

    #[test]
    fn a_log_of_failures_alone_gives_a_finite_head() {
        let (head, report) = fit(300, |_| 1.0);
        assert!(report.constant);
        assert!(head.probability(&features(&[])) > 0.99);
    }

    #[test]
    fn separable_failures_do_not_blow_up() {
        let (head, _) = fit(2_000, |rate| if rate > 0.5 { 1.0 } else { 0.0 });
        assert!(head.intercept.is_finite());
        let at = |rate: f32| head.probability(&features(&[(index::ERROR_RATE, rate), (index::IN_FLIGHT, 3.0)]));
        assert!(at(0.95) > 0.9 && at(0.05) < 0.1);
    }
}
