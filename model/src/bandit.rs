//! Bandit weights: what the forecast misses for a tenant group on an endpoint, learned from logged propensities.
//!
//! A log residual that is added to every quantile. A cell also carries how much evidence it rests on. Endpoints
//! are found by the stable hash of their name, because their order in a pool changes from one configuration to the
//! next. Rejected: weights by position in the pool.

use crate::artefact::error::ArtefactError;

/// Corrections by tenant group and endpoint. An endpoint that is not listed is not corrected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bandit {
    /// Stable hashes of the endpoints' names, ascending.
    pub endpoints: Vec<u64>,
    /// Log residuals, `[group][endpoint]`.
    pub weights: Vec<f32>,
    /// Rows behind each cell, after weighting by inverse propensity; `[group][endpoint]`.
    pub counts: Vec<f32>,
    /// Variance of the residual in each cell, log units squared; `[group][endpoint]`.
    pub variances: Vec<f32>,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BanditCell {
    /// Log residual.
    pub weight: f32,
    /// Rows behind it.
    pub count: f32,
    /// Variance of the residual, log units squared.
    pub variance: f32,
}

impl Bandit {
    /// What to add to a forecast, natural log units; 0 for a group or an endpoint that is not known.
    pub fn correction(&self, group: u16, endpoint: u64) -> f32 {
        self.position(group, endpoint).and_then(|at| self.weights.get(at)).copied().unwrap_or(0.0)
    }

    /// The cell with its evidence, if there is one.
    pub fn cell(&self, group: u16, endpoint: u64) -> Option<BanditCell> {
        let at = self.position(group, endpoint)?;
        let value = |values: &[f32]| values.get(at).copied();
        Some(BanditCell {
            weight: value(&self.weights)?,
            count: value(&self.counts)?,
            variance: value(&self.variances)?,
        })
    }

    fn position(&self, group: u16, endpoint: u64) -> Option<usize> {
        let endpoint = self.endpoints.binary_search(&endpoint).ok()?;
        Some(usize::from(group) * self.endpoints.len() + endpoint)
    }

    pub(crate) fn validate(&self, groups: usize) -> Result<(), ArtefactError> {
        ArtefactError::check_ascending("bandit.endpoints", self.endpoints.iter().copied())?;
        let tensors =
            [("bandit.weights", &self.weights), ("bandit.counts", &self.counts), ("bandit.variances", &self.variances)];
        for (name, values) in tensors {
            ArtefactError::check_len(name, values.len(), vec![groups, self.endpoints.len()])?;
            ArtefactError::check_finite(name, values)?;
        }
        for (name, values) in &tensors[1..] {
            ArtefactError::check_not_negative(name, values)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn bandit() -> Bandit {
        Bandit {
            endpoints: vec![10, 20, 30],
            weights: vec![0.1, 0.2, 0.3, -0.1, -0.2, -0.3],
            counts: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            variances: vec![0.5; 6],
        }
    }

    #[test]
    fn known_cells_correct_and_unknown_ones_do_not() {
        assert_eq!(bandit().correction(0, 20), 0.2);
        assert_eq!(bandit().correction(1, 30), -0.3);
        assert_eq!(bandit().correction(2, 30), 0.0);
        assert_eq!(bandit().correction(0, 25), 0.0);
        assert_eq!(bandit().cell(1, 10), Some(BanditCell { weight: -0.1, count: 4.0, variance: 0.5 }));
        assert_eq!(bandit().cell(7, 10), None);
        assert_eq!(Bandit::default().correction(0, 1), 0.0);
    }

    #[test]
    fn wrong_weights_are_refused() {
        assert!(bandit().validate(2).is_ok() && Bandit::default().validate(5).is_ok());
        let refusal = |change: fn(&mut Bandit)| {
            let mut bandit = bandit();
            change(&mut bandit);
            bandit.validate(2).unwrap_err().to_string()
        };
        assert!(refusal(|b| b.endpoints[2] = 20).contains("bandit.endpoints"));
        assert!(refusal(|b| b.weights.truncate(5)).contains("bandit.weights"));
        assert!(refusal(|b| b.weights[1] = f32::NAN).contains("bandit.weights"));
        assert!(refusal(|b| b.counts[1] = -1.0).contains("bandit.counts"));
        assert!(refusal(|b| b.variances[1] = f32::INFINITY).contains("bandit.variances"));
    }
}
