//! Trees as a whole: what they learn, what never happens, and that nothing but the seed decides.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tailcast_model::Forest;

/// Rows that own their columns.
struct Rows {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
    weights: Vec<f32>,
    censored: Vec<bool>,
}

impl Rows {
    fn set(&self) -> TrainingSet<'_> {
        TrainingSet {
            columns: self.columns.iter().map(Vec::as_slice).collect(),
            labels: &self.labels,
            weights: &self.weights,
            censored: &self.censored,
        }
    }
}

/// Three features: 0 shifts the label by a step, 1 widens its tail, 2 is noise; one value in twenty is missing.
fn rows(count: usize, seed: u64) -> Rows {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut columns = vec![Vec::new(); 3];
    let mut labels = Vec::new();
    for _ in 0..count {
        let mut draw = || random.random::<f32>();
        let values = [draw() * 8.0, draw(), draw()];
        let tail = -(1.0 - draw()).ln();
        labels.push(if values[0] > 4.0 { 2.0 } else { 0.0 } + tail * if values[1] > 0.5 { 1.0 } else { 0.2 });
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(if draw() < 0.05 { f32::NAN } else { value });
        }
    }
    Rows { columns, labels, weights: vec![1.0; count], censored: vec![false; count] }
}

fn params() -> TreeParams {
    TreeParams { rounds: 40, depth: 4, monotone: vec![true, false, false], ..TreeParams::default() }
}

fn fit(params: &TreeParams, rows: &Rows) -> FittedTrees {
    params.clone().check().unwrap().fit(&rows.set(), None, &mut |_, _, _, _| {}).unwrap()
}

fn predict(forest: &Forest, row: &[f32]) -> Vec<f32> {
    let mut bins = vec![0; forest.feature_count()];
    let mut out = vec![0.0; forest.quantile_count()];
    forest.bin_row(row, &mut bins);
    forest.predict_bins(&bins, &mut out);
    out
}

#[test]
fn steps_and_tails_are_found_and_quantiles_cover_what_they_say() {
    let (train, fresh) = (rows(20_000, 1), rows(20_000, 2));
    let fitted = fit(&TreeParams { rounds: 100, ..params() }, &train);
    let forecast = |row: &[f32]| predict(&fitted.forest, row);
    let (low, high) = (forecast(&[2.0, 0.9, 0.5]), forecast(&[6.0, 0.9, 0.5]));
    assert!((high[0] - low[0] - 2.0).abs() < 0.15, "{low:?} {high:?}");
    // ln 20 · 1.0; the narrow one has beside its own ln 20 · 0.2 the rows whose feature 0 is missing.
    let narrow = forecast(&[2.0, 0.1, 0.5]);
    assert!((low[1] - 3.0).abs() < 0.4 && narrow[1] < 1.6 && narrow[0] < 0.2, "{low:?} {narrow:?}");
    for (quantile, level) in [0.5f32, 0.95, 0.99].into_iter().enumerate() {
        let of = |row: usize| forecast(&fresh.columns.iter().map(|column| column[row]).collect::<Vec<_>>())[quantile];
        let forecasts: Vec<f32> = (0..fresh.labels.len()).map(of).collect();
        let covered = loss::coverage(&fresh.labels, &forecasts, &fresh.weights);
        assert!((covered - f64::from(level)).abs() < 0.012, "{level}: {covered}");
    }
    assert!(fitted.importance[0] > fitted.importance[1] && fitted.importance[1] > 5.0 * fitted.importance[2]);
}

#[test]
fn the_loss_that_is_reported_is_the_loss_of_the_forest() {
    let train = rows(3_000, 3);
    let fitted = fit(&params(), &train);
    let mut expected = 0.0;
    for (quantile, level) in [0.5f32, 0.95, 0.99].into_iter().enumerate() {
        let of = |row: usize| {
            predict(&fitted.forest, &train.columns.iter().map(|column| column[row]).collect::<Vec<_>>())[quantile]
        };
        let forecasts: Vec<f32> = (0..train.labels.len()).map(of).collect();
        expected += loss::pinball(&train.labels, &forecasts, level, &train.weights) / 3.0;
    }
    let reported = fitted.rounds.last().unwrap().train;
    // The forest serves leaves of 16 bits.
    assert!((reported - expected).abs() < 1e-5, "{reported} is not {expected}");
    assert!(fitted.rounds.windows(2).all(|pair| pair[1].train < pair[0].train + 1e-3), "loss falls");
}

#[test]
fn the_number_of_threads_changes_no_bit_and_the_seed_does() {
    let train = rows(5_000, 4);
    let with = |threads: usize, seed: u64| fit(&TreeParams { threads, seed, ..params() }, &train).forest;
    let one = with(1, 7);
    assert_eq!(one, with(2, 7));
    assert_eq!(one, with(5, 7));
    assert_ne!(one, with(1, 8));
}

#[test]
fn early_stopping_keeps_the_best_round() {
    let (train, held_out) = (rows(400, 5), rows(2_000, 6));
    let params = TreeParams {
        rounds: 300,
        learning_rate: 0.3,
        min_leaf_weight: 1.0,
        l2: 0.0,
        early_stopping_rounds: 10,
        ..params()
    };
    let fitted = params.check().unwrap().fit(&train.set(), Some(&held_out.set()), &mut |_, _, _, _| {}).unwrap();
    let losses: Vec<f64> = fitted.rounds.iter().map(|round| round.validation.unwrap()).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses.len() < 300 && losses.len() == fitted.kept + 10);
    assert_eq!(losses[fitted.kept - 1], best);
    assert_eq!(fitted.forest.tree_count(), fitted.kept);
}

#[test]
fn without_anything_to_learn_the_forest_is_a_constant() {
    let mut train = rows(500, 7);
    train.labels.fill(1.5);
    let fitted = fit(&params(), &train);
    assert!(predict(&fitted.forest, &[1.0, 0.5, 0.5]).iter().all(|value| (value - 1.5).abs() < 1e-6));
    train.columns.iter_mut().for_each(|column| column.fill(f32::NAN));
    train.labels.iter_mut().enumerate().for_each(|(row, label)| *label = row as f32);
    let fitted = fit(&params(), &train);
    assert_eq!((fitted.kept, fitted.forest.tree_count()), (0, 0));
}

#[test]
fn rows_that_were_cut_off_raise_the_tail_instead_of_capping_it() {
    let mut train = rows(8_000, 8);
    let truth = fit(&params(), &train);
    // Everything above 2 was cut off there.
    for (label, censored) in train.labels.iter_mut().zip(&mut train.censored) {
        *censored = *label > 2.0;
        *label = label.min(2.0);
    }
    let informed = fit(&params(), &train);
    train.censored.fill(false);
    let capped = fit(&params(), &train);
    let median = |fitted: &FittedTrees| predict(&fitted.forest, &[2.0, 0.1, 0.5])[0];
    assert!((median(&informed) - median(&truth)).abs() < 0.1, "what is not cut off is learned as before");
    let high = |fitted: &FittedTrees| predict(&fitted.forest, &[6.0, 0.1, 0.5])[2];
    assert!(high(&capped) < 2.1 && high(&informed) >= high(&capped), "{} {}", high(&capped), high(&informed));
}

#[test]
fn a_start_goes_on_beyond_the_range_of_training_and_counts_as_important() {
    let mut train = rows(4_000, 9);
    for row in 0..train.labels.len() {
        let cost = train.columns[1][row];
        train.labels[row] = if cost.is_nan() { 0.5 } else { cost };
    }
    let staircase: Vec<(f32, f32)> = (0..30).map(|i| (0.1 * i as f32, 0.1)).collect();
    let start = vec![Steps { feature: 1, lowest: -0.5, steps: staircase }];
    let plain = fit(&params(), &train);
    let started = fit(&TreeParams { start, ..params() }, &train);
    let far = |fitted: &FittedTrees| predict(&fitted.forest, &[2.0, 2.5, 0.5])[0];
    assert!(far(&plain) < 1.1 && (far(&started) - 2.5).abs() < 0.25, "{} {}", far(&plain), far(&started));
    assert!(started.importance[1] > 0.0 && started.importance[1] > started.importance[0]);
    let before = started.rounds.first().unwrap().train;
    assert!(before < plain.rounds.first().unwrap().train, "the first round starts lower");
    assert_eq!(started.forest.tree_count(), started.kept + 7, "31 levels are seven trees of five");
}

/// Gain of a threshold written out over rows: no bins, no histograms, no integers.
fn naive_gain(column: &[f32], labels: &[f32], base: &[f32], levels: &[f32], threshold: f32, l2: f64) -> f64 {
    let score = |rows: &[usize], level: usize| {
        let q = f64::from(levels[level]);
        let g: f64 = rows.iter().map(|row| if labels[*row] < base[level] { q - 1.0 } else { q }).sum();
        g * g / (rows.len() as f64 + l2) / (q * (1.0 - q))
    };
    let all: Vec<usize> = (0..column.len()).collect();
    let (right, left): (Vec<usize>, Vec<usize>) = all.iter().partition(|row| column[**row] > threshold);
    if left.len() < 5 || right.len() < 5 {
        return 0.0;
    }
    (0..levels.len()).map(|level| score(&left, level) + score(&right, level) - score(&all, level)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_first_question_is_the_one_that_a_naive_search_over_rows_finds(seed in any::<u64>()) {
        let train = rows(120, seed);
        let params = TreeParams {
            rounds: 1, depth: 1, min_leaf_weight: 5.0, row_share: 1.0, monotone: vec![false; 3], ..params()
        };
        let levels = params.quantiles.clone();
        let l2 = f64::from(params.l2);
        let fitted = fit(&params, &train);
        let parts = fitted.forest.parts();
        let mut best = 0.0f64;
        for (column, borders) in train.columns.iter().zip(&parts.borders) {
            for threshold in borders.iter().copied().chain([f32::NEG_INFINITY]) {
                best = best.max(naive_gain(column, &train.labels, &parts.base, &levels, threshold, l2));
            }
        }
        let gain: f32 = fitted.importance.iter().sum();
        prop_assert!((f64::from(gain) - best).abs() < 1e-3 * best.max(1.0), "{} against {}", gain, best);
    }

    #[test]
    fn no_forecast_falls_when_a_monotone_feature_grows(
        seed in any::<u64>(), other in 0.0f32..1.0, sign in prop_oneof![Just(1.0f32), Just(-1.0)]
    ) {
        let mut train = rows(600, seed);
        // Also where the rows say the opposite.
        train.labels.iter_mut().for_each(|label| *label *= sign);
        let fitted = fit(&TreeParams { rounds: 15, min_leaf_weight: 2.0, ..params() }, &train);
        let forecasts: Vec<Vec<f32>> =
            (0..40).map(|i| predict(&fitted.forest, &[i as f32 * 0.25 - 1.0, other, other])).collect();
        for pair in forecasts.windows(2) {
            for (low, high) in pair[0].iter().zip(&pair[1]) {
                prop_assert!(low <= high, "{:?}", forecasts);
            }
        }
    }

    #[test]
    fn any_rows_give_finite_forecasts_or_an_error_and_never_a_panic(
        columns in prop::collection::vec(prop::collection::vec(any::<f32>(), 30), 3),
        labels in prop::collection::vec(prop_oneof![5 => -3.0f32..9.0, 1 => any::<f32>()], 30),
        weights in prop::collection::vec(prop_oneof![4 => Just(1.0f32), 1 => Just(0.0), 1 => any::<f32>()], 30),
        censored in prop::collection::vec(any::<bool>(), 30),
    ) {
        let rows = Rows { columns, labels, weights, censored };
        let params = TreeParams { rounds: 5, min_leaf_weight: 1.0, ..params() }.check().unwrap();
        if let Ok(fitted) = params.fit(&rows.set(), Some(&rows.set()), &mut |_, _, _, _| {}) {
            prop_assert!(predict(&fitted.forest, &[1.0, f32::NAN, f32::INFINITY]).iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn a_warm_start_from_the_same_rows_is_the_same_forest_and_one_from_other_rows_is_nearly_as_good() {
    let (train, next, fresh) = (rows(8_000, 11), rows(8_000, 12), rows(8_000, 13));
    let first = fit(&params(), &train);
    let warm = |keep: usize| TreeParams { warm: WarmStart::of(&first.forest, keep), ..params() };
    let again = fit(&warm(usize::MAX), &train);
    assert!(again.forest == first.forest, "the same questions on the same rows");
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3 * b.abs().max(1.0);
    assert!(again.importance.iter().zip(&first.importance).all(close), "{:?}", (again.importance, first.importance));
    let loss = |fitted: &FittedTrees| {
        let of = |row: usize| predict(&fitted.forest, &fresh.columns.iter().map(|c| c[row]).collect::<Vec<_>>())[2];
        let forecasts: Vec<f32> = (0..fresh.labels.len()).map(of).collect();
        loss::pinball(&fresh.labels, &forecasts, 0.99, &fresh.weights)
    };
    let (cold, two_thirds) = (fit(&params(), &next), fit(&warm(27), &next));
    assert_eq!(two_thirds.forest.tree_count(), 40);
    assert!(loss(&two_thirds) < 1.02 * loss(&cold), "{} {}", loss(&two_thirds), loss(&cold));
}

#[test]
fn a_warm_start_keeps_the_step_functions_of_the_forest_before() {
    let train = rows(4_000, 14);
    let steps = Steps { feature: 0, lowest: 0.0, steps: vec![(4.0, 1.5)] };
    let first = fit(&TreeParams { start: vec![steps], ..params() }, &train);
    assert_eq!(first.forest.tree_count(), 41);
    let warm = TreeParams { warm: WarmStart::of(&first.forest, 20), ..params() };
    let second = fit(&warm, &train);
    assert_eq!(second.forest.tree_count(), 41);
    assert_eq!(second.forest.parts().trees[0].leaves, first.forest.parts().trees[0].leaves);
}
