//! AVX2: 32 candidates at a time. A table of 64 leaves is four of 16, each looked up by `vpshufb`.
//!
//! `vpshufb` gives zero where the top bit of the index is set. For the quarter `j` of a table the index is made
//! `saturate(leaf − 16 j + 0x70)`: within the quarter its low four bits are right and its top bit is clear, outside of
//! it the top bit is set; the four answers are then joined by `or`. Sums as in `avx512`: `unpack`, pairs, `vpmaddwd`.
#![allow(unsafe_code, reason = "vector loads and stores, and functions that need a processor feature")]

use super::{BLOCK, Column, Sums};
use crate::quantised::{LEAVES, LEVELS, Quantised, Table};
use std::arch::x86_64::*;

/// Candidates of one register.
const WIDTH: usize = 32;

/// Trees whose leaf numbers are kept at a time: 4 KiB with all four indices. They are cleared at each call, so not more.
const TREES: usize = 32;

/// Indices of a tree's leaves into each quarter of a table.
type Quarters = [__m256i; 4];

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("avx2")
}

/// Only to be called where [`is_available`].
pub(super) fn sums(quantised: &Quantised, quantiles: usize, bins: &[Column], count: usize, sums: &mut Sums) {
    debug_assert!(is_available());
    for start in (0..count.min(BLOCK)).step_by(WIDTH) {
        // SAFETY: the only caller checks `is_available`; `start` leaves room for 32 in arrays of 64.
        unsafe { half(quantised, quantiles, bins, start, sums) }
    }
}

#[target_feature(enable = "avx2")]
fn half(quantised: &Quantised, quantiles: usize, bins: &[Column], start: usize, sums: &mut Sums) {
    let mut leaves: [Quarters; TREES] = [[_mm256_setzero_si256(); 4]; TREES];
    // [quantile][j]: lane L, element e belongs to candidate 16 L + 4 j + e.
    let mut parts = [[_mm256_setzero_si256(); 4]; crate::forecast::MAX_QUANTILES];
    let ones = _mm256_set1_epi16(1);
    for (chunk, trees) in quantised.trees().chunks(TREES).enumerate() {
        for (leaf, questions) in leaves.iter_mut().zip(trees) {
            let mut number = _mm256_setzero_si256();
            for (level, question) in questions.iter().enumerate().take(LEVELS) {
                let column = &bins[usize::from(question.feature)][start..start + WIDTH];
                // SAFETY: 32 bytes behind a reference, no alignment needed.
                let column = unsafe { _mm256_loadu_si256(column.as_ptr().cast()) };
                let bin = _mm256_set1_epi8(question.bin as i8);
                // There is no unsigned comparison: at most the bin is where the larger of both is the bin.
                let not_above = _mm256_cmpeq_epi8(_mm256_max_epu8(column, bin), bin);
                number = _mm256_or_si256(number, _mm256_andnot_si256(not_above, _mm256_set1_epi8(1 << level)));
            }
            for (j, quarter) in leaf.iter_mut().enumerate() {
                let within = _mm256_sub_epi8(number, _mm256_set1_epi8(16 * j as i8));
                *quarter = _mm256_adds_epu8(within, _mm256_set1_epi8(0x70));
            }
        }
        for (quantile, parts) in parts.iter_mut().enumerate().take(quantiles) {
            let tables = &quantised.tables(quantile)[chunk * TREES..][..trees.len()];
            let [mut a, mut b, mut c, mut d] = *parts;
            let mut add = |one: (__m256i, __m256i), two: (__m256i, __m256i)| {
                a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi16(one.0, two.0), ones));
                b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi16(one.0, two.0), ones));
                c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi16(one.1, two.1), ones));
                d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi16(one.1, two.1), ones));
            };
            let (pairs, last) = tables.as_chunks::<2>();
            for ([one, two], [leaf_one, leaf_two]) in pairs.iter().zip(leaves.as_chunks::<2>().0) {
                add(look_up(one, leaf_one), look_up(two, leaf_two));
            }
            if let [one] = last {
                let nothing = (_mm256_setzero_si256(), _mm256_setzero_si256());
                add(look_up(one, &leaves[trees.len() - 1]), nothing);
            }
            *parts = [a, b, c, d];
        }
    }
    for (parts, sums) in parts.iter().zip(sums.iter_mut()).take(quantiles) {
        for (j, part) in parts.iter().enumerate() {
            let mut lanes = [0i32; 8];
            // SAFETY: 8 integers behind a reference, no alignment needed.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), *part) };
            for (lane, values) in lanes.as_chunks::<4>().0.iter().enumerate() {
                sums[start + 16 * lane + 4 * j..][..4].copy_from_slice(values);
            }
        }
    }
}

/// Leaves of 32 candidates as i16: those of the lower halves of each lane, then of the upper.
#[target_feature(enable = "avx2")]
fn look_up(table: &Table, leaf: &Quarters) -> (__m256i, __m256i) {
    let (low, high) = (bytes(&table.low, leaf), bytes(&table.high, leaf));
    (_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high))
}

#[target_feature(enable = "avx2")]
fn bytes(table: &[u8; LEAVES], leaf: &Quarters) -> __m256i {
    let mut found = _mm256_setzero_si256();
    for (quarter, index) in table.as_chunks::<16>().0.iter().zip(leaf) {
        // SAFETY: 16 bytes behind a reference, no alignment needed.
        let quarter = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        found = _mm256_or_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(quarter), *index));
    }
    found
}
