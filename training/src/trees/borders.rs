//! Borders of a feature: at most as many as bins allow, each bin holding about the same weight.
//!
//! Exact quantiles of at most [`SAMPLE`] rows, which lie evenly over all rows; a sketch would bring nothing at this
//! size and another source of error. A border lies half-way between two values that occur, so that a value seen
//! later falls to the nearer side. Rejected: equal widths (latency features are skewed, most bins would be empty).

/// Rows that are sorted at most: at 200 000 a border of 254 is off by a tenth of its bin.
const SAMPLE: usize = 200_000;

/// Ascending borders, fewer than `max_bins`; `rows` says which rows count.
pub(super) fn borders(column: &[f32], weights: &[f32], rows: &[u32], max_bins: usize) -> Vec<f32> {
    let mut values = sampled(column, weights, rows);
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // One entry for each distinct value, with all of its weight.
    values.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
    let exact = values.len() <= max_bins;
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let share = total / max_bins as f64;
    let mut borders = Vec::with_capacity(max_bins.min(values.len()));
    let (mut below, mut next) = (0.0, share);
    for pair in values.windows(2) {
        below += pair[0].1;
        if (exact || below >= next) && borders.len() + 1 < max_bins {
            borders.push(between(pair[0].0, pair[1].0));
            next = ((below / share).floor() + 1.0) * share;
        }
    }
    borders
}

/// Borders with these thresholds among them.
pub(super) fn merged(mut borders: Vec<f32>, thresholds: &[f32]) -> Vec<f32> {
    borders.extend_from_slice(thresholds);
    borders.sort_unstable_by(f32::total_cmp);
    borders.dedup();
    borders
}

fn sampled(column: &[f32], weights: &[f32], rows: &[u32]) -> Vec<(f32, f64)> {
    let count = rows.len().min(SAMPLE);
    (0..count)
        .map(|i| rows[(i as u128 * rows.len() as u128 / count as u128) as usize] as usize)
        // An infinity is binned at the edge, but is no place for a border. Adding 0 turns −0 into 0.
        .filter(|row| column[*row].is_finite())
        .map(|row| (column[row] + 0.0, f64::from(weights[row])))
        .collect()
}

/// A number from `low` up to, but not including, `high`.
fn between(low: f32, high: f32) -> f32 {
    let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
    if middle >= low && middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;
    use tailcast_model::forest::bin_of;

    fn of(column: &[f32], max_bins: usize) -> Vec<f32> {
        let rows: Vec<u32> = (0..column.len() as u32).collect();
        borders(column, &vec![1.0; column.len()], &rows, max_bins)
    }

    #[test]
    fn few_values_are_all_told_apart_half_way() {
        assert_eq!(of(&[3.0, 1.0, f32::NAN, 1.0, 2.0, f32::INFINITY], 8), [1.5, 2.5]);
        assert_eq!(of(&[0.0, -0.0], 8), [] as [f32; 0]);
        assert_eq!(of(&[f32::NAN; 3], 8), [] as [f32; 0]);
        assert_eq!(of(&[], 8), [] as [f32; 0]);
    }

    #[test]
    fn many_values_share_the_weight_among_the_bins() {
        let column: Vec<f32> = (0..10_000).map(|i| (i as f32).powi(2)).collect();
        let borders = of(&column, 20);
        assert_eq!(borders.len(), 19);
        let mut counts = [0; 21];
        column.iter().for_each(|value| counts[usize::from(bin_of(&borders, *value))] += 1);
        assert!(counts[1..].iter().all(|count| (450..=550).contains(count)), "{counts:?}");
    }

    #[test]
    fn weight_and_not_rows_decides_where_borders_lie() {
        let column: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let weights: Vec<f32> = (0..1000).map(|i| if i < 100 { 9.0 } else { 1.0 }).collect();
        let rows: Vec<u32> = (0..1000).collect();
        let borders = borders(&column, &weights, &rows, 10);
        let low = borders.iter().filter(|border| **border < 100.0).count();
        assert!((4..=6).contains(&low), "{borders:?}");
    }

    proptest! {
        #[test]
        fn borders_are_finite_strictly_ascending_and_fewer_than_bins(
            column in prop::collection::vec(prop_oneof![any::<f32>(), (-5i8..5).prop_map(f32::from)], 0..400), max_bins in 2usize..40
        ) {
            let borders = of(&column, max_bins);
            prop_assert!(borders.len() < max_bins);
            prop_assert!(borders.iter().all(|border| border.is_finite()));
            prop_assert!(borders.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", borders);
        }
    }
}
