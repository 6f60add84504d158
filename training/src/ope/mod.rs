//! Off-policy evaluation: what another policy would have given, from the log of this one.
//!
//! With `p` the logged propensity of the endpoint that was chosen, `π` its probability under the target policy
//! and `c` the cost that was seen, `w = π/p` and
//! - IPS: `Σ w·c / n` – unbiased where the target only does what the logging policy could have done;
//! - SNIPS: `Σ w·c / Σ w` – a little biased, far less variance (Swaminathan & Joachims 2015).
//!
//! Intervals are the normal approximation at 95 %. The effective sample size `(Σw)²/Σw²` says how many rows are
//! really behind the number. Rejected for now: the doubly robust estimator, which has an issue of its own.

mod estimate;
mod target;

pub use estimate::{Estimate, effective_rows, ips, snips};
pub use target::{ModelRule, Target};

use crate::dataset::{Candidate, Dataset, Propensities};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};
use tailcast_features::Row;

/// What the numbers mean, and what they do not.
pub const MEANING: &str = "These estimates answer: what if the policy had decided differently on one request, all \
else as it was? They do not answer: what if the policy were deployed? A deployed policy moves the load, and with it \
the latencies of the requests that follow; that needs `eval live` or a simulation.";

/// One logged decision.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The candidates with their logged propensities.
    pub candidates: &'a [Candidate],
    /// Their feature rows, in the same order.
    pub rows: &'a [Row],
    /// Position of the one that was chosen.
    pub chosen: usize,
    /// Name of the tenant.
    pub tenant: &'a str,
}

/// The estimates for one target policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpeReport {
    /// Name of the target policy.
    pub target: String,
    /// Mean latency, milliseconds, by IPS.
    pub mean_ms_ips: Estimate,
    /// Mean latency, milliseconds, by SNIPS.
    pub mean_ms_snips: Estimate,
    /// Share of requests over the threshold, by IPS.
    pub over_ratio_ips: Estimate,
    /// Share of requests over the threshold, by SNIPS.
    pub over_ratio_snips: Estimate,
    /// Rows that were logged with candidate features.
    pub rows: usize,
    /// Rows' worth of evidence behind the estimates.
    pub effective_rows: f64,
    /// Largest weight of a row.
    pub max_weight: f64,
    /// Mean probability that the target gives to endpoints that the logging policy could not choose: where it is
    /// not zero, the estimates are blind to that share of the target's decisions.
    pub unsupported_ratio: f64,
}

/// Off-policy evaluation of several targets on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Threshold of "over", milliseconds.
    pub threshold_ms: f64,
    /// Rows of the log without features of all candidates, which were left out.
    pub rows_without_candidates: usize,
    /// Rows left out because the policy had no choice or made none by chance (propensity 1).
    pub rows_deterministic: usize,
    /// Where the propensities come from.
    pub propensities: Propensities,
    /// One report a target.
    pub targets: Vec<OpeReport>,
    /// Warnings that belong beside the numbers.
    pub warnings: Vec<String>,
    /// [`MEANING`].
    pub meaning: String,
}

/// Propensities above this are no chance: a different choice was never made, so nothing is known of it.
const DETERMINISTIC: f32 = 1.0 - 1e-6;

/// Effective rows below which an estimate is called weak.
const WEAK_ROWS: f64 = 100.0;

/// Evaluates target policies on the logged decisions. Failed requests cost at least `threshold_ms`, so that fast
/// errors are no bargain, and count as over it.
///
/// # Errors
/// The log has no row with candidate features and a random choice, or the threshold is not positive.
pub fn evaluate(dataset: &Dataset, targets: &[Target<'_>], threshold_ms: f64) -> Result<Evaluation, TrainError> {
    if !(threshold_ms > 0.0 && threshold_ms.is_finite()) {
        return Err(TrainError::Option {
            name: "threshold_ms",
            value: threshold_ms.to_string(),
            allowed: "a positive number of milliseconds",
        });
    }
    let logged = Logged::of(dataset, threshold_ms);
    if logged.choices.is_empty() {
        return Err(TrainError::NoEvidence(format!(
            "of {} rows {} have no features of all candidates and {} were decided without chance",
            dataset.len(),
            logged.without_candidates,
            logged.deterministic
        )));
    }
    let targets: Vec<OpeReport> = targets.iter().map(|target| logged.report(target)).collect();
    let warnings = warnings(dataset, &logged, &targets);
    Ok(Evaluation {
        threshold_ms,
        rows_without_candidates: logged.without_candidates,
        rows_deterministic: logged.deterministic,
        propensities: dataset.propensities(),
        targets,
        warnings,
        meaning: MEANING.to_owned(),
    })
}

fn warnings(dataset: &Dataset, logged: &Logged<'_>, targets: &[OpeReport]) -> Vec<String> {
    let mut warnings = Vec::new();
    if logged.deterministic > 0 {
        warnings.push(format!(
            "{} rows were decided without chance (propensity 1) and say nothing of other choices; they were left out, \
             so the estimates are for the remaining {} rows",
            logged.deterministic,
            logged.choices.len()
        ));
    }
    if dataset.propensities() == Propensities::Estimated {
        warnings.push(
            "the propensities are estimated from recent shares, the recording balancer logged none: if it looked at \
             anything that also moves latency, the estimates are biased"
                .to_owned(),
        );
    }
    for target in targets {
        if target.effective_rows < WEAK_ROWS {
            warnings.push(format!(
                "{}: only {:.0} effective rows of {}, the interval is not to be trusted",
                target.target, target.effective_rows, target.rows
            ));
        }
        if target.unsupported_ratio > 0.01 {
            warnings.push(format!(
                "{}: {:.1} % of its choices could not have been made by the logging policy and are not in the estimate",
                target.target,
                target.unsupported_ratio * 100.0
            ));
        }
    }
    warnings
}

/// The usable rows of a log.
struct Logged<'a> {
    choices: Vec<Choice<'a>>,
    cost_ms: Vec<f64>,
    over: Vec<f64>,
    without_candidates: usize,
    deterministic: usize,
}

impl<'a> Logged<'a> {
    fn of(dataset: &'a Dataset, threshold_ms: f64) -> Self {
        let mut logged = Self {
            choices: Vec::new(),
            cost_ms: Vec::new(),
            over: Vec::new(),
            without_candidates: 0,
            deterministic: 0,
        };
        let keys: Vec<u64> = dataset.names().endpoints.iter().map(tailcast_features::hash::hash_name).collect();
        for row in 0..dataset.len() {
            let candidates = &dataset.candidates[row];
            let key = keys.get(dataset.endpoint[row] as usize);
            let chosen = candidates.iter().position(|candidate| Some(&candidate.endpoint) == key);
            let (Some(rows), Some(chosen)) = (&dataset.candidate_rows[row], chosen) else {
                logged.without_candidates += 1;
                continue;
            };
            if candidates[chosen].propensity > DETERMINISTIC {
                logged.deterministic += 1;
                continue;
            }
            let tenant = dataset.names().tenants.name(dataset.tenant[row]);
            let seen_ms = f64::from(dataset.label[row]).exp();
            let failed = dataset.outcome[row].is_endpoint_failure();
            let cost_ms = if failed { seen_ms.max(threshold_ms) } else { seen_ms };
            logged.choices.push(Choice { candidates, rows, chosen, tenant });
            logged.cost_ms.push(cost_ms);
            logged.over.push(f64::from(u8::from(failed || seen_ms > threshold_ms)));
        }
        logged
    }

    fn report(&self, target: &Target<'_>) -> OpeReport {
        let mut weights = Vec::with_capacity(self.choices.len());
        let mut unsupported = 0.0;
        for choice in &self.choices {
            let probabilities = target.probabilities(choice);
            let logged = f64::from(choice.candidates[choice.chosen].propensity);
            weights.push(probabilities.get(choice.chosen).copied().unwrap_or(0.0) / logged);
            let impossible = choice.candidates.iter().zip(&probabilities).filter(|(c, _)| c.propensity <= 0.0);
            unsupported += impossible.map(|(_, probability)| probability).sum::<f64>();
        }
        OpeReport {
            target: target.name(),
            mean_ms_ips: ips(&weights, &self.cost_ms),
            mean_ms_snips: snips(&weights, &self.cost_ms),
            over_ratio_ips: ips(&weights, &self.over),
            over_ratio_snips: snips(&weights, &self.over),
            rows: weights.len(),
            effective_rows: effective_rows(&weights),
            max_weight: weights.iter().fold(0.0, |most, weight| f64::max(most, *weight)),
            unsupported_ratio: unsupported / self.choices.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests;
