//! The rows of one decision to bins: what all candidates share once, the rest for each.
//!
//! One loop, compiled for AVX-512, AVX2 and any machine around that machine's way to bin a value, and chosen at run
//! time with the forecast's kernel.
#![allow(unsafe_code, reason = "calls of functions that need a processor feature, after it was found")]

use crate::forest::Forest;
use crate::kernel::{BLOCK, Column, Kernel};
use crate::ladder::Ladder;
use tailcast_features::schema::Scope;
use tailcast_features::{FEATURES, Row, index};

/// Which features of a forest are the same for all candidates of a decision, and which are not.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    shared: Vec<u16>,
    own: Vec<u16>,
}

impl Plan {
    pub(crate) fn new(forest: &Forest) -> Self {
        let is_shared = |feature: &u16| FEATURES.get(usize::from(*feature)).is_some_and(|f| f.scope == Scope::Request);
        let (shared, own) = forest.used_features().iter().copied().partition(is_shared);
        Self { shared, own }
    }

    /// Bins `rows`, at most half a block of them: candidate `i` into place `i`, and into place `rows.len() + i` with
    /// one request more in flight.
    pub(crate) fn bin(&self, kernel: Kernel, forest: &Forest, rows: &[Row], columns: &mut [Column]) {
        match kernel {
            // SAFETY: a kernel is only chosen where the machine has its features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if kernel.is_available() => unsafe { self.bin_avx512(forest, rows, columns) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if kernel.is_available() => unsafe { self.bin_avx2(forest, rows, columns) },
            _ => self.bin_with(forest, rows, columns, Ladder::bin),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    fn bin_avx512(&self, forest: &Forest, rows: &[Row], columns: &mut [Column]) {
        self.bin_with(forest, rows, columns, |ladder, value| ladder.bin_avx512(value));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn bin_avx2(&self, forest: &Forest, rows: &[Row], columns: &mut [Column]) {
        self.bin_with(forest, rows, columns, |ladder, value| ladder.bin_avx2(value));
    }

    #[inline(always)]
    fn bin_with(&self, forest: &Forest, rows: &[Row], columns: &mut [Column], bin_of: impl Fn(&Ladder, f32) -> u8) {
        let count = rows.len().min(BLOCK / 2);
        let Some(first) = rows.first() else { return };
        for feature in &self.shared {
            let feature = usize::from(*feature);
            let bin = bin_of(&forest.ladders()[feature], first[feature]);
            columns[feature][..2 * count].fill(bin);
        }
        for feature in &self.own {
            let feature = usize::from(*feature);
            let (ladder, column) = (&forest.ladders()[feature], &mut columns[feature]);
            let (now, busier) = column.split_at_mut(count);
            for (bin, row) in now.iter_mut().zip(rows) {
                *bin = bin_of(ladder, row[feature]);
            }
            if feature == index::IN_FLIGHT {
                for (bin, row) in busier.iter_mut().zip(rows) {
                    *bin = bin_of(ladder, row[feature] + 1.0);
                }
            } else {
                busier[..count].copy_from_slice(now);
            }
        }
    }
}
