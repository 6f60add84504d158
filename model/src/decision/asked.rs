//! Which borders the trees of a forest ask for, and bins counted in those alone.
//!
//! `bin > k` asks whether the value is above border `k − 1` (`k = 0`: whether it is there). Borders that no tree asks for
//! only lengthen the count. So each feature keeps the borders that are asked for, and the questions are numbered anew.
//!
//! Sixteen values are binned at a time. On AVX-512 31 borders are a search tree in two registers: five steps of
//! one permutation, one compare and two additions, without a load ([`search`]). Elsewhere borders are counted one after the other. Left
//! to the compiler, such a loop is vectorised over the borders, which is five times as slow.
#![allow(unsafe_code, reason = "vector loads and stores, and functions that need a processor feature")]

use crate::forest::{Forest, Split};
use std::collections::BTreeSet;
use tailcast_features::columns::{FIRST_OWN, OWN};
use tailcast_features::lanes::LANES;

/// One feature that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feature {
    /// Index into the feature row.
    pub(super) feature: usize,
    /// Bins of the forest that are asked for, ascending, without 0: their borders are those of `borders`.
    bins: Vec<u8>,
    borders: Vec<f32>,
}

/// Some of the borders of a feature that differs between candidates, as a search tree: node `n` above nodes `2n` and
/// `2n + 1`, the root at 1; infinity where there is none.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernel searches"))]
#[derive(Debug, Clone, PartialEq)]
#[repr(align(64))]
pub(super) struct Search {
    tree: [f32; NODES],
    /// The feature, counted from the first that differs between candidates.
    pub(super) own: usize,
    /// Where the column of the feature is.
    pub(super) position: usize,
    /// Whether no smaller border of the feature is in another tree.
    pub(super) is_first: bool,
}

/// Places of a search tree: two registers, of which the first place is empty.
const NODES: usize = 2 * LANES;

/// Fills the places below `node` in ascending order from `borders`.
fn plant(tree: &mut [f32; NODES], node: usize, borders: &mut impl Iterator<Item = f32>) {
    if node < NODES {
        plant(tree, 2 * node, borders);
        tree[node] = borders.next().unwrap_or(f32::INFINITY);
        plant(tree, 2 * node + 1, borders);
    }
}

impl Feature {
    #[inline(always)]
    pub(super) fn bin(&self, value: f32) -> u8 {
        let below = self.borders.iter().fold(0u32, |count, border| count + u32::from(*border < value));
        if value.is_nan() { 0 } else { 1 + below as u8 }
    }

    /// Bins of sixteen values.
    pub(super) fn bins(&self, values: &[f32; LANES]) -> [u8; LANES] {
        values.map(|value| self.bin(value))
    }

    /// The same on AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn bins_avx2(&self, values: &[f32; LANES]) -> [u8; LANES] {
        use std::arch::x86_64::*;
        let mut out = [0; LANES];
        for (values, out) in values.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
            // SAFETY: eight numbers behind a reference, no alignment needed.
            let values = unsafe { _mm256_loadu_ps(values.as_ptr()) };
            let mut bins = _mm256_set1_epi32(1);
            for border in &self.borders {
                let above = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_set1_ps(*border), values);
                bins = _mm256_sub_epi32(bins, _mm256_castps_si256(above));
            }
            let there = _mm256_cmp_ps::<_CMP_ORD_Q>(values, values);
            let mut wide = [0i32; 8];
            // SAFETY: eight integers behind a reference, no alignment needed.
            unsafe {
                _mm256_storeu_si256(wide.as_mut_ptr().cast(), _mm256_and_si256(bins, _mm256_castps_si256(there)))
            };
            for (out, wide) in out.iter_mut().zip(wide) {
                *out = wide as u8;
            }
        }
        out
    }
}

fn searches_of(features: &[Feature]) -> Vec<Search> {
    let mut searches = Vec::new();
    for (position, feature) in features.iter().enumerate() {
        let Some(own) = feature.feature.checked_sub(FIRST_OWN).filter(|own| *own < OWN) else { continue };
        // A feature without borders still has bins: whether it is there.
        for at in 0..feature.borders.len().div_ceil(NODES - 1).max(1) {
            let mut borders = feature.borders.iter().copied().skip(at * (NODES - 1));
            let mut tree = [f32::INFINITY; NODES];
            plant(&mut tree, 1, &mut borders);
            searches.push(Search { tree, own, position, is_first: at == 0 });
        }
    }
    searches
}

/// What some search trees add to the bins of sixteen values each. Several at a time: a search is a chain of dependent
/// steps, and a processor does four of them in the time of one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
pub(super) fn search<const N: usize>(searches: &[Search; N], values: [&[f32; LANES]; N]) -> [[u8; LANES]; N] {
    use std::arch::x86_64::*;
    let one = _mm512_set1_epi32(1);
    let mut nodes = [one; N];
    let mut lows = [_mm512_setzero_ps(); N];
    let mut highs = lows;
    let mut wanted = lows;
    for i in 0..N {
        let tree = &searches[i].tree;
        // SAFETY: sixteen numbers behind each reference, no alignment needed.
        (lows[i], highs[i], wanted[i]) = unsafe {
            (
                _mm512_loadu_ps(tree.as_ptr()),
                _mm512_loadu_ps(tree[LANES..].as_ptr()),
                _mm512_loadu_ps(values[i].as_ptr()),
            )
        };
    }
    for _ in 0..NODES.ilog2() {
        for i in 0..N {
            let border = _mm512_permutex2var_ps(lows[i], nodes[i], highs[i]);
            let above = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(border, wanted[i]);
            let below = _mm512_add_epi32(nodes[i], nodes[i]);
            nodes[i] = _mm512_mask_add_epi32(below, above, below, one);
        }
    }
    let mut bins = [[0; LANES]; N];
    for i in 0..N {
        // Below the last level nodes are numbered from 32, as many further as there are borders below the value. The first
        // tree counts from one, unless the value is missing.
        let start = NODES as i32 - i32::from(searches[i].is_first);
        let there = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(wanted[i], wanted[i]);
        let count = _mm512_maskz_cvtepi32_epi8(there, _mm512_sub_epi32(nodes[i], _mm512_set1_epi32(start)));
        // SAFETY: sixteen bytes behind a reference, no alignment needed.
        unsafe { _mm_storeu_si128(bins[i].as_mut_ptr().cast(), count) };
    }
    bins
}

/// The features of a forest that are asked for, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    features: Vec<Feature>,
    /// The borders of those that differ between candidates.
    searches: Vec<Search>,
}

impl Asked {
    pub(super) fn new(forest: &Forest) -> Self {
        let splits = || forest.parts().trees.iter().flat_map(|tree| &tree.splits);
        let feature = |feature: &u16| {
            let feature = usize::from(*feature);
            let asked: BTreeSet<u8> =
                splits().filter(|split| usize::from(split.feature) == feature).map(|split| split.bin).collect();
            let all = forest.parts().borders.get(feature).map_or(&[][..], Vec::as_slice);
            let bins: Vec<u8> = asked.into_iter().filter(|bin| (1..=all.len()).contains(&usize::from(*bin))).collect();
            let borders: Vec<f32> = bins.iter().map(|bin| all[usize::from(*bin) - 1]).collect();
            Feature { feature, bins, borders }
        };
        let features: Vec<Feature> = forest.used_features().iter().map(feature).collect();
        let searches = searches_of(&features);
        Self { features, searches }
    }

    pub(super) fn len(&self) -> usize {
        self.features.len()
    }

    pub(super) fn features(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter()
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernel searches"))]
    pub(super) fn searches(&self) -> &[Search] {
        &self.searches
    }

    /// Where the column of a feature is.
    pub(super) fn position(&self, feature: usize) -> Option<usize> {
        self.features.binary_search_by_key(&feature, |asked| asked.feature).ok()
    }

    /// A question over the forest's bins as one over these; `feature` becomes the position.
    pub(super) fn question(&self, split: Split) -> Split {
        let never = Split { feature: 0, bin: u8::MAX };
        let Some(position) = self.position(usize::from(split.feature)) else { return never };
        let bin = match split.bin {
            0 => 0,
            bin => self.features[position].bins.binary_search(&bin).map_or(u8::MAX, |at| at as u8 + 1),
        };
        Split { feature: position as u16, bin }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::forest::{ForestParts, Tree, bin_of};
    use crate::testing::{any_forest, any_row};
    use proptest::prelude::*;

    fn any_values() -> impl Strategy<Value = [f32; LANES]> {
        let special = prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
        prop::array::uniform16(prop_oneof![5 => -320.0f32..320.0, 1 => special])
    }

    proptest! {
        #[test]
        fn every_question_has_the_same_answer_over_fewer_borders(
            parts in any_forest(4, 1), rows in prop::collection::vec(any_row(4), 1..40)
        ) {
            let forest = Forest::new(parts).unwrap();
            let asked = Asked::new(&forest);
            for (row, split) in rows.iter().flat_map(|row| {
                forest.parts().trees.iter().flat_map(|tree| &tree.splits).map(move |split| (row, *split))
            }) {
                let question = asked.question(split);
                let feature = &asked.features[usize::from(question.feature)];
                prop_assert_eq!(feature.feature, usize::from(split.feature));
                let value = row[feature.feature];
                prop_assert_eq!(feature.bin(value) > question.bin, forest.bin(feature.feature, value) > split.bin);
                prop_assert_eq!(feature.bins(&[value; LANES]), [feature.bin(value); LANES]);
            }
        }

        #[test]
        fn vectors_of_values_have_the_bins_of_each_alone(
            borders in prop::collection::btree_set(-300i32..300, 0..=254), values in any_values(), at in 0usize..LANES
        ) {
            let borders: Vec<f32> = borders.into_iter().map(|border| border as f32).collect();
            let tree = |bin: usize| Tree { splits: vec![Split { feature: 0, bin: bin as u8 }], leaves: vec![0.0; 2] };
            let trees = (0..=borders.len()).map(tree).collect();
            let parts = ForestParts { borders: vec![borders.clone()], base: vec![0.0], trees };
            let forest = Forest::new(parts).unwrap();
            let mut asked = Asked::new(&forest);
            // As if it differed between candidates.
            asked.features[0].feature = FIRST_OWN;
            asked.searches = searches_of(&asked.features);
            let mut values = values;
            values[at] = borders.get(at * 7).copied().unwrap_or(f32::INFINITY);
            let expected = values.map(|value| bin_of(&borders, value));
            prop_assert_eq!(asked.features[0].bins(&values), expected);
            #[cfg(target_arch = "x86_64")]
            {
                use crate::kernel::Kernel;
                if Kernel::Avx2.is_available() {
                    // SAFETY: the machine has it.
                    prop_assert_eq!(unsafe { asked.features[0].bins_avx2(&values) }, expected);
                }
                if Kernel::Avx512.is_available() {
                    // SAFETY: the machine has it.
                    let counts = |one: &Search| unsafe { search(std::array::from_ref(one), [&values])[0] };
                    let mut bins = [0; LANES];
                    for counts in asked.searches.iter().map(counts) {
                        bins.iter_mut().zip(counts).for_each(|(bin, count)| *bin += count);
                    }
                    prop_assert_eq!(bins, expected);
                }
            }
        }
    }
}
