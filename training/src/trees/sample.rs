//! Which rows choose the structure of a tree, whole blocks of neighbouring rows, and which features it may ask for.
//!
//! Blocks, so that reading their bins stays sequential; neighbours in time are alike, so a sample of blocks is also
//! a more honest test of a split than a sample of rows. Rejected: weighting rows by gradient (GOSS), which is biased
//! for a loss whose gradients all have the same size.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Blocks that the rows are cut into: enough that a share of them is close to that share of the rows.
const BLOCKS: usize = 1024;

/// Rows a block at most: four cache lines of bins.
const MAX_BLOCK: usize = 256;

/// Draws the rows of each tree.
#[derive(Debug)]
pub(super) struct Sampler {
    random: Pcg64Mcg,
    blocks: Vec<u32>,
    block_rows: usize,
    rows: usize,
    share: f32,
}

impl Sampler {
    pub(super) fn new(rows: usize, share: f32, seed: u64) -> Self {
        let block_rows = (rows / BLOCKS).clamp(1, MAX_BLOCK);
        let blocks = (0..rows.div_ceil(block_rows) as u32).collect();
        Self { random: Pcg64Mcg::seed_from_u64(seed), blocks, block_rows, rows, share }
    }

    /// The rows of the next tree, ascending.
    pub(super) fn draw(&mut self) -> Vec<u32> {
        let count = ((self.blocks.len() as f32 * self.share).ceil() as usize).clamp(1, self.blocks.len().max(1));
        if count >= self.blocks.len() {
            return (0..self.rows as u32).collect();
        }
        // The first steps of a Fisher-Yates shuffle; the order left by earlier trees does not matter.
        for i in 0..count {
            let other = self.random.random_range(i..self.blocks.len());
            self.blocks.swap(i, other);
        }
        let mut chosen = self.blocks[..count].to_vec();
        chosen.sort_unstable();
        let (block, rows) = (self.block_rows, self.rows);
        let of_block = |start: usize| start as u32..(start + block).min(rows) as u32;
        chosen.into_iter().flat_map(|number| of_block(number as usize * block)).collect()
    }

    /// Which of `features` the next tree may ask for: that share of them, rounded up.
    pub(super) fn draw_features(&mut self, features: usize, share: f32) -> Vec<bool> {
        let count = ((features as f32 * share).ceil() as usize).clamp(1, features.max(1));
        let mut open = vec![true; features];
        // Closing the others at random, one after the other: a partial Fisher-Yates over what is still open.
        let mut order: Vec<usize> = (0..features).collect();
        for i in 0..features.saturating_sub(count) {
            let other = self.random.random_range(i..features);
            order.swap(i, other);
            open[order[i]] = false;
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_ascending_distinct_of_the_right_size_and_differ() {
        for rows in [1, 2, 100, 1024, 5_000, 300_001] {
            let mut sampler = Sampler::new(rows, 0.5, 1);
            let (one, two) = (sampler.draw(), sampler.draw());
            for sample in [&one, &two] {
                assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(sample.last().is_some_and(|last| (*last as usize) < rows));
                assert!(sample.len().abs_diff(rows.div_ceil(2)) <= rows / 100 + MAX_BLOCK.min(rows), "{rows}");
            }
            assert!(rows < 100 || one != two, "{rows}");
            assert_eq!(Sampler::new(rows, 0.5, 1).draw(), one);
        }
    }

    #[test]
    fn features_are_drawn_anew_in_the_asked_share_and_all_come_to_their_turn() {
        let mut sampler = Sampler::new(10, 1.0, 3);
        let mut seen = [0; 10];
        for _ in 0..200 {
            let open = sampler.draw_features(10, 0.35);
            assert_eq!(open.iter().filter(|open| **open).count(), 4);
            open.iter().zip(&mut seen).for_each(|(open, seen)| *seen += usize::from(*open));
        }
        assert!(seen.iter().all(|seen| (40..=120).contains(seen)), "{seen:?}");
        assert_eq!(sampler.draw_features(3, 1.0), [true; 3]);
        assert!(sampler.draw_features(0, 0.5).is_empty());
    }

    #[test]
    fn the_whole_share_is_all_rows() {
        assert_eq!(Sampler::new(3_000, 1.0, 1).draw(), (0..3_000).collect::<Vec<u32>>());
    }
}
