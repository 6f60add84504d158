//! Parity with the libraries on a recorded pair, several files into one model, and input that is anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::{learnable_log, stream_bytes};
use crate::train::Source;
use proptest::prelude::*;
use serde::Deserialize;
use tailcast_model::Model;

/// Rows, and what each library predicted for them: see `write_fixture` in `benches/learning/import.py`.
#[derive(Deserialize)]
struct Recorded {
    rows: Vec<Vec<Option<f32>>>,
    lightgbm: Vec<Vec<f32>>,
    xgboost: Vec<Vec<f32>>,
}

const LIGHTGBM: [&str; 2] = ["lightgbm-p0.5.txt", "lightgbm-p0.9.txt"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/fixtures").join(name)
}

fn file(name: &str, level: Option<f32>) -> ModelFile {
    ModelFile { path: fixture(name), level }
}

fn recorded() -> Recorded {
    serde_json::from_slice(&std::fs::read(fixture("predictions.json")).unwrap()).unwrap()
}

/// The bits of what the model forecasts, and of what was recorded, lifted where it crosses.
fn both(model: &Model, rows: &[Vec<Option<f32>>], predicted: &[Vec<f32>]) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let row = |row: &Vec<Option<f32>>| -> Row { std::array::from_fn(|at| row[at].unwrap_or(f32::NAN)) };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let ours = rows.iter().map(|values| bits(model.forecast(&row(values), 0).ln_ms())).collect();
    let theirs = predicted.iter().map(|values| bits(&[values[0], values[0].max(values[1])])).collect();
    (ours, theirs)
}

fn model(imported: Imported) -> Model {
    Model::new(imported.parts).unwrap()
}

#[test]
fn lightgbm_s_recorded_predictions_are_forecast_to_the_bit() {
    let model = model(import(Trainer::LightGbm, &LIGHTGBM.map(|name| file(name, None))).unwrap());
    assert_eq!(model.quantiles(), [0.5, 0.9]);
    let recorded = recorded();
    let (ours, theirs) = both(&model, &recorded.rows, &recorded.lightgbm);
    assert_eq!(ours, theirs);
    assert!(!model.importance().is_empty());
}

#[test]
fn xgboost_s_recorded_predictions_are_forecast_to_the_bit() {
    let model = model(import(Trainer::XgBoost, &[file("xgboost.json", None)]).unwrap());
    assert_eq!(model.quantiles(), [0.5, 0.9]);
    let recorded = recorded();
    let (ours, theirs) = both(&model, &recorded.rows, &recorded.xgboost);
    assert_eq!(ours, theirs);
    assert!(!model.importance().is_empty());
}

#[test]
fn quantiles_are_sorted_whatever_the_order_of_the_files() {
    let model = model(import(Trainer::LightGbm, &[file(LIGHTGBM[1], None), file(LIGHTGBM[0], Some(0.5))]).unwrap());
    assert_eq!(model.quantiles(), [0.5, 0.9]);
    let recorded = recorded();
    let (ours, theirs) = both(&model, &recorded.rows, &recorded.lightgbm);
    assert_eq!(ours, theirs);
}

#[test]
fn everything_but_the_trees_is_neutral_and_the_canary_lies_on_thresholds() {
    let parts = import(Trainer::LightGbm, &[file(LIGHTGBM[0], None)]).unwrap().parts;
    assert_eq!((parts.groups.count, parts.calibration.offsets.as_slice()), (1, &[0.0][..]));
    assert!(parts.bandit.endpoints.is_empty() && parts.errors.terms.is_empty());
    let thresholds: Vec<f32> =
        parts.ensemble.iter().flat_map(|ensemble| ensemble.splits()).map(|s| s.threshold).collect();
    let on = parts.canary_rows.iter().flatten().filter(|value| thresholds.contains(value)).count();
    assert!(on >= parts.canary_rows.len() - 1, "{on}");
}

#[test]
fn levels_that_contradict_the_file_or_each_other_are_refused() {
    let refusal = |files: &[ModelFile], trainer| import(trainer, files).unwrap_err().to_string();
    let error = refusal(&[file(LIGHTGBM[0], Some(0.95))], Trainer::LightGbm);
    assert!(error.contains("trained for 0.5, not for 0.95") && error.contains("lightgbm-p0.5.txt"), "{error}");
    let error = refusal(&[file("xgboost.json", Some(0.5))], Trainer::XgBoost);
    assert!(error.contains("2 quantiles"), "{error}");
    let twice = [file(LIGHTGBM[0], None), file(LIGHTGBM[0], None)];
    assert!(refusal(&twice, Trainer::LightGbm).contains("0.5 is there twice"));
    assert!(refusal(&[], Trainer::LightGbm).contains("there are 0"));
    let missing = refusal(&[file("none.txt", None)], Trainer::LightGbm);
    assert!(missing.contains("cannot read") && missing.contains("none.txt"), "{missing}");
    assert!(resolved(&[None], None).unwrap_err().to_string().contains("PATH=LEVEL"));
}

#[test]
fn a_path_may_hold_an_equals_sign() {
    let parse = |text: &str| text.parse::<ModelFile>();
    assert_eq!(parse("a.txt").unwrap(), ModelFile { path: "a.txt".into(), level: None });
    assert_eq!(parse("a.txt=0.99").unwrap(), ModelFile { path: "a.txt".into(), level: Some(0.99) });
    assert_eq!(parse("run=3/a=b.txt").unwrap(), ModelFile { path: "run=3/a=b.txt".into(), level: None });
    assert!(parse("a.txt=99").unwrap_err().contains("between 0 and 1"));
    assert!(parse("a.txt=nan").unwrap_err().contains("between 0 and 1"));
}

#[test]
fn trees_and_nodes_are_counted_while_they_are_read() {
    let tree = BinaryTree { nodes: vec![tailcast_model::ensemble::Node::Leaf(0.0)] };
    let mut limits = Limits { trees: MAX_TREES - 1, nodes: 0 };
    assert!(limits.count(&tree).is_ok());
    assert!(limits.count(&tree).unwrap_err().to_string().contains("more than 10000 trees"));
    let mut limits = Limits { trees: 0, nodes: MAX_NODES };
    assert!(limits.count(&tree).unwrap_err().to_string().contains("nodes"));
}

/// Trees that know nothing of this log: a shift gives them its coverage, and no more than that.
#[test]
fn a_shift_gives_the_coverage_of_the_log_and_the_judgement_says_what_it_is_worth() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[learnable_log(6_000, 3)])).unwrap();
    let mut parts = import(Trainer::LightGbm, &LIGHTGBM.map(|name| file(name, None))).unwrap().parts;
    let calibrated = calibrate(&mut parts, Source::Log(directory.path().to_owned()), 1).unwrap();
    assert_eq!(parts.calibration.offsets, calibrated.offsets);
    assert!(calibrated.offsets.iter().any(|offset| offset.abs() > 0.5), "{:?}", calibrated.offsets);
    for row in &calibrated.coverage {
        // 900 rows judge and as many calibrate: three standard errors of the median are 0.07.
        assert!((row.overall - f64::from(row.level)).abs() < 0.07, "{row:?}");
    }
    assert!(!calibrated.judgement.wins && calibrated.judgement.gate(false).is_err());
    assert_eq!(parts.metrics["beats_baselines"], 0.0);
    assert_eq!(model(Imported { parts, notes: Vec::new() }).parts().calibration.offsets, calibrated.offsets);
}

/// A file with a piece replaced: near enough to a model that every step of the reading is reached.
fn spoiled(name: &str) -> impl Strategy<Value = Vec<u8>> {
    let good = std::fs::read(fixture(name)).unwrap();
    let junk = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "-1",
            "0",
            "9",
            "=",
            "\n",
            " ",
            "nan",
            "1e999",
            "99999999999999999999",
            "[",
            "\"",
            ":",
            ","
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0usize..6, junk).prop_map(move |(at, removed, junk)| {
        let mut bad = good.clone();
        let at = at.index(bad.len());
        let end = (at + removed).min(bad.len());
        bad.splice(at..end, junk);
        bad
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(Trainer::LightGbm, &bytes).is_err());
        prop_assert!(parse(Trainer::XgBoost, &bytes).is_err());
    }

    /// Either refused, or a model that forecasts finite numbers: never a panic.
    #[test]
    fn spoiled_models_are_refused_or_served(lightgbm in spoiled(LIGHTGBM[0]), xgboost in spoiled("xgboost.json")) {
        for (trainer, bytes) in [(Trainer::LightGbm, lightgbm), (Trainer::XgBoost, xgboost)] {
            let Ok(mut foreign) = parse(trainer, &bytes) else { continue };
            foreign.levels.iter_mut().zip([0.5, 0.9]).for_each(|(level, known)| *level = Some(known));
            if let Ok(imported) = assemble(trainer, vec![foreign]) {
                let model = model(imported);
                for value in [f32::NAN, 0.0, 1e30, -1e30] {
                    prop_assert!(model.forecast(&[value; FEATURE_COUNT], 0).ln_ms().iter().all(|value| value.is_finite()));
                }
            }
        }
    }
}
