//! A list column as one flat slice and offsets: rows are read without an allocation each.
//!
//! Rejected: `ListChunked::get_as_series`, which makes a reference-counted series of every row and takes
//! minutes over ten million of them.

use crate::error::TrainError;
use polars::prelude::*;

/// A list column of one chunk, flattened.
pub(crate) struct Lists {
    inner: Series,
    offsets: Vec<usize>,
}

impl Lists {
    /// Flattens the column called `name`; a null list reads as an empty one.
    pub(crate) fn new(frame: &DataFrame, name: &str) -> Result<Self, TrainError> {
        let list = frame.column(name)?.list()?.rechunk().into_owned();
        let mut offsets = vec![0usize];
        for array in list.downcast_iter() {
            offsets = array.offsets().as_slice().iter().map(|offset| *offset as usize).collect();
        }
        Ok(Self { inner: list.get_inner(), offsets })
    }

    /// Where each row's values lie in the flat slice; an empty range where the row is out of bounds.
    pub(crate) fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self.offsets.get(row..row + 2) {
            Some([start, end]) => *start..*end,
            _ => 0..0,
        }
    }

    /// All values of a column of hashes.
    pub(crate) fn u64s(&self) -> Result<&[u64], TrainError> {
        Ok(self.inner.u64()?.cont_slice()?)
    }

    /// All values of a column of numbers.
    pub(crate) fn f32s(&self) -> Result<&[f32], TrainError> {
        Ok(self.inner.f32()?.cont_slice()?)
    }
}
