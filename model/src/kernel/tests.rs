//! Every kernel that this machine has gives the bits of the reference.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::testing::{any_forest_up_to, any_row};
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_kernel_gives_the_bits_of_the_reference(
        parts in any_forest_up_to(6, 5, 3), rows in prop::collection::vec(any_row(5), 1..150)
    ) {
        let forest = Forest::new(parts).unwrap();
        prop_assert!(forest.quantised().is_some());
        for count in [1, rows.len().min(9), rows.len().min(17), rows.len().min(64), rows.len()] {
            for stride in [count, BLOCK.max(count)] {
                let mut bins = vec![0; 5 * stride];
                for (candidate, row) in rows.iter().take(count).enumerate() {
                    forest.bin_strided(row, &mut bins[candidate..], stride);
                }
                let forecasts = |kernel| {
                    let mut out = vec![0.0f32; 3 * stride];
                    predict_batch_with(kernel, &forest, usize::MAX, &bins, stride, count, &mut out);
                    let values = (0..3 * stride).filter(|at| at % stride < count).map(|at| out[at].to_bits());
                    values.collect::<Vec<u32>>()
                };
                let reference = forecasts(Kernel::Scalar);
                for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
                    prop_assert_eq!(&forecasts(kernel), &reference, "{} with {} of {}", kernel.name(), count, stride);
                }
            }
        }
    }

    #[test]
    fn quantised_leaves_stay_within_the_stated_error(parts in any_forest_up_to(6, 5, 3), row in any_row(5)) {
        let forest = Forest::new(parts).unwrap();
        let mut bins = [0u8; 5];
        forest.bin_row(&row, &mut bins);
        let (mut found, mut exact) = ([0.0f32; 3], [0.0f32; 3]);
        forest.predict_bins(&bins, &mut found);
        float::predict_bins(&forest, &bins, &mut exact);
        for (found, exact) in found.iter().zip(exact) {
            prop_assert!((found - exact).abs() <= crate::quantised::MAX_ERROR + exact.abs() * 1e-6, "{found} {exact}");
        }
    }
}

#[test]
fn many_trees_are_summed_in_chunks_without_losing_one() {
    use crate::forest::{ForestParts, Split, Tree};
    for trees in [1usize, 2, 127, 128, 129, 301] {
        let tree = |number: usize| Tree {
            splits: vec![Split { feature: 0, bin: 1 }, Split { feature: 0, bin: 3 }],
            leaves: (0..4).map(|leaf| (number % 7) as f32 / 4096.0 + leaf as f32 / 1024.0).collect(),
        };
        let parts = ForestParts {
            borders: vec![vec![1.0, 2.0, 3.0, 4.0]],
            base: vec![1.0],
            trees: (0..trees).map(tree).collect(),
        };
        let forest = Forest::new(parts).unwrap();
        assert!(forest.quantised().is_some());
        let mut bins = [0u8; BLOCK];
        bins.iter_mut().enumerate().for_each(|(i, bin)| *bin = (i % 6) as u8);
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
            for count in [5, 64] {
                let mut out = [0.0f32; BLOCK];
                predict_batch_with(kernel, &forest, usize::MAX, &bins, BLOCK, count, &mut out);
                for (candidate, bin) in bins.iter().enumerate().take(count) {
                    let leaf = usize::from(*bin > 1) + 2 * usize::from(*bin > 3);
                    let expected = 1.0 + (0..trees).map(|n| tree(n).leaves[leaf]).sum::<f32>();
                    assert!((out[candidate] - expected).abs() < 1e-3, "{} {trees} {candidate}", kernel.name());
                }
            }
        }
    }
}
