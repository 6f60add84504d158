//! The ensemble compiled for prediction, and the walk from root to leaf.
//!
//! All nodes lie in one array, sixteen bytes each. Eight rows go down a tree together, because each row's next node waits for
//! a load and the others' loads fill the wait; a leaf is its own successor, so rows that have arrived stay where they are
//! until all have. Trees are the outer loop: one is used for all rows of a block while it is in the first-level cache.
//!
//! Rejected: one row after the other (each step waits for the one before), and bit vectors of leaves (QuickScorer, Lucchese et al. 2015): they
//! pay where a thousand rows share a pass over the thresholds of a feature, and a decision has ten.

use super::{BinarySplit, EnsembleParts, Node, Trainer, ZERO};
use crate::forecast::Forecast;
use tailcast_features::{FEATURE_COUNT, Row, index};

/// Rows that go down a tree together.
const LANES: usize = 8;

/// Rows of a block: their sums stay on the stack.
const BLOCK: usize = 64;

/// In [`Step::question`], beside the feature in the low bits.
const MISSING_LEFT: u32 = 1 << 16;
const ZERO_IS_MISSING: u32 = 1 << 17;

/// One node. A leaf leads to itself.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(16))]
struct Step {
    threshold: f32,
    question: u32,
    /// The left and the right child.
    next: [u32; 2],
}

/// A tree among the steps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Root {
    first: u32,
    /// Whether it asks for the requests in flight; without, one more changes nothing.
    asks_in_flight: bool,
}

/// All trees, ready to walk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compiled {
    single: bool,
    base: Vec<f64>,
    /// Trees of each quantile.
    roots: Vec<Vec<Root>>,
    steps: Vec<Step>,
    /// Leaf value of each step; 0 for a split.
    values: Vec<f64>,
}

impl Compiled {
    /// Compiles what was validated.
    pub(super) fn new(parts: &EnsembleParts) -> Self {
        let mut compiled = Self {
            single: parts.trainer == Trainer::XgBoost,
            base: parts.base.clone(),
            roots: Vec::with_capacity(parts.trees.len()),
            steps: Vec::new(),
            values: Vec::new(),
        };
        for trees in &parts.trees {
            let roots = trees.iter().map(|tree| compiled.push(&tree.nodes)).collect();
            compiled.roots.push(roots);
        }
        compiled
    }

    fn push(&mut self, nodes: &[Node]) -> Root {
        let first = self.steps.len() as u32;
        let mut asks_in_flight = false;
        for (at, node) in (first..).zip(nodes) {
            let (step, value) = match node {
                Node::Leaf(value) => (Step { threshold: 0.0, question: 0, next: [at, at] }, *value),
                Node::Split(split) => {
                    asks_in_flight |= usize::from(split.feature) == index::IN_FLIGHT;
                    let next = [at + 1, first + u32::from(split.right)];
                    (Step { threshold: split.threshold, question: question(split), next }, 0.0)
                }
            };
            self.steps.push(step);
            self.values.push(value);
        }
        Root { first, asks_in_flight }
    }

    /// Forecasts of the lowest `depth` quantiles.
    pub(super) fn forecast(&self, depth: usize, rows: &[Row], out: &mut [Forecast]) {
        for (rows, out) in rows.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let count = rows.len().min(out.len());
            let (rows, out) = (&rows[..count], &mut out[..count]);
            out.fill(Forecast { n: depth, ..Forecast::default() });
            for quantile in 0..depth {
                let mut sums = [self.base[quantile]; BLOCK];
                let mut leaves = [0.0; BLOCK];
                for root in &self.roots[quantile] {
                    self.leaves(root.first, rows, &mut leaves);
                    self.add(&mut sums, &leaves, count);
                }
                put(quantile, &sums, out);
            }
        }
    }

    /// The same, as the rows are and with one request more in flight.
    pub(super) fn forecast_decision(&self, depth: usize, rows: &[Row], out: &mut [Forecast], busier: &mut [Forecast]) {
        let mut fuller = [[0.0; FEATURE_COUNT]; BLOCK];
        for ((rows, out), busier) in rows.chunks(BLOCK).zip(out.chunks_mut(BLOCK)).zip(busier.chunks_mut(BLOCK)) {
            let count = rows.len().min(out.len()).min(busier.len());
            let (rows, out, busier) = (&rows[..count], &mut out[..count], &mut busier[..count]);
            let fuller = &mut fuller[..count];
            fuller.copy_from_slice(rows);
            fuller.iter_mut().for_each(|row| row[index::IN_FLIGHT] += 1.0);
            out.fill(Forecast { n: depth, ..Forecast::default() });
            busier.fill(Forecast { n: depth, ..Forecast::default() });
            for quantile in 0..depth {
                let (mut now, mut later) = ([self.base[quantile]; BLOCK], [self.base[quantile]; BLOCK]);
                let mut leaves = [0.0; BLOCK];
                for root in &self.roots[quantile] {
                    self.leaves(root.first, rows, &mut leaves);
                    self.add(&mut now, &leaves, count);
                    if root.asks_in_flight {
                        self.leaves(root.first, fuller, &mut leaves);
                    }
                    self.add(&mut later, &leaves, count);
                }
                put(quantile, &now, out);
                put(quantile, &later, busier);
            }
        }
    }

    /// The leaves of one tree for a block of rows.
    fn leaves(&self, root: u32, rows: &[Row], leaves: &mut [f64; BLOCK]) {
        let (eights, rest) = rows.as_chunks::<LANES>();
        let (of_eights, of_rest) = leaves.split_at_mut(eights.len() * LANES);
        for (rows, leaves) in eights.iter().zip(of_eights.as_chunks_mut::<LANES>().0) {
            self.walk(root, rows, leaves);
        }
        for (row, leaf) in rest.iter().zip(of_rest) {
            self.walk(root, std::array::from_ref(row), std::array::from_mut(leaf));
        }
    }

    fn walk<const N: usize>(&self, root: u32, rows: &[Row; N], leaves: &mut [f64; N]) {
        let mut at = [root; N];
        loop {
            let mut moved = 0;
            for (at, row) in at.iter_mut().zip(rows) {
                let next = self.steps[*at as usize].next(row);
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                break;
            }
        }
        for (leaf, at) in leaves.iter_mut().zip(at) {
            *leaf = self.values[at as usize];
        }
    }

    /// Adds as the library does.
    fn add(&self, sums: &mut [f64; BLOCK], leaves: &[f64; BLOCK], count: usize) {
        let both = sums.iter_mut().zip(leaves).take(count);
        match self.single {
            true => both.for_each(|(sum, leaf)| *sum = f64::from(*sum as f32 + *leaf as f32)),
            false => both.for_each(|(sum, leaf)| *sum += leaf),
        }
    }
}

fn put(quantile: usize, sums: &[f64; BLOCK], out: &mut [Forecast]) {
    out.iter_mut().zip(sums).for_each(|(forecast, sum)| forecast.ln_ms[quantile] = *sum as f32);
}

fn question(split: &BinarySplit) -> u32 {
    let flag = |is: bool, bit: u32| if is { bit } else { 0 };
    u32::from(split.feature) | flag(split.missing_left, MISSING_LEFT) | flag(split.zero_is_missing, ZERO_IS_MISSING)
}

impl Step {
    #[inline(always)]
    fn next(&self, row: &Row) -> u32 {
        let value = row[self.question as usize & 0xffff];
        let is_zero = self.question & ZERO_IS_MISSING != 0 && value.abs() <= ZERO;
        let left = match value.is_nan() || is_zero {
            true => self.question & MISSING_LEFT != 0,
            false => value <= self.threshold,
        };
        self.next[usize::from(!left)]
    }
}
