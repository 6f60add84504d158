//! Target policies: the probability of each candidate of a logged decision.

use super::Choice;
use tailcast_balance::BalancerOptions;
use tailcast_features::hash::hash_name;
use tailcast_features::index;
use tailcast_model::{Forecast, Model};

/// Scores a candidate of a decision: lower is better, in any unit.
type Scorer<'a> = dyn Fn(&Choice<'_>, usize) -> f32 + 'a;

/// A policy to be evaluated.
pub enum Target<'a> {
    /// The logging policy itself: its estimate must equal the plain mean of the log.
    Logging,
    /// Uniform over the candidates.
    Uniform,
    /// The best score, ties shared, with uniform exploration of share `epsilon`.
    Greedy {
        /// Name in the report.
        name: String,
        /// Share of exploration.
        epsilon: f64,
        /// Score of a candidate; one that is not finite is never the best.
        score: Box<Scorer<'a>>,
    },
    /// The predictive rule with a model, as far as a log can show it: see [`Target::of_model`].
    Model {
        /// Name in the report.
        name: String,
        /// The model that scores.
        model: &'a Model,
        /// How the rule weighs what the model says.
        rule: ModelRule,
    },
}

/// The settings of the predictive rule that a score depends on; the defaults are the rule's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelRule {
    /// Quantile of the forecast that is minimised.
    pub objective_quantile: f32,
    /// Scores within this ratio of the best are ties.
    pub near_tie_ratio: f32,
    /// What a failed request costs, milliseconds, times its forecast probability.
    pub error_penalty_ms: f32,
}

impl Default for ModelRule {
    fn default() -> Self {
        let rule = BalancerOptions::default().predictive;
        Self {
            objective_quantile: rule.objective_quantile,
            near_tie_ratio: rule.near_tie_ratio,
            error_penalty_ms: rule.error_penalty_ms,
        }
    }
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Target").field(&self.name()).finish()
    }
}

impl<'a> Target<'a> {
    /// This model's routing without exploration: forecast with the bandit's correction, slow-down of those in
    /// service, error penalty, near-ties shared. Not in it: the in-flight guard and the online corrections, which
    /// depend on state that a log does not hold.
    pub fn of_model(model: &'a Model, rule: ModelRule) -> Self {
        Self::Model { name: format!("model {}", model.id()), model, rule }
    }
}

impl Target<'_> {
    /// The name in reports.
    pub fn name(&self) -> String {
        match self {
            Self::Logging => "logging".to_owned(),
            Self::Uniform => "uniform".to_owned(),
            Self::Greedy { name, .. } | Self::Model { name, .. } => name.clone(),
        }
    }

    /// The probability of each candidate; sums to 1.
    pub fn probabilities(&self, choice: &Choice<'_>) -> Vec<f64> {
        let count = choice.candidates.len();
        let uniform = 1.0 / count.max(1) as f64;
        match self {
            Self::Logging => choice.candidates.iter().map(|candidate| f64::from(candidate.propensity)).collect(),
            Self::Uniform => vec![uniform; count],
            Self::Greedy { epsilon, score, .. } => {
                let scores: Vec<f32> = (0..count).map(|candidate| score(choice, candidate)).collect();
                let greedy = shared_best(&scores, 0.0);
                greedy.into_iter().map(|share| (1.0 - epsilon) * share + epsilon * uniform).collect()
            }
            Self::Model { model, rule, .. } => shared_best(&scores(model, *rule, choice), rule.near_tie_ratio),
        }
    }
}

/// Probability shared by all scores within `ratio` of the best; uniform where no score is finite.
fn shared_best(scores: &[f32], ratio: f32) -> Vec<f64> {
    let best = scores.iter().copied().filter(|score| score.is_finite()).fold(f32::INFINITY, f32::min);
    let limit = if ratio > 0.0 { best * (1.0 + ratio) } else { best };
    let is_best = |score: &f32| best.is_infinite() || *score <= limit;
    let share = 1.0 / scores.iter().filter(|score| is_best(score)).count().max(1) as f64;
    scores.iter().map(|score| if is_best(score) { share } else { 0.0 }).collect()
}

/// Milliseconds that each candidate would cost by the predictive rule.
fn scores(model: &Model, rule: ModelRule, choice: &Choice<'_>) -> Vec<f32> {
    let group = model.group_of(hash_name(choice.tenant));
    let busier: Vec<_> = choice
        .rows
        .iter()
        .map(|row| {
            let mut busier = *row;
            busier[index::IN_FLIGHT] += 1.0;
            busier
        })
        .collect();
    let mut now = vec![Forecast::default(); choice.rows.len()];
    let mut then = now.clone();
    model.forecast_batch(choice.rows, group, &mut now);
    model.forecast_batch(&busier, group, &mut then);
    let score = |candidate: usize| {
        let row = &choice.rows[candidate];
        let correction = model.bandit_correction(group, choice.candidates[candidate].endpoint);
        let ms = |forecast: &Forecast, level: f32| (model.at_level(forecast, level) + correction).exp();
        let slower_ms = (ms(&then[candidate], 0.5) - ms(&now[candidate], 0.5)).max(0.0);
        // Before in-flight is known nobody is in service.
        let in_service = row[index::IN_FLIGHT].max(0.0);
        let error_ms = model.error_probability(row) * rule.error_penalty_ms;
        ms(&now[candidate], rule.objective_quantile) + in_service * slower_ms + error_ms
    };
    (0..choice.rows.len().min(choice.candidates.len())).map(score).collect()
}
