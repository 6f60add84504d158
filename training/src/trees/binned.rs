//! The rows that count, as bytes: one bin for each feature and row.
//!
//! A hundred thousand rows of one feature are 100 KB and stay in the second-level cache while their histogram is
//! made. Rows without weight are left out here, so nothing after this has to ask. Rejected: row-major bytes (a tree
//! reads one feature over many rows, never one row over all features).

use super::set::TrainingSet;
use rayon::prelude::*;
use tailcast_model::forest::{Split, bin_of};

/// Rows a thread takes at a time: a block of leaf numbers and one of bins stay in the first-level cache.
const BLOCK: usize = 1 << 14;

/// The rows that count, with what is learned from them.
#[derive(Debug)]
pub(super) struct Binned {
    /// `columns[feature][row]`.
    pub(super) columns: Vec<Vec<u8>>,
    pub(super) labels: Vec<f32>,
    pub(super) weights: Vec<f32>,
    pub(super) censored: Vec<bool>,
}

impl Binned {
    /// Bins the rows of these numbers.
    pub(super) fn new(set: &TrainingSet<'_>, rows: &[u32], borders: &[Vec<f32>]) -> Self {
        let columns = set
            .columns
            .par_iter()
            .zip(borders)
            .map(|(column, borders)| rows.iter().map(|row| bin_of(borders, column[*row as usize])).collect())
            .collect();
        Self {
            columns,
            labels: rows.iter().map(|row| set.labels[*row as usize]).collect(),
            weights: rows.iter().map(|row| set.weights[*row as usize]).collect(),
            censored: rows.iter().map(|row| set.censored[*row as usize]).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The number of the leaf of each row.
    pub(super) fn leaves(&self, splits: &[Split]) -> Vec<u8> {
        let mut leaves = vec![0u8; self.len()];
        leaves.par_chunks_mut(BLOCK).enumerate().for_each(|(block, leaves)| {
            for (level, split) in splits.iter().enumerate() {
                let column = &self.columns[usize::from(split.feature)][block * BLOCK..];
                for (leaf, bin) in leaves.iter_mut().zip(column) {
                    *leaf |= u8::from(*bin > split.bin) << level;
                }
            }
        });
        leaves
    }
}
