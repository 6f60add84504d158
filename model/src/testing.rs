//! Random forests, rows and models for the tests of this crate.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::bandit::Bandit;
use crate::calibration::Calibration;
use crate::ensemble::{BinarySplit, BinaryTree, Ensemble, EnsembleParts, Node, Trainer};
use crate::errors::{ErrorHead, ErrorTerm};
use crate::forest::{Forest, ForestParts, MAX_DEPTH, Split, Tree};
use crate::groups::TenantGroups;
use crate::parts::{ModelParts, TrainingWindow};
use proptest::prelude::*;
use tailcast_features::{FEATURE_COUNT, Row};

/// A value of a feature: mostly numbers around the borders of [`any_forest`], also missing and extreme ones.
pub(crate) fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -12.0f32..12.0,
        2 => (-12i8..12).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => prop_oneof![Just(f32::MAX), Just(f32::MIN), Just(0.0), Just(-0.0)],
    ]
}

pub(crate) fn any_row(features: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(any_value(), features)
}

pub(crate) fn any_feature_row() -> impl Strategy<Value = Row> {
    any_row(FEATURE_COUNT).prop_map(|row| row.try_into().unwrap())
}

/// A valid forest of up to 8 trees of any depth.
pub(crate) fn any_forest(features: usize, quantiles: usize) -> impl Strategy<Value = ForestParts> {
    any_forest_up_to(MAX_DEPTH, features, quantiles)
}

/// A forest whose trees have at most `depth` levels.
pub(crate) fn any_forest_up_to(depth: usize, features: usize, quantiles: usize) -> impl Strategy<Value = ForestParts> {
    let borders = prop::collection::vec(prop::collection::btree_set(-10i32..10, 0..8), features).prop_map(|borders| {
        borders
            .into_iter()
            .map(|borders| borders.into_iter().map(|border| border as f32).collect())
            .collect::<Vec<Vec<f32>>>()
    });
    let base = prop::collection::vec(-3.0f32..3.0, quantiles);
    (borders, base).prop_flat_map(move |(borders, base)| {
        let counts: Vec<usize> = borders.iter().map(Vec::len).collect();
        let split = (0..features, any::<prop::sample::Index>()).prop_map(move |(feature, bin)| Split {
            feature: feature as u16,
            bin: bin.index(counts[feature] + 1) as u8,
        });
        let tree = prop::collection::vec(split, 0..=depth).prop_flat_map(move |splits| {
            prop::collection::vec(-1.0f32..1.0, quantiles << splits.len())
                .prop_map(move |leaves| Tree { splits: splits.clone(), leaves })
        });
        prop::collection::vec(tree, 0..8).prop_map(move |trees| ForestParts {
            borders: borders.clone(),
            base: base.clone(),
            trees,
        })
    })
}

/// A valid binary tree of up to 15 splits.
pub(crate) fn any_binary_tree() -> impl Strategy<Value = BinaryTree> {
    let leaf = (-1.0f64..1.0).prop_map(|value| vec![Node::Leaf(value)]);
    let nodes = leaf.prop_recursive(6, 31, 2, |below| {
        let question =
            (0..FEATURE_COUNT as u16, prop_oneof![(-12i8..12).prop_map(f32::from), -12.0f32..12.0], any::<[bool; 2]>());
        (question, below.clone(), below).prop_map(
            |((feature, threshold, [missing_left, zero_is_missing]), left, right)| {
                let right_at = 1 + left.len() as u16;
                let split = BinarySplit { feature, threshold, right: right_at, missing_left, zero_is_missing };
                let moved = |by: usize, node: Node| match node {
                    Node::Split(split) => Node::Split(BinarySplit { right: split.right + by as u16, ..split }),
                    leaf => leaf,
                };
                let left_count = left.len();
                let left = left.into_iter().map(|node| moved(1, node));
                let right = right.into_iter().map(|node| moved(1 + left_count, node));
                std::iter::once(Node::Split(split)).chain(left).chain(right).collect()
            },
        )
    });
    nodes.prop_map(|nodes| BinaryTree { nodes })
}

/// A valid ensemble of either library.
pub(crate) fn any_ensemble(quantiles: usize) -> impl Strategy<Value = EnsembleParts> {
    let trees = prop::collection::vec(prop::collection::vec(any_binary_tree(), 0..6), quantiles);
    let base = prop::collection::vec((-3.0f32..3.0).prop_map(f64::from), quantiles);
    let trainer = prop_oneof![Just(Trainer::LightGbm), Just(Trainer::XgBoost)];
    (trainer, base, trees).prop_map(|(trainer, base, trees)| EnsembleParts { trainer, base, trees })
}

/// Two quantiles of one tree each, with a question of every kind.
pub(crate) fn small_ensemble() -> EnsembleParts {
    let split = |feature, threshold, right, missing_left, zero_is_missing| {
        Node::Split(BinarySplit { feature, threshold, right, missing_left, zero_is_missing })
    };
    let low = vec![
        split(3, 1.5, 4, true, false),
        split(5, 0.0, 3, false, true),
        Node::Leaf(0.5),
        Node::Leaf(0.75),
        Node::Leaf(1.0),
    ];
    let high = vec![split(10, 4.0, 2, false, false), Node::Leaf(2.0), Node::Leaf(3.0)];
    EnsembleParts {
        trainer: Trainer::LightGbm,
        base: vec![0.0, 0.25],
        trees: vec![vec![BinaryTree { nodes: low }], vec![BinaryTree { nodes: high }]],
    }
}

/// [`small_parts`] with imported trees in place of the forest.
pub(crate) fn imported_parts() -> ModelParts {
    let ensemble = Ensemble::new(small_ensemble()).unwrap();
    let imported = ModelParts::imported(vec![0.5, 0.99], ensemble).unwrap();
    ModelParts { forest: imported.forest, ensemble: imported.ensemble, ..small_parts() }
}

/// A small model in which every part is in use: two tenant groups, two endpoints, one tree.
pub(crate) fn small_parts() -> ModelParts {
    let mut borders = vec![Vec::new(); FEATURE_COUNT];
    borders[3] = vec![0.5, 1.5];
    let tree = Tree {
        splits: vec![Split { feature: 3, bin: 1 }, Split { feature: 5, bin: 0 }],
        leaves: vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
    };
    let forest = Forest::new(ForestParts { borders, base: vec![1.0, 2.0], trees: vec![tree] }).unwrap();
    let mut row = [f32::NAN; FEATURE_COUNT];
    row[3] = 1.0;
    let mut parts = ModelParts::new(vec![0.5, 0.99], forest);
    parts.calibration = Calibration { offsets: vec![0.125, 0.25, -0.5, 0.75] };
    parts.groups = TenantGroups {
        tenants: vec![(17, 1), (99, 0)],
        count: 2,
        centroids: vec![vec![0.0, 1.0], vec![2.0, 3.0]],
        default_group: 1,
    };
    parts.bandit = Bandit {
        endpoints: vec![5, 6],
        weights: vec![0.1, -0.1, 0.2, -0.2],
        counts: vec![10.0; 4],
        variances: vec![0.5; 4],
    };
    parts.errors =
        ErrorHead { intercept: -4.0, terms: vec![ErrorTerm { feature: 19, weight: 1.0, mean: 0.1, scale: 0.2 }] };
    parts.importance[3] = 2.0;
    parts.importance[5] = 1.0;
    parts.window = TrainingWindow { from_us: 1_700_000_000_000_000, until_us: 1_700_000_100_000_000 };
    parts.rows = 1234;
    parts.metrics.insert("pinball".to_owned(), 0.1 + 0.2);
    parts.metrics.insert("coverage_p99".to_owned(), 0.990_123_456_789);
    parts.parent = Some("ab".repeat(32));
    parts.created_unix_secs = 1_700_000_200;
    parts.canary_rows = vec![row, [1.0; FEATURE_COUNT]];
    parts
}
