//! An ensemble as LightGBM grows it by default, without LightGBM.

use crate::{QUANTILES, TREES};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tailcast_features::FEATURE_COUNT;
use tailcast_model::ensemble::{BinarySplit, BinaryTree, EnsembleParts, Node, Trainer};
use tailcast_model::{ArtefactError, Ensemble};

/// Leaves of each tree: LightGBM's default.
const LEAVES: usize = 31;

/// [`TREES`] trees of 31 leaves for each quantile, each leaf split in two as chance wants it: some branches are
/// deep, as where leaves are split by their gain.
///
/// # Errors
/// Never, unless the limits of the model change.
pub fn ensemble(seed: u64) -> Result<Ensemble, ArtefactError> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let trees = QUANTILES.map(|_| (0..TREES).map(|_| BinaryTree { nodes: grown(LEAVES, &mut random) }).collect());
    Ensemble::new(EnsembleParts { trainer: Trainer::LightGbm, base: vec![2.0, 3.0, 4.0], trees: trees.to_vec() })
}

fn grown(leaves: usize, random: &mut Pcg64Mcg) -> Vec<Node> {
    if leaves == 1 {
        return vec![Node::Leaf(random.random_range(-0.05..0.05))];
    }
    let of_left = random.random_range(1..leaves);
    let (left, right) = (grown(of_left, random), grown(leaves - of_left, random));
    let right_at = 1 + left.len();
    let split = BinarySplit {
        feature: random.random_range(0..FEATURE_COUNT as u16),
        threshold: random.random_range(-2.0..6.0),
        right: right_at as u16,
        missing_left: random.random(),
        zero_is_missing: false,
    };
    let moved = |nodes: Vec<Node>, by: usize| {
        nodes.into_iter().map(move |node| match node {
            Node::Split(split) => Node::Split(BinarySplit { right: split.right + by as u16, ..split }),
            leaf => leaf,
        })
    };
    std::iter::once(Node::Split(split)).chain(moved(left, 1)).chain(moved(right, right_at)).collect()
}
