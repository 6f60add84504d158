//! The error-probability head: a logistic regression over a few features.
//!
//! The forest forecasts the latency of answers that work; without this head an endpoint that fails fast would be
//! the best of all. `p = 1 / (1 + exp(−(intercept + Σ weight·(x − mean)/scale)))`, a missing `x` counting as its
//! mean. Rejected: a second forest (failures are rare, a tree would learn the accidents of one outage).

use crate::artefact::error::ArtefactError;
use std::f32::consts::LOG2_E;
use tailcast_features::Columns;
use tailcast_features::approx::exp2;
use tailcast_features::columns::FIRST_OWN;
use tailcast_features::lanes::{LANES, Loop, run};

/// Weights of the head; without terms it is a constant rate.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorHead {
    /// Log-odds where every feature is at its mean.
    pub intercept: f32,
    /// One term a feature.
    pub terms: Vec<ErrorTerm>,
}

/// One feature of the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorTerm {
    /// Index into the feature row.
    pub feature: u16,
    /// Log-odds a standard deviation.
    pub weight: f32,
    /// Mean of the feature, and what a missing value counts as.
    pub mean: f32,
    /// Standard deviation of the feature, above 0.
    pub scale: f32,
}

impl ErrorHead {
    /// A head that always says `rate`, a probability inside (0, 1).
    pub fn constant(rate: f32) -> Self {
        Self { intercept: (rate / (1.0 - rate)).ln(), terms: Vec::new() }
    }

    /// Probability that the endpoint fails the request.
    pub fn probability(&self, row: &[f32]) -> f32 {
        let value = |term: &ErrorTerm| row.get(usize::from(term.feature)).copied().unwrap_or(f32::NAN);
        logistic(self.terms.iter().fold(self.intercept, |sum, term| sum + term.log_odds(value(term))))
    }

    /// The same for all candidates of a decision. `out` is rounded up to whole blocks of [`LANES`].
    pub fn probabilities(&self, candidates: &Columns, out: &mut Vec<[f32; LANES]>) {
        out.resize(candidates.len().div_ceil(LANES), [0.0; LANES]);
        run(Probabilities { head: self, candidates, out });
    }

    pub(crate) fn validate(&self, features: usize) -> Result<(), ArtefactError> {
        ArtefactError::check_finite("errors.intercept", &[self.intercept])?;
        for (at, term) in self.terms.iter().enumerate() {
            ArtefactError::check_index("errors.features", at, usize::from(term.feature), features.saturating_sub(1))?;
            ArtefactError::check_finite("errors.terms", &[term.weight, term.mean, term.scale])?;
            if term.scale <= 0.0 {
                return Err(ArtefactError::NotPositive { tensor: "errors.terms", at, value: term.scale });
            }
        }
        Ok(())
    }
}

impl ErrorTerm {
    /// What a value adds to the log-odds; a missing one adds nothing.
    #[inline(always)]
    fn log_odds(&self, value: f32) -> f32 {
        let odds = self.weight * ((value - self.mean) / self.scale);
        if value.is_finite() { odds } else { 0.0 }
    }
}

/// `1 / (1 + e^−x)`, by the features' power of two: without a branch, to six digits.
#[inline(always)]
fn logistic(log_odds: f32) -> f32 {
    1.0 / (1.0 + exp2(-log_odds * LOG2_E))
}

/// The probabilities of one decision: a loop over blocks of candidates.
struct Probabilities<'a> {
    head: &'a ErrorHead,
    candidates: &'a Columns,
    out: &'a mut [[f32; LANES]],
}

impl Loop for Probabilities<'_> {
    #[inline(always)]
    fn run(self) {
        let shared = self.candidates.shared();
        for (out, lanes) in self.out.iter_mut().zip(self.candidates.blocks()) {
            let mut sums = [self.head.intercept; LANES];
            for term in &self.head.terms {
                let feature = usize::from(term.feature);
                let own = feature.checked_sub(FIRST_OWN).and_then(|own| lanes.get(own)).copied();
                let values = own.unwrap_or([shared.get(feature).copied().unwrap_or(f32::NAN); LANES]);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += term.log_odds(value);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = logistic(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn head() -> ErrorHead {
        ErrorHead { intercept: -2.0, terms: vec![ErrorTerm { feature: 1, weight: 1.5, mean: 0.2, scale: 0.1 }] }
    }

    #[test]
    fn the_probability_rises_with_the_signal_and_missing_means_average() {
        let at = |value: f32| head().probability(&[9.0, value]);
        assert!(at(0.1) < at(0.2) && at(0.2) < at(0.5));
        assert_eq!(at(f32::NAN), at(0.2));
        assert_eq!(at(f32::INFINITY), at(0.2));
        assert_eq!(head().probability(&[]), at(0.2));
        assert!((ErrorHead::constant(0.03).probability(&[]) - 0.03).abs() < 1e-6);
    }

    #[test]
    fn extreme_values_stay_probabilities() {
        for value in [f32::MAX, f32::MIN, 1e30, -1e30] {
            let p = head().probability(&[0.0, value]);
            assert!((0.0..=1.0).contains(&p), "{value} gave {p}");
        }
    }

    #[test]
    fn wrong_heads_are_refused() {
        assert!(head().validate(2).is_ok());
        let refusal = |change: fn(&mut ErrorHead)| {
            let mut head = head();
            change(&mut head);
            head.validate(2).unwrap_err().to_string()
        };
        assert!(refusal(|h| h.terms[0].feature = 2).contains("errors.features"));
        assert!(refusal(|h| h.terms[0].scale = 0.0).contains("above 0"));
        assert!(refusal(|h| h.terms[0].mean = f32::NAN).contains("errors.terms"));
        assert!(refusal(|h| h.intercept = f32::INFINITY).contains("errors.intercept"));
    }
}
