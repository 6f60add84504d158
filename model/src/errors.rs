//! The error-probability head: a logistic regression over a few features.
//!
//! The forest forecasts the latency of answers that work; without this head an endpoint that fails fast would be
//! the best of all. `p = 1 / (1 + exp(−(intercept + Σ weight·(x − mean)/scale)))`, a missing `x` counting as its
//! mean. Rejected: a second forest (failures are rare, a tree would learn the accidents of one outage).

use crate::artefact::error::ArtefactError;

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
        let log_odds = self.terms.iter().fold(self.intercept, |sum, term| {
            let value = row.get(usize::from(term.feature)).copied().filter(|value| value.is_finite());
            sum + value.map_or(0.0, |value| term.weight * ((value - term.mean) / term.scale))
        });
        1.0 / (1.0 + (-log_odds).exp())
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
