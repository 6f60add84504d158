//! Off-policy evaluation: what another policy would have given, from the log of this one.
//!
//! With `p` the logged propensity of the endpoint that was chosen, `π` its probability under the target policy
//! and `c` the cost that was seen, `w = π/p`. The estimators are in `estimate`: IPS, SNIPS, the direct method, doubly
//! robust and Switch-DR; what the last three expect of an endpoint is in `cost_model`. They fail in different ways, so
//! where they disagree, none is to be trusted.
//!
//! Intervals are the normal approximation at 95 %; for shares, which have a range, there are beside them those of
//! `bounded`, which need no approximation. The effective sample size `(Σw)²/Σw²` says how many rows are really behind
//! the number, and the histogram of the weights on which.

mod bounded;
mod cost_model;
mod estimate;
mod routed;
mod target;

pub use bounded::{Interval, anytime, empirical_bernstein};
pub use estimate::{
    Estimate, Expected, WeightBar, direct, doubly_robust, effective_rows, ips, snips, switch, weight_histogram,
};
pub use routed::Routed;
pub use target::{ModelRule, Target};

use crate::dataset::{Candidate, Dataset, Propensities};
use crate::error::TrainError;
use cost_model::Scale;
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
    /// Mean latency, milliseconds, by the direct method.
    pub mean_ms_dm: Estimate,
    /// Mean latency, milliseconds, by the doubly robust estimator.
    pub mean_ms_dr: Estimate,
    /// Mean latency, milliseconds, by Switch-DR.
    pub mean_ms_switch_dr: Estimate,
    /// Share of requests over the threshold, by IPS.
    pub over_ratio_ips: Estimate,
    /// Share of requests over the threshold, by SNIPS.
    pub over_ratio_snips: Estimate,
    /// Share of requests over the threshold, by the direct method.
    pub over_ratio_dm: Estimate,
    /// Share of requests over the threshold, by the doubly robust estimator.
    pub over_ratio_dr: Estimate,
    /// Share of requests over the threshold, by Switch-DR.
    pub over_ratio_switch_dr: Estimate,
    /// Interval of the share by IPS at this number of rows, without a normal approximation.
    pub over_ratio_bernstein: Interval,
    /// Interval of the share by IPS that holds at every number of rows at once.
    pub over_ratio_anytime: Interval,
    /// Rows that were logged with candidate features.
    pub rows: usize,
    /// Rows' worth of evidence behind the estimates.
    pub effective_rows: f64,
    /// Largest weight of a row.
    pub max_weight: f64,
    /// How many rows have which weight.
    pub weight_histogram: Vec<WeightBar>,
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
    /// What the log's own policies gave, over all of their rows.
    pub routed: Vec<Routed>,
    /// Whether the estimate of the last target and what `predictive` gave agree; `None` where the log has too few of its rows.
    pub beside_live: Option<String>,
    /// Warnings that belong beside the numbers.
    pub warnings: Vec<String>,
    /// [`MEANING`].
    pub meaning: String,
}

/// Propensities above this are no chance: a different choice was never made, so nothing is known of it.
const DETERMINISTIC: f32 = 1.0 - 1e-6;

/// τ of Switch-DR: above it a row's weight counts for more than ten, and the model of the cost is trusted instead.
pub const SWITCH_TAU: f64 = 10.0;

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
    let mut logged = Logged::of(dataset, threshold_ms);
    if logged.choices.is_empty() {
        return Err(TrainError::NoEvidence(format!(
            "of {} rows {} have no features of all candidates and {} were decided without chance",
            dataset.len(),
            logged.without_candidates,
            logged.deterministic
        )));
    }
    logged.expect()?;
    let targets: Vec<OpeReport> = targets.iter().map(|target| logged.report(target)).collect();
    let warnings = warnings(dataset, &logged, &targets);
    let routed = routed::routed(dataset, threshold_ms);
    let beside_live = targets.last().and_then(|model| routed::beside(model, &routed));
    Ok(Evaluation {
        threshold_ms,
        rows_without_candidates: logged.without_candidates,
        rows_deterministic: logged.deterministic,
        propensities: dataset.propensities(),
        targets,
        routed,
        beside_live,
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
    /// Expected milliseconds of each candidate.
    expected_ms: Vec<Vec<f64>>,
    /// Expected share over the threshold of each candidate.
    expected_over: Vec<Vec<f64>>,
    without_candidates: usize,
    deterministic: usize,
}

/// One decision with everything that the estimators see of it, so that other tools can repeat them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpeRow {
    /// Position of the candidate that was chosen.
    pub chosen: usize,
    /// Logged propensity of each candidate.
    pub propensities: Vec<f64>,
    /// Probability of each candidate under the target.
    pub probabilities: Vec<f64>,
    /// Cost, milliseconds.
    pub cost_ms: f64,
    /// 1 where it was over the threshold.
    pub over: f64,
    /// Milliseconds that are expected of each candidate.
    pub expected_ms: Vec<f64>,
    /// Share over the threshold that is expected of each candidate.
    pub expected_over: Vec<f64>,
}

/// The decisions as the estimators of `target` see them.
///
/// # Errors
/// As of [`evaluate`].
pub fn rows(dataset: &Dataset, target: &Target<'_>, threshold_ms: f64) -> Result<Vec<OpeRow>, TrainError> {
    let mut logged = Logged::of(dataset, threshold_ms);
    logged.expect()?;
    let row = |(at, choice): (usize, &Choice<'_>)| OpeRow {
        chosen: choice.chosen,
        propensities: choice.candidates.iter().map(|candidate| f64::from(candidate.propensity)).collect(),
        probabilities: target.probabilities(choice),
        cost_ms: logged.cost_ms[at],
        over: logged.over[at],
        expected_ms: logged.expected_ms[at].clone(),
        expected_over: logged.expected_over[at].clone(),
    };
    Ok(logged.choices.iter().enumerate().map(row).collect())
}

impl<'a> Logged<'a> {
    fn of(dataset: &'a Dataset, threshold_ms: f64) -> Self {
        let mut logged = Self {
            choices: Vec::new(),
            cost_ms: Vec::new(),
            over: Vec::new(),
            expected_ms: Vec::new(),
            expected_over: Vec::new(),
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

    /// Fits what is expected of the candidates.
    fn expect(&mut self) -> Result<(), TrainError> {
        self.expected_ms = cost_model::expect(&self.choices, &self.cost_ms, Scale::Milliseconds)?;
        self.expected_over = cost_model::expect(&self.choices, &self.over, Scale::Share)?;
        Ok(())
    }

    fn report(&self, target: &Target<'_>) -> OpeReport {
        let mut weights = Vec::with_capacity(self.choices.len());
        let (mut ms, mut over) = (Vec::with_capacity(weights.capacity()), Vec::with_capacity(weights.capacity()));
        let (mut unsupported, mut least) = (0.0, 1.0f64);
        for (at, choice) in self.choices.iter().enumerate() {
            let probabilities = target.probabilities(choice);
            let logged = f64::from(choice.candidates[choice.chosen].propensity);
            weights.push(probabilities.get(choice.chosen).copied().unwrap_or(0.0) / logged);
            let impossible = choice.candidates.iter().zip(&probabilities).filter(|(c, _)| c.propensity <= 0.0);
            unsupported += impossible.map(|(_, probability)| probability).sum::<f64>();
            let possible = choice.candidates.iter().map(|c| f64::from(c.propensity)).filter(|p| *p > 0.0);
            least = possible.fold(least, f64::min);
            let expected = |of: &[f64]| Expected {
                chosen: of[choice.chosen],
                target: of.iter().zip(&probabilities).map(|(cost, probability)| cost * probability).sum(),
            };
            ms.push(expected(&self.expected_ms[at]));
            over.push(expected(&self.expected_over[at]));
        }
        let weighted: Vec<f64> = weights.iter().zip(&self.over).map(|(weight, over)| weight * over).collect();
        // No weight can be larger than the inverse of the smallest propensity that was logged.
        let range = (0.0, 1.0 / least);
        OpeReport {
            target: target.name(),
            mean_ms_ips: ips(&weights, &self.cost_ms),
            mean_ms_snips: snips(&weights, &self.cost_ms),
            mean_ms_dm: direct(&ms),
            mean_ms_dr: doubly_robust(&weights, &self.cost_ms, &ms),
            mean_ms_switch_dr: switch(&weights, &self.cost_ms, &ms, SWITCH_TAU),
            over_ratio_ips: ips(&weights, &self.over),
            over_ratio_snips: snips(&weights, &self.over),
            over_ratio_dm: direct(&over),
            over_ratio_dr: doubly_robust(&weights, &self.over, &over),
            over_ratio_switch_dr: switch(&weights, &self.over, &over, SWITCH_TAU),
            over_ratio_bernstein: empirical_bernstein(&weighted, range).within(0.0, 1.0),
            over_ratio_anytime: anytime(&weighted, range).within(0.0, 1.0),
            rows: weights.len(),
            effective_rows: effective_rows(&weights),
            max_weight: weights.iter().fold(0.0, |most, weight| f64::max(most, *weight)),
            weight_histogram: weight_histogram(&weights),
            unsupported_ratio: unsupported / self.choices.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests;
