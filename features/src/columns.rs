//! The features of all candidates of one decision: what they share once, the rest feature by feature.
//!
//! A policy scores all candidates and logs the row of one. Side by side, a feature of sixteen candidates is one register
//! to compute, one to bin and nothing to transpose; a row is put together only where it is logged. Rejected: rows as the
//! common form, which cost a decision over a hundred endpoints most of its time in scattered reads and writes.

use crate::lanes::LANES;
use crate::schema::{FEATURE_COUNT, Row, index};

/// The first feature that differs between candidates; those before it belong to the request (a test holds that order).
pub const FIRST_OWN: usize = index::IN_FLIGHT;

/// Features that differ between candidates.
pub const OWN: usize = FEATURE_COUNT - FIRST_OWN;

/// Features that differ between candidates, of neighbouring candidates: `[feature − FIRST_OWN][lane]`.
pub type Lane<const N: usize = LANES> = [[f32; N]; OWN];

/// One block on cache lines of its own.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Block(Lane);

/// The features of the candidates of one decision. A buffer that is used again: it only allocates to grow.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    shared: Option<Row>,
    blocks: Vec<Block>,
    count: usize,
}

impl Columns {
    /// Candidates.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True where there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The features that belong to the request; missing before the first decision.
    pub fn shared(&self) -> &[f32] {
        self.shared.as_ref().map_or(&[], |row| &row[..FIRST_OWN])
    }

    /// The other features, [`LANES`] candidates at a time: `[feature − FIRST_OWN][lane]`. Lanes beyond the last candidate have
    /// no meaning.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &Lane> {
        self.blocks[..self.count.div_ceil(LANES)].iter().map(|block| &block.0)
    }

    /// The row of a candidate; missing throughout where there is no such candidate.
    pub fn row(&self, candidate: usize) -> Row {
        let mut row = [f32::NAN; FEATURE_COUNT];
        if candidate < self.count {
            row[..FIRST_OWN].copy_from_slice(self.shared());
            let (block, lane) = (&self.blocks[candidate / LANES].0, candidate % LANES);
            for (value, column) in row[FIRST_OWN..].iter_mut().zip(block) {
                *value = column[lane];
            }
        }
        row
    }

    /// Takes in rows that agree in what belongs to the request, of which the first row's is taken.
    pub fn fill(&mut self, rows: &[Row]) {
        let shared = rows.first().copied().unwrap_or([f32::NAN; FEATURE_COUNT]);
        for (block, rows) in self.reset(shared, rows.len()).zip(rows.chunks(LANES)) {
            for (lane, row) in rows.iter().enumerate() {
                for (column, value) in block.iter_mut().zip(&row[FIRST_OWN..]) {
                    column[lane] = *value;
                }
            }
        }
    }

    /// Makes room for `count` candidates of a request, to be filled by the caller.
    pub(crate) fn reset(&mut self, shared: Row, count: usize) -> impl ExactSizeIterator<Item = &mut Lane> {
        let blocks = count.div_ceil(LANES);
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks, Block([[f32::NAN; LANES]; OWN]));
        }
        self.shared = Some(shared);
        self.count = count;
        self.blocks[..blocks].iter_mut().map(|block| &mut block.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{FEATURES, Scope};

    #[test]
    fn features_of_the_request_come_first_and_no_other_does() {
        for (at, feature) in FEATURES.iter().enumerate() {
            assert_eq!(feature.scope == Scope::Request, at < FIRST_OWN, "{}", feature.name);
        }
    }

    #[test]
    fn rows_come_back_and_fewer_of_them_leave_none_behind() {
        let row = |candidate: usize| -> Row {
            std::array::from_fn(|at| if at < FIRST_OWN { at as f32 } else { (candidate * 100 + at) as f32 })
        };
        let mut columns = Columns::default();
        assert!(columns.row(0).iter().all(|value| value.is_nan()));
        for count in [37, 5] {
            let rows: Vec<Row> = (0..count).map(row).collect();
            columns.fill(&rows);
            assert_eq!(columns.len(), count);
            assert!((0..count).all(|candidate| columns.row(candidate) == row(candidate)));
            assert!(columns.row(count)[0].is_nan());
        }
    }
}
