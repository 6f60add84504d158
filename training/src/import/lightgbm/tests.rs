//! What is read of a text model, and what is refused with the line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use tailcast_features::FEATURES;
use tailcast_model::ensemble::Node;

/// A model of two trees: the first with a question of each kind of missing value, the second a constant.
fn text() -> String {
    let names: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=30\nobjective=quantile\n\
         feature_names={}\nfeature_infos=none\ntree_sizes=1 1\n\n\
         Tree=0\nnum_leaves=4\nnum_cat=0\nsplit_feature=0 10 5\nsplit_gain=3 2 1\nthreshold=0.1 -2.5 1.0000000180025095e-35\n\
         decision_type=2 10 4\nleft_child=1 -1 -3\nright_child=2 -2 -4\nleaf_value=1 2 3 4\nis_linear=0\nshrinkage=1\n\n\n\
         Tree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=-0.5\nshrinkage=1\n\n\n\
         end of trees\n\nfeature_importances:\nroute_cost=1\n\nparameters:\n[boosting: gbdt]\n[alpha: 0.95]\n[metric: ]\n\n\
         end of parameters\n\npandas_categorical:null\n",
        names.join(" ")
    )
}

fn refusal(from: &str, to: &str) -> String {
    let text = text();
    assert!(text.contains(from), "{from}");
    read(&text.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn trees_missing_values_and_the_level_are_read() {
    let foreign = read(&text()).unwrap();
    assert_eq!((foreign.levels, foreign.base), (vec![Some(0.95)], vec![0.0]));
    let split = |feature, threshold, right, missing_left, zero_is_missing| {
        Node::Split(BinarySplit { feature, threshold, right, missing_left, zero_is_missing })
    };
    let expected = [
        // Nothing is missing: NaN is read as 0, which is at most 0.1. The f32 nearest to 0.1 is above it.
        split(0, 0.1f32.next_down(), 4, true, false),
        split(10, -2.5, 3, true, false),
        Node::Leaf(1.0),
        Node::Leaf(2.0),
        split(5, 1e-35, 6, false, true),
        Node::Leaf(3.0),
        Node::Leaf(4.0),
    ];
    assert_eq!(foreign.trees[0][0].nodes, expected);
    assert_eq!(foreign.trees[0][1].nodes, [Node::Leaf(-0.5)]);
    assert_eq!((foreign.gains[0], foreign.gains[10], foreign.gains[5], foreign.gains[1]), (3.0, 2.0, 1.0, 0.0));
}

#[test]
fn what_is_zero_to_lightgbm_goes_as_zero_does() {
    let kzero = f64::from(ZERO);
    for threshold in [0.0, -0.0, kzero, kzero / 2.0] {
        let largest = largest_left(threshold);
        assert!(
            [-ZERO, -0.0, 0.0, ZERO].iter().all(|value| *value <= largest) && ZERO.next_up() > largest,
            "{threshold}"
        );
    }
    for threshold in [-kzero, -kzero / 2.0] {
        let largest = largest_left(threshold);
        assert!([-ZERO, -0.0, 0.0, ZERO].iter().all(|value| *value > largest), "{threshold}");
        assert!((-ZERO).next_down() <= largest, "{threshold}");
    }
    assert_eq!([largest_left(2e-35), largest_left(-2e-35)], [at_most(2e-35), at_most(-2e-35)]);
}

#[test]
fn windows_line_ends_are_taken() {
    assert_eq!(read(&text().replace('\n', "\r\n")).unwrap(), read(&text()).unwrap());
}

#[test]
fn a_model_of_the_mean_does_not_say_its_level_though_it_has_an_alpha() {
    for objective in ["regression", "regression_l1"] {
        let text = text().replace("objective=quantile", &format!("objective={objective}"));
        assert_eq!(read(&text).unwrap().levels, [None]);
    }
    assert_eq!(read(&text().replace("[alpha: 0.95]\n", "")).unwrap().levels, [None]);
}

#[test]
fn models_of_another_kind_are_refused_with_what_would_be_right() {
    for (from, to, says) in [
        (
            "objective=quantile\n",
            "objective=poisson\n",
            "\"poisson\" cannot be imported: objective must be quantile, regression",
        ),
        ("objective=quantile\n", "objective=regression sqrt\n", "reg_sqrt=false"),
        ("objective=quantile\n", "", "custom objective"),
        ("label_index=0", "average_output", "boosting=rf"),
        ("num_class=1", "num_class=3", "line 3: num_class is \"3\""),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "line 4"),
        ("version=v4", "version=v5", "v2 to v4"),
        ("num_cat=0", "num_cat=1", "categorical"),
        ("is_linear=0", "is_linear=1", "linear_tree=false"),
        ("decision_type=2 10 4", "decision_type=2 11 4", "split 1 is categorical"),
        ("feature_names=route_cost", "feature_names=Column_0", "unknown: Column_0"),
        ("feature_names=", "other_names=", "no feature_names"),
        ("tree\n", "{\"learner\"", "save_model(\"model.txt\")"),
    ] {
        let error = refusal(from, to);
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn damage_is_refused_with_its_line() {
    for (from, to, says) in [
        ("num_leaves=4", "num_leaves=0", "line 13: num_leaves is 0, allowed are 1 to 16384"),
        ("num_leaves=4", "num_leaves=99999999", "line 13"),
        ("num_leaves=4", "num_leaves=5", "leaf_value has 4 values, 5 are needed"),
        ("num_leaves=4\n", "", "line 12: the tree has no num_leaves"),
        ("num_leaves=4", "num_leaves=four", "line 13: num_leaves is \"four\""),
        ("split_feature=0 10 5", "split_feature=0 31 5", "asks for feature 31, there are 31"),
        ("split_feature=0 10 5", "split_feature=0 -1 5", "line 15: split_feature has \"-1\""),
        ("threshold=0.1", "threshold=nan", "split 0 has the threshold NaN"),
        ("threshold=0.1", "threshold=0,1", "line 17: threshold has \"0,1\""),
        ("decision_type=2 10 4", "decision_type=2 10 12", "split 2 has the decision_type 12"),
        ("decision_type=2 10 4", "decision_type=2 10 256", "line 18"),
        ("left_child=1 -1 -3", "left_child=0 -1 -3", "split 0 has two parents, or is below itself"),
        ("left_child=1 -1 -3", "left_child=3 -1 -3", "split 3 does not exist, there are 3"),
        ("left_child=1 -1 -3", "left_child=1 -5 -3", "leaf 4 does not exist, there are 4"),
        ("left_child=1 -1 -3", "left_child=1 -2147483648 -3", "leaf 2147483647 does not exist"),
        ("leaf_value=1 2", "leaf_value=inf 2", "a leaf of value inf"),
        ("Tree=1", "Tree=2", "\"Tree=2\" where Tree=1 is due"),
        ("num_cat=0\nsplit", "num_cat=0\nnum_cat=0\nsplit", "line 15: \"num_cat\" is there twice"),
        ("end of trees", "end of file", "\"end of file\" where a tree is due"),
        ("[alpha: 0.95]", "[alpha: 95]", "the quantile level \"95\" is no number between 0 and 1"),
    ] {
        let error = refusal(from, to);
        assert!(error.contains(says), "{to}: {error}");
    }
    let surplus: String = (0..MAX_LINES).map(|at| format!("key{at}=1\n")).collect();
    assert!(refusal("label_index=0\n", &surplus).contains("more than 100 lines"));
    let text = text();
    let cut = &text[..text.find("end of trees").unwrap()];
    assert!(read(cut).unwrap_err().to_string().contains("cut off"));
}
