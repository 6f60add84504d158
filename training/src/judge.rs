//! The champion against the baselines on the held-out slice, and the gate.
//!
//! All forecasters see the same rows, which lie later in time than all that they were fitted or calibrated on.
//! A model that does not beat every baseline is refused: a router that follows a worse forecast than "this
//! endpoint's recent quantile" is worse than no model. Rejected: gating on coverage as well (the conformal
//! shift gives coverage to any forecaster, a useless one too).

use crate::error::TrainError;
use crate::forecast::{Forecasts, coverage, mean_pinball};
use serde::{Deserialize, Serialize};

/// Loss and coverage of one forecaster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Name of the forecaster.
    pub name: String,
    /// Mean pinball loss of each quantile, natural log of milliseconds.
    pub pinball: Vec<f64>,
    /// Mean over the quantiles.
    pub mean_pinball: f64,
    /// Share of rows at or below each quantile.
    pub coverage: Vec<f64>,
}

/// What the held-out slice says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Quantile levels.
    pub levels: Vec<f32>,
    /// Rows judged on.
    pub rows: usize,
    /// The model.
    pub champion: Score,
    /// What it must beat.
    pub baselines: Vec<Score>,
    /// True where the champion's mean loss is below every baseline's.
    pub wins: bool,
}

impl Score {
    /// Scores forecasts against labels.
    pub fn new(name: &str, forecasts: &Forecasts, labels: &[f32]) -> Self {
        let levels = forecasts.levels();
        let of = |level: usize| mean_pinball(levels[level], labels, forecasts.column(level));
        let pinball: Vec<f64> = (0..levels.len()).map(of).collect();
        let mean_pinball = pinball.iter().sum::<f64>() / pinball.len() as f64;
        let coverage = (0..levels.len()).map(|level| coverage(labels, forecasts.column(level))).collect();
        Self { name: name.to_owned(), pinball, mean_pinball, coverage }
    }
}

impl Judgement {
    /// Judges the champion against the baselines.
    pub fn new(levels: &[f32], rows: usize, champion: Score, baselines: Vec<Score>) -> Self {
        // A NaN loss wins nothing: the comparison is false.
        let wins = baselines.iter().all(|baseline| champion.mean_pinball < baseline.mean_pinball);
        Self { levels: levels.to_vec(), rows, champion, baselines, wins }
    }

    /// The strongest baseline.
    pub fn best_baseline(&self) -> Option<&Score> {
        self.baselines.iter().min_by(|a, b| a.mean_pinball.total_cmp(&b.mean_pinball))
    }

    /// Lets a model through that beats all baselines, or any model where `force` is set.
    ///
    /// # Errors
    /// The model loses and was not forced; the message carries both losses.
    pub fn gate(&self, force: bool) -> Result<(), TrainError> {
        match self.best_baseline() {
            Some(best) if !self.wins && !force => Err(TrainError::Refused {
                champion: self.champion.mean_pinball,
                baseline: best.name.clone(),
                loss: best.mean_pinball,
                rows: self.rows,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn judged(champion: f32, baseline: f32) -> Judgement {
        let labels = [1.0f32, 2.0, 3.0];
        let score = |name: &str, shift: f32| {
            let forecasts = Forecasts::repeated(&[0.5], &labels.map(|label| label + shift));
            Score::new(name, &forecasts, &labels)
        };
        Judgement::new(&[0.5], 3, score("champion", champion), vec![score("linear", baseline), score("forest", 1.0)])
    }

    #[test]
    fn a_model_that_loses_is_refused_unless_forced() {
        let lost = judged(0.5, 0.2);
        assert!(!lost.wins);
        let refusal = lost.gate(false).unwrap_err().to_string();
        assert!(refusal.contains("linear") && refusal.contains("0.25"), "{refusal}");
        assert!(lost.gate(true).is_ok());
        assert!(judged(0.1, 0.2).gate(false).is_ok());
    }

    #[test]
    fn a_tie_and_a_nan_are_no_wins() {
        assert!(!judged(0.2, 0.2).wins);
        assert!(!judged(f32::NAN, 0.2).wins);
    }
}
