//! That a forecast is what the library would say, and that nothing but whole trees is accepted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::testing::{any_ensemble, any_feature_row, small_ensemble};
use proptest::prelude::*;
use tailcast_features::index;

const EMPTY: Row = [f32::NAN; FEATURE_COUNT];

fn row_with(values: &[(usize, f32)]) -> Row {
    let mut row = EMPTY;
    values.iter().for_each(|(feature, value)| row[*feature] = *value);
    row
}

fn forecast(row: &Row) -> Vec<f32> {
    Ensemble::new(small_ensemble()).unwrap().forecast(row).ln_ms().to_vec()
}

/// One row by the book, one node after the other.
fn by_the_book(parts: &EnsembleParts, quantile: usize, row: &Row) -> f32 {
    let leaf = |tree: &BinaryTree| {
        let mut at = 0;
        loop {
            match &tree.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Split(split) => {
                    let value = row[usize::from(split.feature)];
                    let missing = value.is_nan() || split.zero_is_missing && (-1e-35..=1e-35).contains(&value);
                    let left = if missing { split.missing_left } else { value <= split.threshold };
                    at = if left { at + 1 } else { usize::from(split.right) };
                }
            }
        }
    };
    let leaves = parts.trees[quantile].iter().map(leaf);
    match parts.trainer {
        Trainer::LightGbm => leaves.fold(parts.base[quantile], |sum, leaf| sum + leaf) as f32,
        Trainer::XgBoost => leaves.fold(parts.base[quantile] as f32, |sum, leaf| sum + leaf as f32),
    }
}

#[test]
fn a_value_at_the_threshold_goes_left_and_a_missing_one_where_the_split_says() {
    assert_eq!(forecast(&row_with(&[(3, 1.5), (5, -1.0), (10, 4.0)])), [0.5, 2.25]);
    assert_eq!(forecast(&row_with(&[(3, 1.500_001), (10, 4.5)])), [1.0, 3.25]);
    assert_eq!(forecast(&EMPTY), [0.75, 3.25], "feature 3 is missing to the left, 5 and 10 to the right");
}

#[test]
fn where_zero_is_missing_what_is_almost_zero_is_too() {
    for almost in [0.0, -0.0, 1e-35, -1e-35] {
        assert_eq!(forecast(&row_with(&[(5, almost)]))[0], 0.75, "{almost}");
    }
    assert_eq!(forecast(&row_with(&[(5, -1.1e-35)]))[0], 0.5);
}

#[test]
fn the_highest_border_is_that_of_the_splits_of_the_feature() {
    let ensemble = Ensemble::new(small_ensemble()).unwrap();
    assert_eq!(ensemble.highest_border(index::IN_FLIGHT), Some(4.0));
    assert_eq!(ensemble.highest_border(5), Some(ZERO), "zero goes right, and so does what is above");
    assert_eq!(ensemble.highest_border(6), None);
    assert_eq!(ensemble.tree_count(), 2);
}

#[test]
fn only_the_quantiles_that_are_asked_for_are_forecast() {
    let ensemble = Ensemble::new(small_ensemble()).unwrap();
    let mut out = [Forecast::default(); 2];
    ensemble.forecast_batch(1, &[EMPTY; 3], &mut out);
    assert_eq!(out.map(|forecast| forecast.ln_ms().to_vec()), [[0.75], [0.75]]);
}

#[test]
fn what_is_not_a_tree_is_refused_with_its_number() {
    let refusal = |change: fn(&mut EnsembleParts)| {
        let mut parts = small_ensemble();
        change(&mut parts);
        Ensemble::new(parts).unwrap_err().to_string()
    };
    let split = |right| {
        Node::Split(BinarySplit { feature: 0, threshold: 0.0, right, missing_left: true, zero_is_missing: false })
    };
    assert!(refusal(|p| p.base.clear()).contains("ensemble.base"));
    assert!(refusal(|p| p.base[1] = f64::NAN).contains("sum of ensemble.leaves has NaN at 1"));
    assert!(refusal(|p| drop(p.trees.pop())).contains("ensemble.tree_counts"));
    assert!(refusal(|p| p.trees[1][0].nodes.clear()).contains("ensemble.node_counts is 0 at 1"));
    assert!(refusal(|p| p.trees[0][0].nodes[2] = Node::Leaf(f64::NAN)).contains("ensemble.leaves has NaN at 0"));
    assert!(refusal(|p| p.trees[0][0].nodes[2] = Node::Leaf(f64::NEG_INFINITY)).contains("ensemble.leaves has -inf"));
    assert!(refusal(|p| p.trees[0][0].nodes[2] = Node::Leaf(2e38)).contains("sum of ensemble.leaves"));
    assert!(refusal(|p| p.trees = vec![vec![p.trees[0][0].clone(); MAX_TREES]; 2]).contains("number of trees"));
    // Too few nodes, too many, a split at the end, right children that lie elsewhere.
    assert!(refusal(|p| _ = p.trees[0][0].nodes.pop()).contains("ensemble.rights"));
    assert!(refusal(|p| p.trees[0][0].nodes.push(Node::Leaf(0.0))).contains("ensemble.rights"));
    let ending: fn(Node) -> String = |node| {
        let mut parts = small_ensemble();
        *parts.trees[1][0].nodes.last_mut().unwrap() = node;
        Ensemble::new(parts).unwrap_err().to_string()
    };
    for right in [0, 2, 3, 9] {
        assert!(ending(split(right)).contains("ensemble.rights"), "{right}");
    }
    let with_split: fn(fn(&mut BinarySplit)) -> String = |change| {
        let mut parts = small_ensemble();
        let Node::Split(split) = &mut parts.trees[0][0].nodes[0] else { unreachable!() };
        change(split);
        Ensemble::new(parts).unwrap_err().to_string()
    };
    assert!(with_split(|s| s.right = 0).contains("ensemble.rights"));
    assert!(with_split(|s| s.right = 1).contains("ensemble.rights"));
    assert!(with_split(|s| s.right = 3).contains("ensemble.rights"));
    assert!(with_split(|s| s.right = 5).contains("ensemble.rights"));
    assert!(with_split(|s| s.feature = FEATURE_COUNT as u16).contains("ensemble.features"));
    assert!(with_split(|s| s.threshold = f32::NAN).contains("ensemble.thresholds"));
}

#[test]
fn a_chain_is_as_deep_as_it_may_be_and_no_deeper() {
    let chain = |levels: usize| {
        let split = |at: usize| BinarySplit {
            feature: 0,
            threshold: at as f32,
            right: (2 * at + 2) as u16,
            missing_left: false,
            zero_is_missing: false,
        };
        let mut nodes: Vec<Node> = (0..levels).flat_map(|at| [Node::Split(split(at)), Node::Leaf(at as f64)]).collect();
        nodes.push(Node::Leaf(-1.0));
        let tree = BinaryTree { nodes };
        Ensemble::new(EnsembleParts { trainer: Trainer::LightGbm, base: vec![0.0], trees: vec![vec![tree]] })
    };
    let deepest = chain(MAX_LEVELS).unwrap();
    assert_eq!(deepest.forecast(&row_with(&[(0, 198.5)])).ln_ms(), [199.0]);
    assert_eq!(deepest.forecast(&EMPTY).ln_ms(), [-1.0]);
    assert!(chain(MAX_LEVELS + 1).unwrap_err().to_string().contains("levels of a tree is 201"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_number_of_rows_is_forecast_by_the_book_now_and_busier(
        parts in any_ensemble(2), rows in prop::collection::vec(any_feature_row(), 1..150)
    ) {
        let ensemble = Ensemble::new(parts.clone()).unwrap();
        let mut batch = vec![Forecast::default(); rows.len()];
        let (mut now, mut busier) = (batch.clone(), batch.clone());
        ensemble.forecast_batch(2, &rows, &mut batch);
        ensemble.forecast_decision(2, &rows, &mut now, &mut busier);
        for (i, row) in rows.iter().enumerate() {
            let mut fuller = *row;
            fuller[index::IN_FLIGHT] += 1.0;
            prop_assert_eq!(ensemble.forecast(row), batch[i]);
            prop_assert_eq!(now[i], batch[i]);
            for quantile in 0..2 {
                prop_assert_eq!(batch[i].ln_ms[quantile].to_bits(), by_the_book(&parts, quantile, row).to_bits());
                prop_assert_eq!(busier[i].ln_ms[quantile].to_bits(), by_the_book(&parts, quantile, &fuller).to_bits());
            }
        }
    }
}

proptest! {
    /// Thresholds near a value are where rounding could change the answer.
    #[test]
    fn one_comparison_in_f32_answers_as_both_libraries_do(value in any::<f32>(), offset in -3i64..=3, any in any::<f64>()) {
        let near = f64::from_bits((f64::from(value).to_bits() as i64).wrapping_add(offset) as u64);
        for threshold in [near, any, 0.0, 1e300, -1e300, f64::from(f32::MAX), 1e-46, -1e-46] {
            if !threshold.is_nan() && !value.is_nan() {
                prop_assert_eq!(value <= at_most(threshold), f64::from(value) <= threshold, "{} {}", value, threshold);
            }
        }
        let near = f32::from_bits((value.to_bits() as i32).wrapping_add(offset as i32) as u32);
        for threshold in [near, any as f32, 0.0, -0.0, f32::MAX, f32::MIN] {
            if threshold.is_finite() && !value.is_nan() {
                prop_assert_eq!(value <= below(threshold), value < threshold, "{} {}", value, threshold);
            }
        }
    }
}
