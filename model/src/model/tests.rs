//! What a model forecasts, and what it keeps through a file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ensemble::Ensemble;
use crate::forest::Forest;
use crate::testing::{any_ensemble, any_feature_row, any_forest, imported_parts, small_parts};
use proptest::prelude::*;

fn row_with(values: &[(usize, f32)]) -> Row {
    let mut row = [f32::NAN; FEATURE_COUNT];
    values.iter().for_each(|(feature, value)| row[*feature] = *value);
    row
}

fn refusal(change: impl FnOnce(&mut ModelParts)) -> String {
    let mut parts = small_parts();
    change(&mut parts);
    Model::new(parts).unwrap_err().to_string()
}

#[test]
fn a_forecast_is_base_plus_leaf_plus_the_shift_of_the_group() {
    let model = Model::new(small_parts()).unwrap();
    assert_eq!(model.forecast(&row_with(&[]), 0).ln_ms(), [1.125, 2.75]);
    assert_eq!(model.forecast(&row_with(&[(3, 1.0)]), 0).ln_ms(), [2.125, 3.75]);
    assert_eq!(model.forecast(&row_with(&[(3, 1.0), (5, 0.0)]), 1).ln_ms(), [3.5, 6.25]);
}

#[test]
fn everything_beside_the_forest_is_served_from_the_file() {
    let model = Model::from_bytes(&Model::new(small_parts()).unwrap().to_bytes()).unwrap();
    assert_eq!(model.quantiles(), [0.5, 0.99]);
    assert_eq!([17, 99, 1].map(|tenant| model.group_of(tenant)), [1, 0, 1]);
    assert_eq!(model.bandit_correction(1, 6), -0.2);
    assert_eq!(model.bandit_correction(1, 7), 0.0);
    let failing = model.error_probability(&row_with(&[(19, 0.9)]));
    assert!(failing > 2.0 * model.error_probability(&row_with(&[])), "{failing}");
    let forecast = model.forecast(&row_with(&[]), 0);
    assert_eq!(model.at_level(&forecast, 0.99), 2.75);
    assert_eq!(model.importance()[0], (tailcast_features::FEATURES[3].name, 2.0 / 3.0));
    assert_eq!(model.parts().rows, 1234);
    assert_eq!(model.parts().metrics["pinball"], 0.1 + 0.2);
    assert_eq!(model.parts().library_version, crate::parts::LIBRARY_VERSION);
}

#[test]
fn the_same_parts_give_the_same_bytes_and_the_same_name() {
    let (one, two) = (Model::new(small_parts()).unwrap(), Model::new(small_parts()).unwrap());
    assert_eq!(one.to_bytes(), two.to_bytes());
    assert_eq!(one.checksum().len(), 64);
    assert_eq!(one.id(), &two.checksum()[..12]);
    let mut other = small_parts();
    other.rows += 1;
    assert_ne!(Model::new(other).unwrap().id(), one.id());
}

#[test]
fn a_file_gives_back_the_same_model() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.tailcast");
    let model = Model::new(small_parts()).unwrap();
    model.save(&path).unwrap();
    let loaded = Model::load(&path).unwrap();
    assert_eq!(loaded.checksum(), model.checksum());
    assert_eq!(loaded.to_bytes(), std::fs::read(&path).unwrap());
    assert!(Model::load(directory.path().join("none")).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    assert!(refusal(|p| p.quantiles = vec![0.5]).contains("forest.base has 2 values, 1"));
    for levels in [vec![], vec![0.5, 0.5], vec![0.99, 0.5], vec![0.0, 0.5], vec![0.5, 1.0], vec![0.5, f32::NAN]] {
        assert!(refusal(|p| p.quantiles = levels).contains("quantile levels"));
    }
    assert!(refusal(|p| p.calibration.offsets.truncate(3)).contains("calibration.offsets"));
    assert!(refusal(|p| p.groups.default_group = 2).contains("groups.default_group"));
    assert!(refusal(|p| p.bandit.weights[0] = f32::NAN).contains("bandit.weights has NaN at 0"));
    assert!(refusal(|p| p.errors.terms[0].feature = 31).contains("errors.features is 31"));
    assert!(refusal(|p| p.importance.truncate(3)).contains("importance has 3 values, 31"));
    assert!(refusal(|p| p.importance[0] = -1.0).contains("must not be negative"));
    assert!(refusal(|p| _ = p.metrics.insert("loss".to_owned(), f64::NAN)).contains("metric \"loss\""));
    assert!(refusal(|p| p.window.until_us = 0).contains("training window"));
    assert!(refusal(|p| p.canary_rows.clear()).contains("number of canary rows is 0"));
    assert!(refusal(|p| p.canary_rows[1][4] = f32::INFINITY).contains("canary.rows"));
    let narrow = crate::forest::ForestParts { borders: vec![vec![]; 3], base: vec![1.0, 2.0], trees: vec![] };
    assert!(refusal(|p| p.forest = Forest::new(narrow).unwrap()).contains("forest.border_counts has 3 values, 31"));
}

#[test]
fn imported_trees_are_shifted_uncrossed_and_asked_for_their_borders_like_any() {
    let mut parts = imported_parts();
    parts.calibration.offsets = vec![0.0, 0.5, 9.0, 0.0];
    let model = Model::new(parts).unwrap();
    assert_eq!(model.forecast(&row_with(&[]), 0).ln_ms(), [0.75, 3.75]);
    assert_eq!(model.forecast(&row_with(&[]), 1).ln_ms(), [9.75, 9.75]);
    assert_eq!(model.highest_border(tailcast_features::index::IN_FLIGHT), Some(4.0));
    assert_eq!(model.parts().tree_count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_decision_by_imported_trees_equals_each_row_alone(
        ensemble in any_ensemble(2), rows in prop::collection::vec(any_feature_row(), 1..80), group in 0u16..3
    ) {
        let mut parts = imported_parts();
        parts.ensemble = Some(Ensemble::new(ensemble).unwrap());
        let model = Model::new(parts).unwrap();
        // The rows of one decision: equal in what belongs to the request.
        let mut decision = rows.clone();
        for row in &mut decision {
            for (feature, spec) in tailcast_features::FEATURES.iter().enumerate() {
                if spec.scope == tailcast_features::schema::Scope::Request {
                    row[feature] = rows[0][feature];
                }
            }
        }
        let rows = decision;
        let mut batch = vec![Forecast::default(); rows.len()];
        model.forecast_batch(&rows, group, &mut batch);
        let (mut candidates, mut forecasts) = (Columns::default(), DecisionForecasts::default());
        candidates.fill(&rows);
        model.forecast_decision(usize::MAX, &candidates, group, &mut forecasts);
        for (i, row) in rows.iter().enumerate() {
            let mut fuller = *row;
            fuller[tailcast_features::index::IN_FLIGHT] += 1.0;
            let alone = model.forecast(row, group);
            prop_assert!(alone.ln_ms().windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", alone);
            prop_assert_eq!(alone, batch[i]);
            prop_assert_eq!(alone, forecasts.now(i));
            prop_assert_eq!(model.forecast(&fuller, group), forecasts.busier(i));
        }
    }

    #[test]
    fn any_valid_forest_comes_back_bit_equal(forest in any_forest(FEATURE_COUNT, 2), rows in prop::collection::vec(any_feature_row(), 1..5)) {
        let mut parts = small_parts();
        parts.forest = Forest::new(forest).unwrap();
        let canary = |row: Row| row.map(|value| if value.is_infinite() { f32::NAN } else { value });
        parts.canary_rows = rows.iter().copied().map(canary).collect();
        let model = Model::new(parts.clone()).unwrap();
        let back = Model::from_bytes(&model.to_bytes()).unwrap();
        prop_assert_eq!(&back.parts().forest, &parts.forest);
        prop_assert_eq!(back.to_bytes(), model.to_bytes());
        for row in &rows {
            let bits = |model: &Model| model.forecast(row, 1).ln_ms.map(f32::to_bits);
            prop_assert_eq!(bits(&back), bits(&model));
        }
    }

    #[test]
    fn forecasts_never_cross_and_a_batch_equals_each_row_alone(
        forest in any_forest(FEATURE_COUNT, 3),
        offsets in prop::collection::vec(-2.0f32..2.0, 6),
        rows in prop::collection::vec(any_feature_row(), 1..140),
        group in 0u16..4,
    ) {
        let mut parts = small_parts();
        parts.quantiles = vec![0.5, 0.95, 0.99];
        parts.forest = Forest::new(forest).unwrap();
        parts.calibration.offsets = offsets;
        let model = Model::new(parts).unwrap();
        let mut batch = vec![Forecast::default(); rows.len()];
        model.forecast_batch(&rows, group, &mut batch);
        // Already binned, with a stride that is not the size of a block.
        let stride = rows.len() + 7;
        let mut bins = vec![0; FEATURE_COUNT * stride];
        for (candidate, row) in rows.iter().enumerate() {
            model.parts().forest.bin_strided(row, &mut bins[candidate..], stride);
        }
        let mut binned = vec![Forecast::default(); rows.len()];
        model.forecast_bins(&bins, stride, group, &mut binned);
        // The rows of one decision: equal in what belongs to the request.
        let mut decision = rows.clone();
        for row in &mut decision {
            for (feature, spec) in tailcast_features::FEATURES.iter().enumerate() {
                if spec.scope == tailcast_features::schema::Scope::Request {
                    row[feature] = rows[0][feature];
                }
            }
        }
        let level = model.level(0.5);
        let mut candidates = Columns::default();
        candidates.fill(&decision);
        let (mut forecasts, mut lowest) = (DecisionForecasts::default(), DecisionForecasts::default());
        let mut medians = Vec::new();
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
            model.forecast_decision_with(kernel, usize::MAX, &candidates, group, &mut forecasts);
            model.forecast_decision_with(kernel, level.depth(), &candidates, group, &mut lowest);
            lowest.level_now(level, &mut medians);
            for (i, row) in decision.iter().enumerate() {
                let (now, busier) = (forecasts.now(i), forecasts.busier(i));
                prop_assert_eq!(medians[i].to_bits(), level.of(&now).to_bits());
                prop_assert_eq!(level.of(&lowest.busier(i)).to_bits(), level.of(&busier).to_bits());
                prop_assert_eq!(model.forecast(row, group).ln_ms.map(f32::to_bits), now.ln_ms.map(f32::to_bits));
                let mut row = *row;
                row[tailcast_features::index::IN_FLIGHT] += 1.0;
                prop_assert_eq!(model.forecast(&row, group).ln_ms.map(f32::to_bits), busier.ln_ms.map(f32::to_bits));
            }
        }
        let mut failing = Vec::new();
        model.error_probabilities(&candidates, &mut failing);
        for (i, row) in decision.iter().enumerate() {
            prop_assert_eq!(failing.as_flattened()[i].to_bits(), model.error_probability(row).to_bits());
        }
        for (i, row) in rows.iter().enumerate() {
            let alone = model.forecast(row, group);
            prop_assert!(alone.ln_ms().windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", alone);
            prop_assert_eq!(alone.ln_ms.map(f32::to_bits), batch[i].ln_ms.map(f32::to_bits));
            prop_assert_eq!(alone.ln_ms.map(f32::to_bits), binned[i].ln_ms.map(f32::to_bits));
            prop_assert!(model.error_probability(row).is_finite());
        }
    }
}
