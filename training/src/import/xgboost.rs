//! XGBoost's JSON models (`save_model("model.json")`), of its versions 1.6 to 3.
//!
//! A row goes left where `value < split_condition` in f32, a missing one where `default_left` says; a leaf keeps its value in
//! `split_conditions`. With several quantiles each round has one tree a quantile, and `tree_info` says whose a tree is. The base
//! score is the forecast that boosting starts from: one for all until version 3.0, one a quantile since.
//!
//! The file is read twice: first only what kind of model it is, so that one that cannot be served is refused for that and not
//! for a field that it lacks.

use super::error::ImportError;
use super::pre_order::{self, Child, Fork};
use super::{Foreign, Limits, names, parsed_level};
use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};
use std::fmt;
use tailcast_features::FEATURE_COUNT;
use tailcast_model::MAX_QUANTILES;
use tailcast_model::ensemble::{BinarySplit, BinaryTree, Trainer, below};

/// What a message calls the format.
const FORMAT: &str = "XGBoost JSON model";

/// How names are given to XGBoost.
const HOW: &str = "xgboost.DMatrix(…, feature_names=[…])";

/// The objective of quantiles.
const QUANTILE: &str = "reg:quantileerror";

/// Objectives whose margin is the forecast itself.
const OBJECTIVES: [&str; 3] = [QUANTILE, "reg:squarederror", "reg:absoluteerror"];

/// The child of a leaf.
const NO_CHILD: i32 = -1;

/// Names that are read at most; how many more there are does not matter.
const MAX_NAMES: usize = 1000;

#[derive(Deserialize)]
struct Heading {
    learner: LearnerHeading,
}

#[derive(Deserialize)]
struct LearnerHeading {
    gradient_booster: Name,
    objective: Name,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Document {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default, deserialize_with = "bounded_names")]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: LearnerParameters,
    objective: Objective,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
struct Attributes {
    best_iteration: Option<String>,
}

#[derive(Deserialize)]
struct LearnerParameters {
    base_score: String,
    #[serde(default)]
    num_class: String,
}

#[derive(Deserialize)]
struct Objective {
    quantile_loss_param: Option<QuantileParameters>,
}

#[derive(Deserialize)]
struct QuantileParameters {
    quantile_alpha: String,
}

#[derive(Deserialize)]
struct Booster {
    model: Trees,
}

#[derive(Deserialize)]
struct Trees {
    tree_info: Vec<u16>,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Tree {
    tree_param: TreeParameters,
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    /// 1 where a split is categorical; not there before version 1.5.
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    loss_changes: Vec<f32>,
}

#[derive(Deserialize)]
struct TreeParameters {
    #[serde(default)]
    size_leaf_vector: String,
}

/// `true` until version 1.7, `1` since.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
}

impl Flag {
    fn is_set(self) -> bool {
        matches!(self, Self::Bool(true) | Self::Number(1..))
    }
}

/// Reads a model of one quantile or of several.
///
/// # Errors
/// The bytes are no such model, are damaged, or are a model of a kind that cannot be served.
pub(super) fn read(bytes: &[u8]) -> Result<Foreign, ImportError> {
    let heading: Heading = json(bytes)?;
    check_kind(&heading.learner)?;
    let Document { learner } = json(bytes)?;
    let features: Vec<&str> = learner.feature_names.iter().map(String::as_str).collect();
    let features = names::positions(&features, HOW)?;
    if !["", "0", "1"].contains(&learner.learner_model_param.num_class.as_str()) {
        return Err(unsupported("a model of several classes", "train one forecast of log-latency"));
    }
    let levels = levels(&heading.learner.objective.name, learner.objective.quantile_loss_param.as_ref())?;
    let base = base_scores(&learner.learner_model_param.base_score, levels.len())?;
    let Trees { tree_info, trees: found } = learner.gradient_booster.model;
    if tree_info.len() != found.len() {
        let problem = format!("tree_info has {} entries for {} trees", tree_info.len(), found.len());
        return Err(ImportError::Foreign { format: FORMAT, problem });
    }
    let mut limits = Limits::default();
    let mut trees = vec![Vec::new(); levels.len()];
    let mut gains = vec![0.0f64; FEATURE_COUNT];
    for (number, (quantile, tree)) in tree_info.iter().zip(&found).enumerate() {
        let wrong = |problem: String| ImportError::Tree { tree: number, problem };
        let Some(of_quantile) = trees.get_mut(usize::from(*quantile)) else {
            return Err(wrong(format!("it is of output {quantile}, there are {}", levels.len())));
        };
        let binary = tree.in_pre_order(&features).map_err(wrong)?;
        limits.count(&binary)?;
        of_quantile.push(binary);
        for ((index, child), gain) in tree.split_indices.iter().zip(&tree.left_children).zip(&tree.loss_changes) {
            if *child != NO_CHILD {
                super::gain(&mut gains, features.get(*index as usize), f64::from(*gain));
            }
        }
    }
    let rounds = trees.iter().map(Vec::len).max().unwrap_or(0);
    let stopped_early = |best: String| {
        format!(
            "all {rounds} rounds are taken, though the best was {best}: slice the booster before saving to take fewer"
        )
    };
    let notes = learner.attributes.best_iteration.map(stopped_early).into_iter().collect();
    Ok(Foreign { trainer: Trainer::XgBoost, levels, base, trees, gains, notes })
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ImportError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = format!("{error}; write it with save_model(\"model.json\"), not dump_model and not .ubj");
        ImportError::Foreign { format: FORMAT, problem }
    })
}

fn unsupported(found: impl Into<String>, right: &'static str) -> ImportError {
    ImportError::Unsupported { found: found.into(), right }
}

fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn check_kind(learner: &LearnerHeading) -> Result<(), ImportError> {
    let (booster, objective) = (&learner.gradient_booster.name, &learner.objective.name);
    if booster != "gbtree" {
        return Err(unsupported(format!("booster {}", short(booster)), "train with booster=gbtree"));
    }
    if !OBJECTIVES.contains(&objective.as_str()) {
        let right = "objective must be reg:quantileerror, reg:squarederror or reg:absoluteerror";
        return Err(unsupported(format!("objective {}", short(objective)), right));
    }
    Ok(())
}

/// The levels of the outputs; one that is not known where the objective is none of quantiles.
fn levels(objective: &str, parameters: Option<&QuantileParameters>) -> Result<Vec<Option<f32>>, ImportError> {
    let alphas = match parameters {
        Some(parameters) if objective == QUANTILE => numbers(&parameters.quantile_alpha),
        _ => return Ok(vec![None]),
    };
    if !(1..=MAX_QUANTILES).contains(&alphas.len()) {
        let problem = format!("the model has {} quantiles, allowed are 1 to {MAX_QUANTILES}", alphas.len());
        return Err(ImportError::Levels(problem));
    }
    alphas.into_iter().map(|alpha| parsed_level(alpha).map(Some).map_err(ImportError::Levels)).collect()
}

/// One start value a quantile; a file of before version 3.1 has one for all.
fn base_scores(text: &str, quantiles: usize) -> Result<Vec<f64>, ImportError> {
    let wrong = || ImportError::Foreign {
        format: FORMAT,
        problem: format!("base_score is \"{}\", needed are 1 or {quantiles} finite numbers", short(text)),
    };
    let parse = |word: &str| word.parse::<f32>().ok().filter(|value| value.is_finite()).map(f64::from);
    let scores: Vec<f64> = numbers(text).into_iter().map(parse).collect::<Option<_>>().ok_or_else(wrong)?;
    match scores[..] {
        [one] => Ok(vec![one; quantiles]),
        _ if scores.len() == quantiles => Ok(scores),
        _ => Err(wrong()),
    }
}

/// `0.5` or `[5E-1,9.5E-1]` into its numbers, a few more than there may be at most.
fn numbers(text: &str) -> Vec<&str> {
    let inside = text.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
    inside.split(',').map(str::trim).filter(|word| !word.is_empty()).take(MAX_QUANTILES + 1).collect()
}

impl Tree {
    fn in_pre_order(&self, features: &[u16]) -> Result<BinaryTree, String> {
        if !["", "0", "1"].contains(&self.tree_param.size_leaf_vector.as_str()) {
            return Err("its leaves are vectors, which are not served: train with multi_strategy=one_output_per_tree"
                .to_owned());
        }
        let nodes = self.left_children.len();
        for (name, length) in [
            ("right_children", self.right_children.len()),
            ("split_indices", self.split_indices.len()),
            ("split_conditions", self.split_conditions.len()),
            ("default_left", self.default_left.len()),
        ] {
            if length != nodes {
                return Err(format!("{name} has {length} entries, left_children has {nodes}"));
            }
        }
        if self.split_type.iter().any(|kind| *kind != 0) {
            return Err("it has categorical splits, which are not served: train with numbers alone".to_owned());
        }
        let child = |number: i32| match usize::try_from(number).ok().filter(|at| *at < nodes) {
            Some(at) if self.left_children[at] == NO_CHILD => Ok(Child::Leaf(f64::from(self.split_conditions[at]))),
            Some(at) => Ok(Child::Split(at)),
            None => Err(format!("node {number} does not exist, there are {nodes}")),
        };
        pre_order::tree(child(0)?, nodes, |at| {
            let index = self.split_indices[at] as usize;
            let feature = features
                .get(index)
                .ok_or_else(|| format!("node {at} asks for feature {index}, there are {}", features.len()))?;
            let condition = self.split_conditions[at];
            if !condition.is_finite() {
                return Err(format!("node {at} has the split condition {condition}: only finite numbers are allowed"));
            }
            let question = BinarySplit {
                feature: *feature,
                threshold: below(condition),
                right: 0,
                missing_left: self.default_left[at].is_set(),
                zero_is_missing: false,
            };
            Ok(Fork { question, left: child(self.left_children[at])?, right: child(self.right_children[at])? })
        })
    }
}

/// At most [`MAX_NAMES`] names are kept: an empty name is three bytes in the file and twenty-four in memory.
fn bounded_names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of names")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < MAX_NAMES {
                match names.next_element()? {
                    Some(name) => kept.push(name),
                    None => return Ok(kept),
                }
            }
            while names.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }

    deserializer.deserialize_seq(Bounded)
}

#[cfg(test)]
mod tests;
