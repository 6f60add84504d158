//! LightGBM's text models (`save_model`), of its versions 2 to 4.
//!
//! A header of `key=value` lines, trees of such lines, then the parameters of the training as `[name: value]`. Read line by line, so
//! that whatever is wrong is said with its line. Leaves already hold the learning rate, and the first tree the average that
//! boosting started from, so there is nothing beside the trees.
//!
//! A split's `decision_type` is a bit field: 1 categorical, 2 default left, 4 and 8 the kind of missing value (none, zero, NaN).
//! Where there is none, NaN is read as zero and compared (`Tree::NumericalDecision` in LightGBM's `tree.h`). Its predictor takes every
//! value up to 1e-35 for zero before it asks a tree, and its trainer puts thresholds exactly there: see `largest_left`.

use super::error::ImportError;
use super::pre_order::{self, Child, Fork};
use super::{Foreign, Limits, names, parsed_level};
use std::collections::HashMap;
use std::str::FromStr;
use tailcast_features::FEATURE_COUNT;
use tailcast_model::ensemble::{BinarySplit, BinaryTree, MAX_TREE_NODES, Trainer, ZERO, at_most};

/// What a message calls the format.
const FORMAT: &str = "LightGBM text model";

/// How names are given to LightGBM.
const HOW: &str = "lightgbm.Dataset(…, feature_name=[…])";

/// Objectives whose raw score is the forecast itself.
const OBJECTIVES: [&str; 3] = ["quantile", "regression", "regression_l1"];

/// Lines of the header or of one tree: LightGBM writes about twenty, and each is kept until its section is read.
const MAX_LINES: usize = 100;

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_SHIFT: u8 = 2;

/// Lines with their numbers from 1.
type Line<'a> = (usize, &'a str);

/// `key=value` lines up to a blank one.
type Section<'a> = HashMap<&'a str, Line<'a>>;

/// Reads a model of one quantile.
///
/// # Errors
/// The text is no such model, is damaged, or is of a kind that cannot be served.
pub(super) fn read(text: &str) -> Result<Foreign, ImportError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end())).peekable();
    let is_blank = |(_, line): &Line<'_>| line.is_empty();
    while lines.next_if(is_blank).is_some() {}
    if lines.next().is_none_or(|(_, line)| line != "tree") {
        let problem = "it does not begin with \"tree\"; write it with save_model(\"model.txt\")".to_owned();
        return Err(ImportError::Foreign { format: FORMAT, problem });
    }
    let header = section(&mut lines)?;
    let features = check_header(&header)?;
    let mut limits = Limits::default();
    let mut trees = Vec::new();
    let mut gains = vec![0.0f64; FEATURE_COUNT];
    loop {
        while lines.next_if(is_blank).is_some() {}
        match lines.next() {
            Some((_, "end of trees")) => break,
            Some((line, start)) if start.starts_with("Tree=") => {
                if start != format!("Tree={}", trees.len()) {
                    return Err(wrong(line, format!("{} where Tree={} is due", shown(start), trees.len())));
                }
                let tree = tree(&section(&mut lines)?, line, &features, &mut gains)?;
                limits.count(&tree)?;
                trees.push(tree);
            }
            Some((line, other)) => return Err(wrong(line, format!("{} where a tree is due", shown(other)))),
            None => {
                let problem = "it ends before \"end of trees\": the file is cut off".to_owned();
                return Err(ImportError::Foreign { format: FORMAT, problem });
            }
        }
    }
    let level = check_parameters(lines)?.filter(|_| is_quantile(&header));
    Ok(Foreign {
        trainer: Trainer::LightGbm,
        levels: vec![level],
        base: vec![0.0],
        trees: vec![trees],
        gains,
        notes: Vec::new(),
    })
}

fn wrong(line: usize, problem: impl Into<String>) -> ImportError {
    ImportError::Line { line, problem: problem.into() }
}

/// A piece of a file that may hold anything.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    format!("\"{start}\"")
}

fn unsupported(found: impl Into<String>, right: &'static str) -> ImportError {
    ImportError::Unsupported { found: found.into(), right }
}

/// Lines up to a blank one, the next tree or the end of the trees. A line without `=` is a key without a value.
fn section<'a>(lines: &mut std::iter::Peekable<impl Iterator<Item = Line<'a>>>) -> Result<Section<'a>, ImportError> {
    let mut section = Section::new();
    let goes_on = |(_, line): &Line<'_>| !line.is_empty() && !line.starts_with("Tree=") && *line != "end of trees";
    while let Some((number, line)) = lines.next_if(goes_on) {
        if section.len() == MAX_LINES {
            return Err(wrong(number, format!("more than {MAX_LINES} lines without a blank one")));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if section.insert(key, (number, value)).is_some() {
            return Err(wrong(number, format!("{} is there twice", shown(key))));
        }
    }
    Ok(section)
}

fn is_quantile(header: &Section<'_>) -> bool {
    header.get("objective").is_some_and(|(_, value)| value.split_whitespace().next() == Some("quantile"))
}

/// The position of each feature in the schema.
fn check_header(header: &Section<'_>) -> Result<Vec<u16>, ImportError> {
    let one = |key: &str| match header.get(key) {
        Some((line, value)) if *value != "1" => {
            Err(wrong(*line, format!("{key} is {}, only 1 can be served", shown(value))))
        }
        _ => Ok(()),
    };
    let unknown = |(_, version): &&Line<'_>| !["v2", "v3", "v4"].contains(version);
    if let Some((line, version)) = header.get("version").filter(unknown) {
        return Err(wrong(*line, format!("version {} is unknown, v2 to v4 are read", shown(version))));
    }
    one("num_class")?;
    one("num_tree_per_iteration")?;
    if header.contains_key("average_output") {
        return Err(unsupported("a random forest (boosting=rf)", "train with boosting=gbdt, goss or dart"));
    }
    match header.get("objective") {
        None => {
            let right = "train with objective=quantile, and alpha";
            return Err(unsupported("a model of a custom objective", right));
        }
        Some((_, objective)) => {
            let mut words = objective.split_whitespace();
            let name = words.next().unwrap_or("");
            if !OBJECTIVES.contains(&name) {
                let right = "objective must be quantile, regression or regression_l1";
                return Err(unsupported(format!("objective {}", shown(name)), right));
            }
            if words.any(|word| word == "sqrt") {
                return Err(unsupported("reg_sqrt=true", "its score is not the forecast: train with reg_sqrt=false"));
            }
        }
    }
    let Some((line, names)) = header.get("feature_names") else {
        let problem = "its header has no feature_names".to_owned();
        return Err(ImportError::Foreign { format: FORMAT, problem });
    };
    if names.len() > super::MAX_NAMES_BYTES {
        return Err(wrong(*line, format!("feature_names has {} bytes", names.len())));
    }
    let names: Vec<&str> = names.split(' ').filter(|name| !name.is_empty()).collect();
    names::positions(&names, HOW)
}

/// Reads the parameters, of which only the quantile level matters.
fn check_parameters<'a>(lines: impl Iterator<Item = Line<'a>>) -> Result<Option<f32>, ImportError> {
    let mut level = None;
    for (number, line) in lines {
        let Some((name, value)) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')?.split_once(": "))
        else {
            continue;
        };
        if name == "alpha" {
            level = Some(parsed_level(value).map_err(|problem| wrong(number, problem))?);
        }
    }
    Ok(level)
}

fn tree(section: &Section<'_>, start: usize, features: &[u16], gains: &mut [f64]) -> Result<BinaryTree, ImportError> {
    let leaves: usize = number(section, start, "num_leaves")?;
    if !(1..=MAX_TREE_NODES / 2).contains(&leaves) {
        let line = section.get("num_leaves").map_or(start, |(line, _)| *line);
        return Err(wrong(line, format!("num_leaves is {leaves}, allowed are 1 to {}", MAX_TREE_NODES / 2)));
    }
    for (key, right) in [
        ("num_cat", "categorical splits are not served: train without categorical_feature"),
        ("is_linear", "linear trees are not served: train with linear_tree=false"),
    ] {
        match section.get(key) {
            None | Some((_, "0")) => {}
            Some((line, value)) => {
                return Err(unsupported(format!("a tree with {key}={} (line {line})", shown(value)), right));
            }
        }
    }
    let values: Vec<f64> = array(section, start, "leaf_value", leaves)?;
    if leaves == 1 {
        let root = Child::Leaf(values[0]);
        return pre_order::tree(root, 0, |_| Err(String::new())).map_err(|problem| wrong(start, problem));
    }
    let splits = leaves - 1;
    let split_feature: Vec<usize> = array(section, start, "split_feature", splits)?;
    let threshold: Vec<f64> = array(section, start, "threshold", splits)?;
    let decision_type: Vec<u8> = array(section, start, "decision_type", splits)?;
    let left: Vec<i32> = array(section, start, "left_child", splits)?;
    let right: Vec<i32> = array(section, start, "right_child", splits)?;
    let split_gain: Vec<f64> = match section.contains_key("split_gain") {
        true => array(section, start, "split_gain", splits)?,
        false => Vec::new(),
    };
    let child = |number: i32| match usize::try_from(number) {
        Ok(split) => Ok(Child::Split(split)),
        // A leaf is the complement of its number.
        Err(_) => match values.get(!number as usize) {
            Some(value) => Ok(Child::Leaf(*value)),
            None => Err(format!("leaf {} does not exist, there are {leaves}", !number)),
        },
    };
    let fork = |at: usize| {
        let feature = features.get(split_feature[at]).ok_or_else(|| {
            format!("split {at} asks for feature {}, there are {}", split_feature[at], features.len())
        })?;
        let question =
            question(*feature, threshold[at], decision_type[at]).map_err(|problem| format!("split {at} {problem}"))?;
        Ok(Fork { question, left: child(left[at])?, right: child(right[at])? })
    };
    let tree = pre_order::tree(Child::Split(0), splits, fork).map_err(|problem| wrong(start, problem))?;
    for (feature, gain) in split_feature.iter().zip(&split_gain) {
        super::gain(gains, features.get(*feature), *gain);
    }
    Ok(tree)
}

/// What a split asks; `right` is filled in later.
fn question(feature: u16, threshold: f64, decision_type: u8) -> Result<BinarySplit, String> {
    if threshold.is_nan() {
        return Err("has the threshold NaN".to_owned());
    }
    if decision_type & CATEGORICAL != 0 {
        return Err("is categorical, which is not served: train without categorical_feature".to_owned());
    }
    let default_left = decision_type & DEFAULT_LEFT != 0;
    let (missing_left, zero_is_missing) = match decision_type >> MISSING_SHIFT {
        // A missing value is read as zero, and compared.
        0 => (0.0 <= threshold, false),
        1 => (default_left, true),
        2 => (default_left, false),
        _ => return Err(format!("has the decision_type {decision_type}, allowed are 0 to 11")),
    };
    Ok(BinarySplit { feature, threshold: largest_left(threshold), right: 0, missing_left, zero_is_missing })
}

/// The largest value that goes left. All that is zero to LightGBM goes as zero does, whatever its sign.
fn largest_left(threshold: f64) -> f32 {
    match threshold.abs() <= f64::from(ZERO) {
        false => at_most(threshold),
        true if threshold >= 0.0 => ZERO,
        true => (-ZERO).next_down(),
    }
}

fn value<'a>(section: &Section<'a>, start: usize, key: &str) -> Result<Line<'a>, ImportError> {
    section.get(key).copied().ok_or_else(|| wrong(start, format!("the tree has no {key}")))
}

fn number<T: FromStr>(section: &Section<'_>, start: usize, key: &str) -> Result<T, ImportError> {
    let (line, text) = value(section, start, key)?;
    text.parse().map_err(|_| wrong(line, format!("{key} is {}, not a number that it can be", shown(text))))
}

/// Exactly `count` numbers, separated by blanks.
fn array<T: FromStr>(section: &Section<'_>, start: usize, key: &str, count: usize) -> Result<Vec<T>, ImportError> {
    let (line, text) = value(section, start, key)?;
    let found = text.split_ascii_whitespace().count();
    if found != count {
        return Err(wrong(line, format!("{key} has {found} values, {count} are needed")));
    }
    let parse =
        |word: &str| word.parse().map_err(|_| wrong(line, format!("{key} has {}, which it cannot be", shown(word))));
    text.split_ascii_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests;
