//! The features of a foreign model, found in the schema by name.
//!
//! By name and never by position: a training script that sorts its columns otherwise would go through without a word, and every
//! forecast would be wrong.

use super::error::ImportError;
use tailcast_features::FEATURES;
use tailcast_features::log::column::FEATURE_PREFIX;
use tailcast_features::schema::position;

/// Names that a message lists before it says how many more there are.
const LISTED: usize = 8;

/// Position of a feature by its name, or by the name of its column in the log.
fn found(name: &str) -> Option<usize> {
    position(name.strip_prefix(FEATURE_PREFIX).unwrap_or(name))
}

/// Position in the schema of each feature of the model. `how` says how the library takes names.
pub(super) fn positions(names: &[&str], how: &'static str) -> Result<Vec<u16>, ImportError> {
    let found: Vec<Option<usize>> = names.iter().map(|name| found(name)).collect();
    let unknown: Vec<&str> = names.iter().zip(&found).filter(|(_, at)| at.is_none()).map(|(name, _)| *name).collect();
    let is_missing = |at: usize| !found.contains(&Some(at));
    let missing: Vec<&str> =
        FEATURES.iter().enumerate().filter(|(at, _)| is_missing(*at)).map(|(_, feature)| feature.name).collect();
    let is_twice = |at: &usize| found[..*at].contains(&found[*at]) && found[*at].is_some();
    let twice: Vec<&str> = (0..names.len()).filter(is_twice).map(|at| names[at]).collect();
    let problem = [("missing", missing), ("unknown", unknown), ("there twice", twice)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", list(&names)))
        .collect::<Vec<_>>()
        .join("; ");
    if !problem.is_empty() {
        return Err(ImportError::Features { found: names.len(), problem, how });
    }
    Ok(found.into_iter().flatten().map(|at| at as u16).collect())
}

fn list(names: &[&str]) -> String {
    // Names of a hostile file may be anything.
    let shown: Vec<String> =
        names.iter().take(LISTED).map(|name| name.chars().take(40).flat_map(char::escape_debug).collect()).collect();
    match names.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn all() -> Vec<&'static str> {
        FEATURES.iter().map(|feature| feature.name).collect()
    }

    fn refusal(names: &[&str]) -> String {
        positions(names, "feature_name=[…]").unwrap_err().to_string()
    }

    #[test]
    fn names_of_features_or_of_columns_in_any_order_are_found() {
        let mut names = all();
        names.reverse();
        names[0] = "f_route_endpoint_count";
        let expected: Vec<u16> = (0..FEATURES.len() as u16).rev().collect();
        assert_eq!(positions(&names, "").unwrap(), expected);
    }

    #[test]
    fn missing_unknown_and_doubled_names_are_listed_with_what_to_do() {
        let mut names = all();
        names[3] = "tenant_counts";
        let error = refusal(&names);
        assert!(error.contains("missing: tenant_count;") && error.contains("unknown: tenant_counts;"), "{error}");
        assert!(error.contains("feature_name=[…]"), "{error}");
        names = all();
        names.push(names[0]);
        assert!(refusal(&names).contains("32 features are not the 31 of the schema: there twice: route_cost"));
        let error = refusal(&["Column_0", "a\nb"]);
        assert!(error.contains("and 23 more") && error.contains("Column_0, a\\nb"), "{error}");
    }
}
