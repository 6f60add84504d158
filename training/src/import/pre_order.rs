//! Trees given by arrays of children, as both libraries keep them, into the pre-order that [`tailcast_model::ensemble`] takes.
//!
//! A walk with a stack of its own, in which every split may be met once: a file with a cycle, a node of two parents or a child
//! that does not exist ends here, and no file can exhaust the thread's stack.

use tailcast_model::ensemble::{BinarySplit, BinaryTree, MAX_TREE_NODES, Node};

/// What a split leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Child {
    /// The split of this number.
    Split(usize),
    /// A value.
    Leaf(f64),
}

/// One split as the library has it: the question (whose `right` is filled in here), left and right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fork {
    pub(super) question: BinarySplit,
    pub(super) left: Child,
    pub(super) right: Child,
}

/// Walks from `root`; `fork` gives the split of a number below `splits`.
pub(super) fn tree(
    root: Child,
    splits: usize,
    fork: impl Fn(usize) -> Result<Fork, String>,
) -> Result<BinaryTree, String> {
    let mut met = vec![false; splits];
    let mut nodes: Vec<Node> = Vec::new();
    // Children still to come, and the split whose right child each is.
    let mut waiting: Vec<(Child, Option<usize>)> = vec![(root, None)];
    while let Some((child, right_of)) = waiting.pop() {
        let at = nodes.len();
        if at == MAX_TREE_NODES {
            return Err(format!("more than {MAX_TREE_NODES} nodes"));
        }
        if let Some(Node::Split(split)) = right_of.and_then(|parent| nodes.get_mut(parent)) {
            split.right = at as u16;
        }
        match child {
            Child::Leaf(value) if value.is_finite() => nodes.push(Node::Leaf(value)),
            Child::Leaf(value) => return Err(format!("a leaf of value {value}: only finite numbers are allowed")),
            Child::Split(number) => {
                match met.get_mut(number) {
                    Some(met) if !*met => *met = true,
                    Some(_) => return Err(format!("split {number} has two parents, or is below itself")),
                    None => return Err(format!("split {number} does not exist, there are {splits}")),
                }
                let fork = fork(number)?;
                nodes.push(Node::Split(fork.question));
                waiting.push((fork.right, Some(at)));
                waiting.push((fork.left, None));
            }
        }
    }
    Ok(BinaryTree { nodes })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use Child::{Leaf, Split};

    fn question(feature: u16, right: u16) -> BinarySplit {
        BinarySplit { feature, threshold: 0.5, right, missing_left: false, zero_is_missing: false }
    }

    fn walked(children: &[(Child, Child)]) -> Result<BinaryTree, String> {
        tree(Split(0), children.len(), |number| {
            let (left, right) = children[number];
            Ok(Fork { question: question(number as u16, 0), left, right })
        })
    }

    #[test]
    fn the_left_child_follows_and_the_right_one_comes_after_all_of_the_left() {
        let tree = walked(&[(Split(2), Split(1)), (Leaf(1.0), Leaf(2.0)), (Leaf(3.0), Leaf(4.0))]).unwrap();
        let split = |feature, right| Node::Split(question(feature, right));
        let expected =
            [split(0, 4), split(2, 3), Node::Leaf(3.0), Node::Leaf(4.0), split(1, 6), Node::Leaf(1.0), Node::Leaf(2.0)];
        assert_eq!(tree.nodes, expected);
    }

    #[test]
    fn cycles_shared_nodes_and_children_from_nowhere_are_refused() {
        assert!(walked(&[(Split(0), Leaf(1.0))]).unwrap_err().contains("below itself"));
        assert!(walked(&[(Split(1), Split(1)), (Leaf(1.0), Leaf(1.0))]).unwrap_err().contains("two parents"));
        assert!(walked(&[(Split(7), Leaf(1.0))]).unwrap_err().contains("split 7 does not exist, there are 1"));
        assert!(walked(&[(Leaf(f64::NAN), Leaf(1.0))]).unwrap_err().contains("a leaf of value NaN"));
    }

    #[test]
    fn a_tree_with_more_nodes_than_positions_is_refused() {
        let chain: Vec<(Child, Child)> = (0..MAX_TREE_NODES).map(|at| (Leaf(0.0), Split(at + 1))).collect();
        assert!(walked(&chain).unwrap_err().contains("more than 32768 nodes"));
    }
}
