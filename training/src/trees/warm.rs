//! A warm start: the questions of an earlier forest, asked again before new ones are looked for.
//!
//! Most of the time goes into finding questions, and traffic of a minute later asks the same ones. So the structure of
//! the earlier trees is kept and their leaves are renewed on the new rows, in order, exactly as if this run had found
//! the same questions; the rounds that are left then find new ones. So a forest does not grow from run to run. Trees
//! that are only a start (the same in all quantiles: see `steps`) are kept as they are.
//!
//! Questions are kept as thresholds and not as bins: borders are those of the new rows, with the thresholds among
//! them. Of more trees than are kept the first go on: later ones divide what was left over then. Rejected: going on
//! from the earlier forest's forecasts (LightGBM's `init_model`), which makes it larger with every run, and leaf values
//! that are months old can never leave it.

use super::error::TreesError;
use super::params::TreeParams;
use tailcast_model::Forest;
use tailcast_model::forest::{MAX_BORDERS, Split, Tree};

/// Thresholds of one feature: half of its borders, so that new questions keep the other half.
const MAX_THRESHOLDS: usize = MAX_BORDERS / 2;

/// One question: the feature, and the threshold that its value must be above; `None` asks whether there is a value.
type Question = (usize, Option<f32>);

/// The questions of an earlier forest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WarmStart {
    /// Trees that are kept as they are.
    fixed: Vec<(Vec<Question>, Vec<f32>)>,
    /// Trees whose leaves are renewed.
    renewed: Vec<Vec<Question>>,
}

impl WarmStart {
    /// Takes the start of `forest`, and at most `keep` of the trees after it.
    pub fn of(forest: &Forest, keep: usize) -> Self {
        let parts = forest.parts();
        let quantiles = parts.base.len().max(1);
        let mut warm = Self::default();
        let mut thresholds: Vec<Vec<f32>> = vec![Vec::new(); parts.borders.len()];
        for tree in &parts.trees {
            let questions: Vec<Question> = tree.splits.iter().map(|split| question(&parts.borders, split)).collect();
            let is_start = quantiles > 1
                && tree.leaves.chunks_exact(quantiles).all(|leaf| leaf.iter().all(|value| *value == leaf[0]));
            if !is_start && warm.renewed.len() == keep {
                continue;
            }
            let mut added = thresholds.clone();
            for (feature, threshold) in &questions {
                added[*feature].extend(threshold.filter(|threshold| !thresholds[*feature].contains(threshold)));
            }
            // A tree that would leave new questions no room stays behind.
            if added.iter().any(|thresholds| thresholds.len() > MAX_THRESHOLDS) {
                continue;
            }
            thresholds = added;
            if is_start {
                warm.fixed.push((questions, tree.leaves.clone()));
            } else {
                warm.renewed.push(questions);
            }
        }
        warm
    }

    /// How many trees are renewed.
    pub fn len(&self) -> usize {
        self.renewed.len()
    }

    /// True where nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.renewed.is_empty() && self.fixed.is_empty()
    }

    /// Levels of the deepest tree that is renewed; 0 without any.
    pub fn depth(&self) -> usize {
        self.renewed.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Refuses what does not fit the parameters.
    pub(super) fn check(&self, params: &TreeParams) -> Result<(), TreesError> {
        let refuse = |value: String, allowed| Err(TreesError::Param { name: "warm", value, allowed });
        let questions = self.fixed.iter().map(|(questions, _)| questions).chain(&self.renewed);
        if let Some((feature, _)) = questions.flatten().find(|(feature, _)| *feature >= params.monotone.len()) {
            return refuse(format!("a question on feature {feature}"), "a feature that there is");
        }
        let fits =
            |(questions, leaves): &(Vec<Question>, Vec<f32>)| leaves.len() == params.quantiles.len() << questions.len();
        if !self.fixed.iter().all(fits) {
            return refuse("a forest of other quantiles".to_owned(), "as many quantiles as before");
        }
        if !self.is_empty() && !params.start.is_empty() {
            return refuse("a warm start beside step functions".to_owned(), "one of both");
        }
        Ok(())
    }

    /// How many thresholds a feature brings.
    pub(super) fn thresholds(&self, feature: usize) -> Vec<f32> {
        let questions = self.fixed.iter().map(|(questions, _)| questions).chain(&self.renewed);
        let of = questions.flatten().filter(|(of, _)| *of == feature).filter_map(|(_, threshold)| *threshold);
        let mut thresholds: Vec<f32> = of.map(|threshold| threshold + 0.0).collect();
        thresholds.sort_unstable_by(f32::total_cmp);
        thresholds.dedup();
        thresholds
    }

    /// The trees that are kept as they are, for these borders.
    pub(super) fn fixed_trees(&self, borders: &[Vec<f32>]) -> Vec<Tree> {
        let tree = |(questions, leaves): &(Vec<Question>, Vec<f32>)| Tree {
            splits: splits(questions, borders),
            leaves: leaves.clone(),
        };
        self.fixed.iter().map(tree).collect()
    }

    /// The questions of the tree of a round (from 1), for these borders; `None` where new ones are looked for.
    pub(super) fn splits_of_round(&self, round: usize, borders: &[Vec<f32>]) -> Option<Vec<Split>> {
        self.renewed.get(round - 1).map(|questions| splits(questions, borders))
    }
}

fn question(borders: &[Vec<f32>], split: &Split) -> Question {
    let feature = usize::from(split.feature);
    let threshold = usize::from(split.bin).checked_sub(1).and_then(|at| borders.get(feature)?.get(at).copied());
    (feature, threshold)
}

fn splits(questions: &[Question], borders: &[Vec<f32>]) -> Vec<Split> {
    let split = |(feature, threshold): &Question| {
        let above = |threshold: f32| borders[*feature].partition_point(|border| *border < threshold) as u8 + 1;
        Split { feature: *feature as u16, bin: threshold.map_or(0, above) }
    };
    questions.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use tailcast_model::forest::ForestParts;

    fn tree(questions: &[(u16, u8)], leaves: &[f32]) -> Tree {
        let splits = questions.iter().map(|(feature, bin)| Split { feature: *feature, bin: *bin }).collect();
        Tree { splits, leaves: leaves.to_vec() }
    }

    fn forest() -> Forest {
        let borders = vec![vec![1.0, 2.0, 3.0], vec![5.0]];
        let start = tree(&[(0, 1)], &[0.5, 0.5, 0.25, 0.25]);
        let grown = [tree(&[(0, 3)], &[0.0, 0.1, 0.2, 0.4]), tree(&[(1, 1), (0, 0)], &[0.1; 8].map(|v| v))];
        let mut trees = vec![start];
        trees.extend(grown);
        trees[2].leaves[3] = 0.7;
        Forest::new(ForestParts { borders, base: vec![0.0, 1.0], trees }).unwrap()
    }

    #[test]
    fn questions_are_kept_by_threshold_and_asked_at_the_bins_of_the_new_borders() {
        let warm = WarmStart::of(&forest(), 9);
        assert_eq!((warm.len(), warm.fixed.len(), warm.depth()), (2, 1, 2));
        assert_eq!(warm.thresholds(0), [1.0, 3.0]);
        let borders = [vec![0.5, 1.0, 2.5, 3.0], vec![4.0, 5.0, 6.0]];
        let bins = |splits: Vec<Split>| splits.iter().map(|split| (split.feature, split.bin)).collect::<Vec<_>>();
        assert_eq!(bins(warm.splits_of_round(1, &borders).unwrap()), [(0, 4)]);
        assert_eq!(bins(warm.splits_of_round(2, &borders).unwrap()), [(1, 2), (0, 0)]);
        assert_eq!(warm.splits_of_round(3, &borders), None);
        assert_eq!(bins(warm.fixed_trees(&borders)[0].splits.clone()), [(0, 2)]);
        assert_eq!(WarmStart::of(&forest(), 1).len(), 1);
        assert_eq!(WarmStart::of(&forest(), 0).fixed.len(), 1, "the start is no round");
    }

    #[test]
    fn what_does_not_fit_the_parameters_is_refused() {
        let warm = WarmStart::of(&forest(), 9);
        let refusal = |quantiles: &[f32], features: usize| {
            let params = TreeParams {
                quantiles: quantiles.to_vec(),
                monotone: vec![false; features],
                warm: warm.clone(),
                ..TreeParams::default()
            };
            params.check().map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(refusal(&[0.5, 0.9], 2).is_ok());
        assert!(refusal(&[0.5], 2).unwrap_err().contains("other quantiles"));
        assert!(refusal(&[0.5, 0.9], 1).unwrap_err().contains("feature 1"));
    }
}
