//! Parameters of the trainer: unchecked, then checked, then `fit`.
//!
//! The checked type has no other constructor, so `fit` never meets a parameter out of range. Rejected: clamping in
//! silence; who asks for depth 20 should learn that 8 is the most.

use super::error::TreesError;
use super::steps::Steps;
use super::warm::WarmStart;
use tailcast_features::FEATURES;
use tailcast_model::MAX_QUANTILES;
use tailcast_model::forest::{MAX_BORDERS, MAX_DEPTH, MAX_TREES};

/// What can be set. The defaults are for tens of thousands to a few million rows of one proxy's log.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeParams {
    /// Trees at most. A hundred stay in the first-level cache.
    pub rounds: usize,
    /// Levels of a tree.
    pub depth: usize,
    /// Share of each step that is taken.
    pub learning_rate: f32,
    /// Quantile levels, ascending inside (0, 1).
    pub quantiles: Vec<f32>,
    /// Bins of a feature, without the one for missing values.
    pub max_bins: usize,
    /// Weight that both sides of a split need in a leaf for the leaf's gain to count.
    pub min_leaf_weight: f32,
    /// Weight that a leaf is shrunk by, in the gain and, by effective count, in its value.
    pub l2: f32,
    /// Share of the rows that choose the structure of a tree; leaf values always use all rows.
    pub row_share: f32,
    /// Share of the features that may be asked for in a tree, drawn anew for each.
    pub feature_share: f32,
    /// Seed of the samples of rows and features.
    pub seed: u64,
    /// Threads; 0 takes as many as there are cores. The result is the same for any number.
    pub threads: usize,
    /// Stops after so many rounds without a lower validation loss, and keeps the best; 0 never stops early.
    pub early_stopping_rounds: usize,
    /// Whether the forecast must not fall when the feature grows, for each column.
    pub monotone: Vec<bool>,
    /// What boosting starts from, beside constants: at most one step function a feature.
    pub start: Vec<Steps>,
    /// The questions of an earlier forest, which the first rounds ask again; excludes `start`.
    pub warm: WarmStart,
}

impl Default for TreeParams {
    fn default() -> Self {
        Self {
            rounds: 100,
            depth: 6,
            // With 100 rounds 0.05 is not yet there and 0.2 is noisy in the 99th percentile.
            learning_rate: 0.1,
            quantiles: vec![0.5, 0.95, 0.99],
            max_bins: 254,
            // Twenty rows place a median to a tenth of a spread; below, a leaf is luck.
            min_leaf_weight: 20.0,
            l2: 3.0,
            // Half of the rows choose as well as all of them, in half of the time, and trees repeat each other less.
            row_share: 0.5,
            feature_share: 1.0,
            seed: 0,
            threads: 0,
            early_stopping_rounds: 20,
            monotone: FEATURES.iter().map(|feature| feature.monotone).collect(),
            start: Vec::new(),
            warm: WarmStart::default(),
        }
    }
}

/// Parameters in their ranges.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidTreeParams(TreeParams);

impl TreeParams {
    /// Checks every parameter.
    ///
    /// # Errors
    /// The first that is out of its range, with the range.
    pub fn check(self) -> Result<ValidTreeParams, TreesError> {
        let quantiles = &self.quantiles;
        let ascending = quantiles.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = quantiles.iter().all(|level| *level > 0.0 && *level < 1.0);
        let count = 1..=MAX_QUANTILES;
        let checks: [(&'static str, String, bool, &'static str); 10] = [
            ("rounds", self.rounds.to_string(), (1..=MAX_TREES).contains(&self.rounds), "1 to 10000"),
            ("depth", self.depth.to_string(), (1..=MAX_DEPTH).contains(&self.depth), "1 to 8"),
            ("learning_rate", self.learning_rate.to_string(), inside_unit(self.learning_rate), "above 0 up to 1"),
            (
                "quantiles",
                format!("{quantiles:?}"),
                count.contains(&quantiles.len()) && ascending && inside,
                "1 to 8 ascending numbers between 0 and 1",
            ),
            ("max_bins", self.max_bins.to_string(), (2..=MAX_BORDERS + 1).contains(&self.max_bins), "2 to 255"),
            (
                "min_leaf_weight",
                self.min_leaf_weight.to_string(),
                self.min_leaf_weight.is_finite() && self.min_leaf_weight > 0.0,
                "above 0",
            ),
            ("l2", self.l2.to_string(), self.l2.is_finite() && self.l2 >= 0.0, "0 or more"),
            ("row_share", self.row_share.to_string(), inside_unit(self.row_share), "above 0 up to 1"),
            ("feature_share", self.feature_share.to_string(), inside_unit(self.feature_share), "above 0 up to 1"),
            (
                "monotone",
                format!("{:?}", self.monotone),
                !self.monotone.is_empty(),
                "one flag for each column, at least 1",
            ),
        ];
        for (name, value, good, allowed) in checks {
            if !good {
                return Err(TreesError::Param { name, value, allowed });
            }
        }
        for (at, steps) in self.start.iter().enumerate() {
            steps.check(&self)?;
            if self.start[..at].iter().any(|other| other.feature == steps.feature) {
                let value = format!("{steps:?}");
                return Err(TreesError::Param { name: "start", value, allowed: "one step function a feature" });
            }
        }
        self.warm.check(&self)?;
        Ok(ValidTreeParams(self))
    }
}

fn inside_unit(value: f32) -> bool {
    value > 0.0 && value <= 1.0
}

impl ValidTreeParams {
    /// The parameters.
    pub fn params(&self) -> &TreeParams {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_defaults_are_valid_and_take_the_schemas_directions() {
        let valid = TreeParams::default().check().unwrap();
        assert!(valid.params().monotone[tailcast_features::index::IN_FLIGHT]);
        assert!(!valid.params().monotone[tailcast_features::index::POOL_IN_FLIGHT]);
    }

    #[test]
    fn each_parameter_out_of_range_is_refused_by_name_with_value_and_range() {
        type Change = fn(&mut TreeParams);
        let changes: [(&str, &str, Change); 15] = [
            ("rounds", "0", |p| p.rounds = 0),
            ("rounds", "10001", |p| p.rounds = 10_001),
            ("depth", "0", |p| p.depth = 0),
            ("depth", "9", |p| p.depth = 9),
            ("learning_rate", "1.5", |p| p.learning_rate = 1.5),
            ("learning_rate", "NaN", |p| p.learning_rate = f32::NAN),
            ("quantiles", "[]", |p| p.quantiles.clear()),
            ("quantiles", "[0.9, 0.5]", |p| p.quantiles = vec![0.9, 0.5]),
            ("quantiles", "[1.0]", |p| p.quantiles = vec![1.0]),
            ("max_bins", "256", |p| p.max_bins = 256),
            ("min_leaf_weight", "0", |p| p.min_leaf_weight = 0.0),
            ("l2", "-1", |p| p.l2 = -1.0),
            ("row_share", "0", |p| p.row_share = 0.0),
            ("feature_share", "2", |p| p.feature_share = 2.0),
            ("monotone", "[]", |p| p.monotone.clear()),
        ];
        for (name, value, change) in changes {
            let mut params = TreeParams::default();
            change(&mut params);
            let error = params.check().unwrap_err().to_string();
            assert!(error.contains(&format!("{name} = {value} is out of range")), "{error}");
        }
    }
}
