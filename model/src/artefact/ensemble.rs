//! The tensors of trees that another library trained, which only files of [`super::ENSEMBLE_VERSION`] have.
//!
//! One entry a node, tree after tree in pre-order; a leaf asks [`NO_FEATURE`] and takes the next of `ensemble.leaves`.

use super::error::ArtefactError;
use super::tensors::{Tensor, Tensors};
use crate::ensemble::{BinarySplit, BinaryTree, Ensemble, EnsembleParts, Node, Trainer};

/// The feature of a leaf.
const NO_FEATURE: u16 = u16::MAX;

/// Bits of `ensemble.flags`.
const MISSING_LEFT: u8 = 1;
const ZERO_IS_MISSING: u8 = 2;

pub(super) fn tensors(ensemble: &EnsembleParts) -> Vec<Tensor> {
    let trees = || ensemble.trees.iter().flatten();
    let nodes = || trees().flat_map(|tree| &tree.nodes);
    let splits = |of: fn(&BinarySplit) -> u16, leaf: u16| {
        let value = |node: &Node| match node {
            Node::Split(split) => of(split),
            Node::Leaf(_) => leaf,
        };
        nodes().map(value).collect::<Vec<u16>>()
    };
    let threshold = |node: &Node| match node {
        Node::Split(split) => split.threshold,
        Node::Leaf(_) => 0.0,
    };
    let flag = |node: &Node| match node {
        Node::Split(split) => {
            (u8::from(split.missing_left) * MISSING_LEFT) | (u8::from(split.zero_is_missing) * ZERO_IS_MISSING)
        }
        Node::Leaf(_) => 0,
    };
    let leaf = |node: &Node| match node {
        Node::Split(_) => None,
        Node::Leaf(value) => Some(*value),
    };
    let thresholds: Vec<f32> = nodes().map(threshold).collect();
    vec![
        Tensor::f64("ensemble.base", &ensemble.base),
        // Neither count is above 2^15: see `ensemble::MAX_TREE_NODES` and `forest::MAX_TREES`.
        Tensor::u16("ensemble.tree_counts", &ensemble.trees.iter().map(|trees| trees.len() as u16).collect::<Vec<_>>()),
        Tensor::u16("ensemble.node_counts", &trees().map(|tree| tree.nodes.len() as u16).collect::<Vec<_>>()),
        Tensor::u16("ensemble.features", &splits(|split| split.feature, NO_FEATURE)),
        Tensor::f32("ensemble.thresholds", &[thresholds.len()], &thresholds),
        Tensor::u8("ensemble.flags", &nodes().map(flag).collect::<Vec<_>>()),
        Tensor::u16("ensemble.rights", &splits(|split| split.right, 0)),
        Tensor::f64("ensemble.leaves", &nodes().filter_map(leaf).collect::<Vec<_>>()),
    ]
}

pub(super) fn read(tensors: &mut Tensors<'_>, trainer: Trainer, quantiles: usize) -> Result<Ensemble, ArtefactError> {
    let tree_counts = tensors.u16("ensemble.tree_counts")?;
    ArtefactError::check_len("ensemble.tree_counts", tree_counts.len(), vec![quantiles])?;
    let node_counts = tensors.u16("ensemble.node_counts")?;
    let total = |counts: &[u16]| counts.iter().map(|count| usize::from(*count)).sum::<usize>();
    ArtefactError::check_len("ensemble.node_counts", node_counts.len(), vec![total(&tree_counts)])?;
    let nodes = total(&node_counts);
    let (features, flags) = (tensors.u16("ensemble.features")?, tensors.u8("ensemble.flags")?);
    let thresholds = tensors.f32("ensemble.thresholds", &[nodes])?;
    let rights = tensors.u16("ensemble.rights")?;
    let lengths = [features.len(), flags.len(), rights.len()];
    for (name, length) in ["ensemble.features", "ensemble.flags", "ensemble.rights"].into_iter().zip(lengths) {
        ArtefactError::check_len(name, length, vec![nodes])?;
    }
    let leaves = tensors.f64("ensemble.leaves")?;
    let leaf_count = features.iter().filter(|feature| **feature == NO_FEATURE).count();
    ArtefactError::check_len("ensemble.leaves", leaves.len(), vec![leaf_count])?;
    let mut leaves = leaves.into_iter();
    let mut nodes = Vec::with_capacity(nodes);
    for (at, (((feature, threshold), flags), right)) in
        features.into_iter().zip(thresholds).zip(flags).zip(rights).enumerate()
    {
        ArtefactError::check_index(
            "ensemble.flags",
            at,
            usize::from(flags),
            usize::from(MISSING_LEFT | ZERO_IS_MISSING),
        )?;
        let split = BinarySplit {
            feature,
            threshold,
            right,
            missing_left: flags & MISSING_LEFT != 0,
            zero_is_missing: flags & ZERO_IS_MISSING != 0,
        };
        nodes.push(if feature == NO_FEATURE {
            Node::Leaf(leaves.next().unwrap_or(f64::NAN))
        } else {
            Node::Split(split)
        });
    }
    let mut nodes = nodes.into_iter();
    let mut node_counts = node_counts.into_iter();
    let mut tree = |count: u16| BinaryTree { nodes: nodes.by_ref().take(usize::from(count)).collect() };
    let trees = tree_counts
        .into_iter()
        .map(|count| node_counts.by_ref().take(usize::from(count)).map(&mut tree).collect::<Vec<_>>());
    let trees = trees.collect();
    let base = tensors.f64("ensemble.base")?;
    ArtefactError::check_len("ensemble.base", base.len(), vec![quantiles])?;
    Ensemble::new(EnsembleParts { trainer, base, trees })
}
