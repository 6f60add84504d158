//! AVX-512 with VBMI: a tree's 64 leaves are a register, and `vpermb` looks up 64 candidates at once.
//!
//! Leaf numbers of some trees are made first (one compare and one masked addition a level), then each quantile walks
//! over them with its sums in registers, two trees at a time: bytes are joined to i16 by `unpack`, two trees to pairs,
//! and `vpmaddwd` adds a pair into i32. `unpack` works within 128-bit lanes, so sums lie in another order until the
//! end. Up to 16 candidates have a path of their own: four trees ask at a time, and one register holds all sums of a quantile.
#![allow(unsafe_code, reason = "vector loads and stores, and functions that need a processor feature")]

use super::{BLOCK, Column, Sums};
use crate::quantised::{FourQuestions, LEVELS, Quantised, Table};
use std::arch::x86_64::*;

/// Trees whose leaf numbers are kept at a time: 2 KiB. They are cleared at each call, so not more.
const TREES: usize = 32;

/// Candidates up to which the narrow path is taken.
const NARROW: usize = 16;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
}

/// Only to be called where [`is_available`].
pub(super) fn sums(quantised: &Quantised, quantiles: usize, bins: &[Column], count: usize, sums: &mut Sums) {
    debug_assert!(is_available());
    // What `column` relies on: a check at each of six hundred questions costs a fifth of a forecast.
    assert!(bins.len() >= quantised.width(), "{} columns for {} features", bins.len(), quantised.width());
    // SAFETY: the only caller checks `is_available`; there is a column for each question.
    unsafe {
        if count <= NARROW { narrow(quantised, quantiles, bins, sums) } else { wide(quantised, quantiles, bins, sums) }
    }
}

/// The bins of a feature that some question is about.
#[inline(always)]
fn column(bins: &[Column], feature: u16) -> &Column {
    debug_assert!(usize::from(feature) < bins.len());
    // SAFETY: `sums` has compared the number of columns with the largest feature of all questions.
    unsafe { bins.get_unchecked(usize::from(feature)) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn load(bytes: &[u8; BLOCK]) -> __m512i {
    // SAFETY: 64 bytes behind a reference, no alignment needed.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn wide(quantised: &Quantised, quantiles: usize, bins: &[Column], sums: &mut Sums) {
    let mut leaves = [_mm512_setzero_si512(); TREES];
    // [quantile][j]: lane L, element e belongs to candidate 16 L + 4 j + e.
    let mut parts = [[_mm512_setzero_si512(); 4]; crate::forecast::MAX_QUANTILES];
    let ones = _mm512_set1_epi16(1);
    for (chunk, trees) in quantised.trees().chunks(TREES).enumerate() {
        for (leaf, questions) in leaves.iter_mut().zip(trees) {
            let mut number = _mm512_setzero_si512();
            for (level, question) in questions.iter().enumerate().take(LEVELS) {
                let column = load(column(bins, question.feature));
                let above = _mm512_cmpgt_epu8_mask(column, _mm512_set1_epi8(question.bin as i8));
                number = _mm512_mask_add_epi8(number, above, number, _mm512_set1_epi8(1 << level));
            }
            *leaf = number;
        }
        for (quantile, parts) in parts.iter_mut().enumerate().take(quantiles) {
            let tables = &quantised.tables(quantile)[chunk * TREES..][..trees.len()];
            let [mut a, mut b, mut c, mut d] = *parts;
            let mut add = |one: (__m512i, __m512i), two: (__m512i, __m512i)| {
                a = _mm512_add_epi32(a, _mm512_madd_epi16(_mm512_unpacklo_epi16(one.0, two.0), ones));
                b = _mm512_add_epi32(b, _mm512_madd_epi16(_mm512_unpackhi_epi16(one.0, two.0), ones));
                c = _mm512_add_epi32(c, _mm512_madd_epi16(_mm512_unpacklo_epi16(one.1, two.1), ones));
                d = _mm512_add_epi32(d, _mm512_madd_epi16(_mm512_unpackhi_epi16(one.1, two.1), ones));
            };
            let (pairs, last) = tables.as_chunks::<2>();
            for ([one, two], [leaf_one, leaf_two]) in pairs.iter().zip(leaves.as_chunks::<2>().0) {
                add(look_up(one, *leaf_one), look_up(two, *leaf_two));
            }
            if let [one] = last {
                let nothing = (_mm512_setzero_si512(), _mm512_setzero_si512());
                add(look_up(one, leaves[trees.len() - 1]), nothing);
            }
            *parts = [a, b, c, d];
        }
    }
    for (parts, sums) in parts.iter().zip(sums.iter_mut()).take(quantiles) {
        for (j, part) in parts.iter().enumerate() {
            let mut lanes = [0i32; 16];
            // SAFETY: 16 integers behind a reference, no alignment needed.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *part) };
            for (lane, values) in lanes.as_chunks::<4>().0.iter().enumerate() {
                sums[16 * lane + 4 * j..][..4].copy_from_slice(values);
            }
        }
    }
}

/// Leaves of 64 candidates as i16: those of the lower halves of each lane, then of the upper.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn look_up(table: &Table, leaf: __m512i) -> (__m512i, __m512i) {
    let low = _mm512_permutexvar_epi8(leaf, load(&table.low));
    let high = _mm512_permutexvar_epi8(leaf, load(&table.high));
    (_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high))
}

/// One level of four trees: their answers for sixteen candidates each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
#[inline]
fn four_above(question: &FourQuestions, bins: &[Column], spread: __m512i) -> __mmask64 {
    // SAFETY: 16 of 64 bytes behind a reference, no alignment needed.
    let of = |tree: usize| unsafe { _mm_loadu_si128(column(bins, question.features[tree]).as_ptr().cast()) };
    let columns = _mm512_castsi128_si512(of(0));
    let columns = _mm512_inserti32x4::<1>(columns, of(1));
    let columns = _mm512_inserti32x4::<2>(columns, of(2));
    let columns = _mm512_inserti32x4::<3>(columns, of(3));
    let bins = _mm512_shuffle_epi8(_mm512_set1_epi32(i32::from_le_bytes(question.bins)), spread);
    _mm512_cmpgt_epu8_mask(columns, bins)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn narrow(quantised: &Quantised, quantiles: usize, bins: &[Column], sums: &mut Sums) {
    let mut leaves = [[0u8; NARROW]; TREES];
    let mut totals = [_mm512_setzero_si512(); crate::forecast::MAX_QUANTILES];
    // Each quarter takes its own of four bytes.
    let spread = _mm512_set_epi64(
        0x0303_0303_0303_0303,
        0x0303_0303_0303_0303,
        0x0202_0202_0202_0202,
        0x0202_0202_0202_0202,
        0x0101_0101_0101_0101,
        0x0101_0101_0101_0101,
        0,
        0,
    );
    let chunks = quantised.trees().chunks(TREES).zip(quantised.fours().chunks(TREES / 4));
    for (chunk, (trees, fours)) in chunks.enumerate() {
        for (leaves, questions) in leaves.as_chunks_mut::<4>().0.iter_mut().zip(fours) {
            let mut number = _mm512_setzero_si512();
            for (level, question) in questions.iter().enumerate() {
                let above = four_above(question, bins, spread);
                number = _mm512_mask_add_epi8(number, above, number, _mm512_set1_epi8(1 << level));
            }
            // SAFETY: 64 bytes behind a reference to four arrays of 16, no alignment needed.
            unsafe { _mm512_storeu_si512(leaves.as_mut_ptr().cast(), number) };
        }
        for (quantile, total) in totals.iter_mut().enumerate().take(quantiles) {
            let tables = &quantised.tables(quantile)[chunk * TREES..][..trees.len()];
            for (table, leaf) in tables.iter().zip(&leaves) {
                // SAFETY: 16 bytes behind a reference, no alignment needed.
                let leaf = _mm512_castsi128_si512(unsafe { _mm_loadu_si128(leaf.as_ptr().cast()) });
                let low = _mm512_castsi512_si128(_mm512_permutexvar_epi8(leaf, load(&table.low)));
                let high = _mm512_castsi512_si128(_mm512_permutexvar_epi8(leaf, load(&table.high)));
                // The low byte as it is, the high one with its sign, a byte further up.
                let low = _mm512_cvtepu8_epi32(low);
                let high = _mm512_slli_epi32::<8>(_mm512_cvtepi8_epi32(high));
                *total = _mm512_add_epi32(*total, _mm512_add_epi32(low, high));
            }
        }
    }
    for (total, sums) in totals.iter().zip(sums.iter_mut()).take(quantiles) {
        // SAFETY: 16 of 64 integers behind a reference, no alignment needed.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *total) };
    }
}
