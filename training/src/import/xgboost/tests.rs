//! What is read of a JSON model, and what is refused with the tree.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use serde_json::{Value, json};
use tailcast_features::FEATURES;
use tailcast_model::ensemble::Node;

/// Two quantiles of one tree each, the second a constant.
fn document() -> Value {
    let names: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
    json!({"version": [3, 2, 0], "learner": {
        "attributes": {},
        "feature_names": names,
        "feature_types": [],
        "learner_model_param": {"base_score": "[1.5E0,2.25E0]", "num_class": "0", "num_feature": "31", "num_target": "2"},
        "objective": {"name": "reg:quantileerror", "quantile_loss_param": {"quantile_alpha": "[5E-1,9.9E-1]"}},
        "gradient_booster": {"name": "gbtree", "model": {
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "2"},
            "tree_info": [0, 1],
            "trees": [
                {"tree_param": {"size_leaf_vector": "1"}, "left_children": [1, -1, 3, -1, -1], "right_children": [2, -1, 4, -1, -1],
                 "split_indices": [10, 0, 3, 0, 0], "split_conditions": [4.0, 0.25, -1.5, 0.5, 0.75],
                 "default_left": [1, 0, 0, 0, 0], "split_type": [0, 0, 0, 0, 0], "loss_changes": [9.0, 0.0, 4.0, 0.0, 0.0]},
                {"tree_param": {"size_leaf_vector": "1"}, "left_children": [-1], "right_children": [-1], "split_indices": [0],
                 "split_conditions": [-0.125], "default_left": [0], "split_type": [0], "loss_changes": [0.0]}
            ]
        }}
    }})
}

fn changed(change: impl FnOnce(&mut Value)) -> Result<Foreign, ImportError> {
    let mut document = document();
    change(&mut document["learner"]);
    read(document.to_string().as_bytes())
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    changed(change).unwrap_err().to_string()
}

fn tree(learner: &mut Value) -> &mut Value {
    &mut learner["gradient_booster"]["model"]["trees"][0]
}

#[test]
fn trees_base_scores_and_levels_are_read() {
    let foreign = read(document().to_string().as_bytes()).unwrap();
    assert_eq!((foreign.levels, foreign.base), (vec![Some(0.5), Some(0.99)], vec![1.5, 2.25]));
    let split = |feature, condition: f32, right, missing_left| {
        let threshold = condition.next_down();
        Node::Split(BinarySplit { feature, threshold, right, missing_left, zero_is_missing: false })
    };
    let expected =
        [split(10, 4.0, 2, true), Node::Leaf(0.25), split(3, -1.5, 4, false), Node::Leaf(0.5), Node::Leaf(0.75)];
    assert_eq!(foreign.trees[0][0].nodes, expected);
    assert_eq!(foreign.trees[1][0].nodes, [Node::Leaf(-0.125)]);
    assert_eq!((foreign.gains[10], foreign.gains[3], foreign.gains[0]), (9.0, 4.0, 0.0));
    assert!(foreign.notes.is_empty());
}

#[test]
fn files_of_older_versions_are_read() {
    let old = changed(|learner| {
        learner["learner_model_param"]["base_score"] = "5E-1".into();
        tree(learner)["default_left"] = json!([true, false, false, false, false]);
        tree(learner).as_object_mut().unwrap().remove("split_type");
    });
    let old = old.unwrap();
    assert_eq!(old.base, [0.5, 0.5]);
    assert_eq!(old.trees, read(document().to_string().as_bytes()).unwrap().trees);
}

#[test]
fn a_model_of_one_output_may_not_know_its_level() {
    let one = |objective: &str, alpha: Option<&str>| {
        changed(|learner| {
            learner["objective"] = json!({"name": objective});
            if let Some(alpha) = alpha {
                learner["objective"]["quantile_loss_param"] = json!({"quantile_alpha": alpha});
            }
            learner["learner_model_param"]["base_score"] = "1E0".into();
            learner["gradient_booster"]["model"]["tree_info"] = json!([0, 0]);
        })
    };
    assert_eq!(one("reg:squarederror", None).unwrap().levels, [None]);
    assert_eq!(one("reg:absoluteerror", None).unwrap().levels, [None]);
    assert_eq!(one("reg:quantileerror", Some("0.95")).unwrap().levels, [Some(0.95)]);
    assert!(one("reg:quantileerror", Some("[]")).unwrap_err().to_string().contains("0 quantiles"));
    assert!(one("reg:quantileerror", Some("1.5")).unwrap_err().to_string().contains("between 0 and 1"));
}

#[test]
fn rounds_beyond_the_best_are_noted() {
    let noted = changed(|learner| learner["attributes"]["best_iteration"] = "0".into()).unwrap();
    assert!(noted.notes[0].contains("all 1 rounds are taken, though the best was 0"), "{:?}", noted.notes);
}

#[test]
fn models_of_another_kind_are_refused_with_what_would_be_right() {
    let booster = |name: &str| refusal(|learner| learner["gradient_booster"] = json!({"name": name}));
    assert!(booster("dart").contains("booster=gbtree") && booster("gblinear").contains("booster gblinear"));
    let objective = refusal(|learner| learner["objective"]["name"] = "reg:gamma".into());
    assert!(objective.contains("reg:gamma cannot be imported: objective must be reg:quantileerror"), "{objective}");
    assert!(refusal(|learner| learner["learner_model_param"]["num_class"] = "3".into()).contains("several classes"));
    assert!(refusal(|learner| tree(learner)["split_type"][0] = 1.into()).contains("tree 0: it has categorical splits"));
    let vector = refusal(|learner| tree(learner)["tree_param"]["size_leaf_vector"] = "2".into());
    assert!(vector.contains("one_output_per_tree"), "{vector}");
    assert!(refusal(|learner| learner["feature_names"] = json!([])).contains("0 features are not the 31"));
    assert!(refusal(|learner| learner["feature_names"] = json!(vec![""; 5000])).contains("1000 features"));
    for other in [&b"{L\x00"[..], b"", b"[{\"nodeid\": 0}]", b"tree\nversion=v4"] {
        let error = read(other).unwrap_err().to_string();
        assert!(error.contains("save_model(\"model.json\")"), "{error}");
    }
}

#[test]
fn damage_is_refused_with_its_tree() {
    let with = |key: &str, value: Value| refusal(|learner| tree(learner)[key] = value);
    assert!(
        with("left_children", json!([0, -1, 3, -1, -1]))
            .contains("tree 0: split 0 has two parents, or is below itself")
    );
    assert!(with("left_children", json!([9, -1, 3, -1, -1])).contains("node 9 does not exist, there are 5"));
    assert!(with("left_children", json!([-2, -1, 3, -1, -1])).contains("node -2 does not exist"));
    assert!(with("right_children", json!([-1, -1, 4, -1, -1])).contains("node -1 does not exist"));
    assert!(with("left_children", json!([])).contains("right_children has 5 entries, left_children has 0"));
    assert!(with("split_indices", json!([31, 0, 3, 0, 0])).contains("asks for feature 31, there are 31"));
    assert!(with("split_conditions", json!([1e300, 0, 0, 0, 0])).contains("finite"));
    assert!(with("split_conditions", json!([1.0, 1e300, 0, 0, 0])).contains("a leaf of value inf"));
    assert!(with("default_left", json!([1])).contains("default_left has 1 entries"));
    let info = |value: Value| refusal(|learner| learner["gradient_booster"]["model"]["tree_info"] = value);
    assert!(info(json!([0])).contains("tree_info has 1 entries for 2 trees"));
    assert!(info(json!([2, 0])).contains("tree 0: it is of output 2, there are 2"));
    let base = |text: &str| refusal(|learner| learner["learner_model_param"]["base_score"] = text.into());
    assert!(
        base("[1,2,3]").contains("1 or 2 finite numbers")
            && base("nan").contains("finite")
            && base("").contains("finite")
    );
}
