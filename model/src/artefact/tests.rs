//! What is refused, and that nothing else is accepted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ensemble::Ensemble;
use crate::model::Model;
use crate::testing::{any_ensemble, imported_parts, small_parts};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

type RawTensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn bytes() -> Vec<u8> {
    Model::new(small_parts()).unwrap().to_bytes()
}

fn refusal(bytes: &[u8]) -> String {
    Model::from_bytes(bytes).unwrap_err().to_string()
}

/// The artefact with other contents and a correct checksum: what a faulty or hostile writer could make.
fn rewritten(edit: impl FnOnce(&mut Value, &mut RawTensors)) -> Vec<u8> {
    rewritten_of(&bytes(), edit)
}

fn rewritten_of(bytes: &[u8], edit: impl FnOnce(&mut Value, &mut RawTensors)) -> Vec<u8> {
    let (json, container, _) = container::unpack(bytes).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    let mut tensors: RawTensors = container
        .iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    edit(&mut json, &mut tensors);
    json["sha256"] = Value::String(checksum::BLANK.to_owned());
    let metadata = HashMap::from([("tailcast".to_owned(), json.to_string())]);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let mut rewritten = safetensors::serialize(views, Some(metadata)).unwrap();
    checksum::seal(&mut rewritten).unwrap();
    rewritten
}

fn with_json(edit: impl FnOnce(&mut Value)) -> String {
    refusal(&rewritten(|json, _| edit(json)))
}

fn with_tensor(name: &str, edit: impl FnOnce(&mut (Dtype, Vec<usize>, Vec<u8>))) -> String {
    refusal(&rewritten(|_, tensors| edit(tensors.get_mut(name).unwrap())))
}

/// Overwrites one number of a tensor.
fn with_value<const N: usize>(name: &str, at: usize, value: [u8; N]) -> String {
    with_tensor(name, |tensor| tensor.2[at * N..(at + 1) * N].copy_from_slice(&value))
}

#[test]
fn a_rewritten_but_equal_artefact_is_accepted() {
    assert!(Model::from_bytes(&rewritten(|_, _| ())).is_ok());
}

#[test]
fn any_byte_changed_in_any_way_is_refused() {
    let good = bytes();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    for at in 0..good.len() {
        let mut flips = vec![0x20u8, 0xff];
        for _ in 0..2 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            flips.push(1 << (random >> 61));
        }
        for flip in flips {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(Model::from_bytes(&bad).is_err(), "byte {at} xor {flip:#x} was accepted");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_and_called_truncated() {
    let good = bytes();
    for length in 0..good.len() {
        let error = refusal(&good[..length]);
        assert!(length == 0 || error.contains("truncated"), "{length}: {error}");
    }
    assert!(refusal(&[good, vec![0]].concat()).contains("bytes where"));
}

#[test]
fn other_files_are_called_no_model() {
    assert!(refusal(b"").contains("the file is empty"));
    assert!(refusal(b"PAR1 and something else").contains("no tailcast model"));
    assert!(refusal(b"\x08\0\0\0\0\0\0\0{broken}").contains("header cannot be read"));
    let plain = safetensors::serialize(std::iter::empty::<(&str, TensorView<'_>)>(), None).unwrap();
    assert!(refusal(&plain).contains("no checksum"));
    assert!(with_json(|json| json["format"] = "other".into()).contains("its format is \"other\""));
}

#[test]
fn a_file_above_the_size_limit_is_refused() {
    let huge = vec![0; MAX_BYTES as usize + 1];
    assert!(refusal(&huge).contains("at most 67108864 are allowed"));
}

#[test]
fn other_versions_and_schemas_are_refused_by_name_whatever_else_they_say() {
    let newer = with_json(|json| {
        json["format_version"] = 3.into();
        json["schema_hash"] = "00ff".into();
        json["field_of_the_future"] = true.into();
    });
    assert!(newer.contains("format version 3 is unknown, this program reads versions 1 to 2"), "{newer}");
    let schema = with_json(|json| json["schema_hash"] = "00000000deadbeef".into());
    let ours = format!("{:016x}", tailcast_features::schema_hash());
    assert!(schema.contains("00000000deadbeef") && schema.contains(&ours) && schema.contains("retrain"), "{schema}");
}

#[test]
fn metadata_that_is_missing_unknown_or_wrong_is_refused() {
    assert!(with_json(|json| drop(json.as_object_mut().unwrap().remove("rows"))).contains("rows"));
    assert!(with_json(|json| json["extra"] = 1.into()).contains("extra"));
    assert!(with_json(|json| json["features"][0] = "other".into()).contains("not those of the schema"));
    assert!(with_json(|json| json["quantiles"] = vec![0.99, 0.5].into()).contains("quantile levels"));
    assert!(with_json(|json| json["quantiles"] = vec![0.5].into()).contains("shape"));
    assert!(with_json(|json| json["metrics"]["loss"] = Value::Null).contains("metadata"));
    assert!(with_json(|json| json["tenant_groups"] = 9.into()).contains("shape"));
    assert!(with_json(|json| json["tenant_groups"] = u64::MAX.into()).contains("shape"));
    assert!(with_json(|json| json["default_group"] = 2.into()).contains("groups.default_group"));
    assert!(with_json(|json| json["importance"][0] = (-1.0).into()).contains("importance"));
}

#[test]
fn tensors_that_are_missing_unknown_or_of_another_kind_are_refused() {
    assert!(refusal(&rewritten(|_, t| drop(t.remove("forest.leaves")))).contains("forest.leaves is missing"));
    let unknown = rewritten(|_, t| drop(t.insert("surplus".to_owned(), (Dtype::U8, vec![1], vec![0]))));
    assert!(refusal(&unknown).contains("surplus is not known"));
    assert!(with_tensor("forest.base", |tensor| tensor.0 = Dtype::I32).contains("of type I32, F32 is needed"));
    assert!(with_tensor("forest.tree_depths", |tensor| tensor.1 = vec![1, 1]).contains("one dimension"));
    assert!(with_tensor("forest.leaves", |tensor| tensor.1 = vec![2, 4]).contains("forest.leaves has 8 values"));
    assert!(with_tensor("groups.centroids", |tensor| tensor.1 = vec![4]).contains("groups.centroids"));
    let emptied = with_tensor("groups.centroids", |tensor| *tensor = (Dtype::F32, vec![usize::MAX, 0], vec![]));
    assert!(emptied.contains("groups.centroids"), "{emptied}");
    let shorter = with_tensor("forest.split_bins", |tensor| *tensor = (Dtype::U8, vec![1], vec![1]));
    assert!(shorter.contains("forest.split_bins has 1 values, 2"), "{shorter}");
    let unmatched = with_tensor("groups.tenant_groups", |tensor| *tensor = (Dtype::U16, vec![1], vec![0, 0]));
    assert!(unmatched.contains("groups.tenant_groups has 1 values, 2"), "{unmatched}");
}

#[test]
fn numbers_that_are_not_finite_are_refused_wherever_they_are() {
    let floats: Vec<String> = {
        let bytes = bytes();
        let container = SafeTensors::deserialize(&bytes).unwrap();
        let names = container.iter().filter(|(_, view)| view.dtype() == Dtype::F32).map(|(name, _)| name.to_owned());
        names.collect()
    };
    assert_eq!(floats.len(), 14);
    for name in floats {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // In the canary's rows NaN means missing.
            if name != "canary.rows" || value.is_infinite() {
                let error = with_value(&name, 0, value.to_le_bytes());
                assert!(error.contains("only finite"), "{name} {value}: {error}");
            }
        }
    }
}

#[test]
fn indices_out_of_range_and_borders_out_of_order_are_refused() {
    assert!(with_value("forest.split_features", 0, 31u16.to_le_bytes()).contains("forest.split_features is 31"));
    assert!(with_value("forest.split_bins", 0, [3]).contains("forest.split_bins is 3"));
    assert!(with_value("forest.borders", 1, 0.25f32.to_le_bytes()).contains("not strictly ascending"));
    assert!(with_value("forest.tree_depths", 0, 65_535u16.to_le_bytes()).contains("forest.tree_depths is 65535"));
    assert!(with_value("forest.tree_depths", 0, 3u16.to_le_bytes()).contains("forest.split_features has 2 values, 3"));
    assert!(with_value("forest.border_counts", 0, 1u16.to_le_bytes()).contains("forest.borders has 2 values, 3"));
    assert!(with_value("groups.tenant_groups", 0, 2u16.to_le_bytes()).contains("groups.tenants is 2"));
    assert!(with_value("groups.tenant_hashes", 1, 17u64.to_le_bytes()).contains("not strictly ascending"));
    assert!(with_value("bandit.endpoints", 1, 5u64.to_le_bytes()).contains("bandit.endpoints"));
    assert!(with_value("errors.features", 0, 31u16.to_le_bytes()).contains("errors.features is 31"));
    assert!(with_value("errors.scales", 0, 0.0f32.to_le_bytes()).contains("above 0"));
}

#[test]
fn a_forecast_other_than_the_recorded_one_is_refused_by_the_canary() {
    let error = with_value("forest.leaves", 2, 1.001f32.to_le_bytes());
    assert!(error.starts_with("canary row 0, tenant group 0: forecast 2.1259"), "{error}");
    let error = with_value("canary.forecasts", 7, 9.0f32.to_le_bytes());
    assert!(error.starts_with("canary row 1, tenant group 1"), "{error}");
    assert!(with_value("canary.rows", 3, 0.0f32.to_le_bytes()).starts_with("canary row 0"));
    assert!(with_value("calibration.offsets", 3, 0.5f32.to_le_bytes()).contains("tenant group 1"));
}

#[test]
fn crossing_leaves_are_accepted_because_forecasts_are_uncrossed() {
    let mut parts = small_parts();
    let mut forest = parts.forest.parts().clone();
    forest.trees[0].leaves[1] = -9.0;
    parts.forest = Forest::new(forest).unwrap();
    let model = Model::new(parts).unwrap();
    let forecast = model.forecast(&[f32::NAN; FEATURE_COUNT], 0);
    assert_eq!(forecast.ln_ms(), [1.125, 1.125]);
}

/// Overwrites one number of a tensor of a model with imported trees.
fn imported_with_value<const N: usize>(name: &str, at: usize, value: [u8; N]) -> String {
    let imported = Model::new(imported_parts()).unwrap().to_bytes();
    refusal(&rewritten_of(&imported, |_, tensors| {
        tensors.get_mut(name).unwrap().2[at * N..(at + 1) * N].copy_from_slice(&value);
    }))
}

/// Files that earlier releases wrote, one for each version of the format, of the models in `crate::testing`.
#[test]
fn files_of_every_version_are_read_and_forecast_what_they_did() {
    let row = [1.0; FEATURE_COUNT];
    let old = Model::from_bytes(include_bytes!("golden/v1.tailcast")).unwrap();
    assert_eq!(old.forecast(&row, 0).ln_ms(), [4.125, 5.75]);
    assert_eq!((&old.parts().forest, old.parts().ensemble.is_none()), (&small_parts().forest, true));
    let imported = Model::from_bytes(include_bytes!("golden/v2.tailcast")).unwrap();
    assert_eq!(imported.forecast(&row, 0).ln_ms(), [0.875, 2.5]);
    assert_eq!(imported.parts().ensemble, imported_parts().ensemble);
}

#[test]
fn only_imported_trees_make_a_file_of_the_newer_version() {
    let version = |parts| {
        let bytes = Model::new(parts).unwrap().to_bytes();
        let (json, ..) = container::unpack(&bytes).unwrap();
        serde_json::from_str::<Value>(&json).unwrap()["format_version"].as_u64()
    };
    assert_eq!(version(small_parts()), Some(1));
    assert_eq!(version(imported_parts()), Some(2));
    let imported = Model::new(imported_parts()).unwrap().to_bytes();
    let renamed = |json: &mut Value, version: u64, trainer: Option<&str>| {
        json["format_version"] = version.into();
        match trainer {
            Some(trainer) => json["trained_by"] = trainer.into(),
            None => drop(json.as_object_mut().unwrap().remove("trained_by")),
        }
    };
    for (version, trainer, says) in [
        (1, Some("LightGBM"), "trained_by belongs to format version 2"),
        (2, None, "trained_by belongs to format version 2"),
        (1, None, "forest.border_counts is missing"),
        (2, Some("CatBoost"), "CatBoost"),
    ] {
        let error = refusal(&rewritten_of(&imported, |json, _| renamed(json, version, trainer)));
        assert!(error.contains(says), "{version} {trainer:?}: {error}");
    }
    let mut both = imported_parts();
    both.forest = small_parts().forest;
    assert!(Model::new(both).unwrap_err().to_string().contains("its forest must be empty"));
}

#[test]
fn imported_trees_that_are_damaged_are_refused() {
    assert!(imported_with_value("ensemble.features", 0, 31u16.to_le_bytes()).contains("ensemble.features is 31"));
    assert!(
        imported_with_value("ensemble.features", 0, u16::MAX.to_le_bytes()).contains("ensemble.leaves has 5 values, 6")
    );
    assert!(imported_with_value("ensemble.flags", 0, [4]).contains("ensemble.flags is 4"));
    assert!(imported_with_value("ensemble.rights", 0, 3u16.to_le_bytes()).contains("ensemble.rights is 3"));
    assert!(
        imported_with_value("ensemble.thresholds", 0, f32::NAN.to_le_bytes()).contains("ensemble.thresholds has NaN")
    );
    assert!(imported_with_value("ensemble.leaves", 0, f64::INFINITY.to_le_bytes()).contains("only finite"));
    assert!(imported_with_value("ensemble.base", 1, f64::NAN.to_le_bytes()).contains("only finite"));
    assert!(
        imported_with_value("ensemble.tree_counts", 0, 2u16.to_le_bytes())
            .contains("ensemble.node_counts has 2 values, 3")
    );
    assert!(
        imported_with_value("ensemble.node_counts", 0, 4u16.to_le_bytes())
            .contains("ensemble.thresholds has 8 values, 7")
    );
    assert!(imported_with_value("ensemble.leaves", 1, 0.8f64.to_le_bytes()).starts_with("canary row 0"));
}

/// The place of the header's text and its padding is where a changed byte would be easiest to miss.
#[test]
fn text_in_the_metadata_cannot_imitate_the_checksum() {
    let mut parts = small_parts();
    parts.parent = Some(r#"\"sha256\":\""#.to_owned() + checksum::BLANK);
    parts.library_version = r#"","sha256":""#.to_owned();
    parts.metrics.insert("sha256".to_owned(), 1.0);
    let model = Model::new(parts).unwrap();
    assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap().checksum(), model.checksum());
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    #[test]
    fn random_headers_are_refused_without_a_panic(header in "\\{[\\PC]{0,80}\\}", tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &tail].concat();
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    #[test]
    fn any_valid_ensemble_comes_back_equal(ensemble in any_ensemble(2)) {
        let mut parts = imported_parts();
        parts.ensemble = Some(Ensemble::new(ensemble).unwrap());
        let model = Model::new(parts.clone()).unwrap();
        let back = Model::from_bytes(&model.to_bytes()).unwrap();
        prop_assert_eq!(&back.parts().ensemble, &parts.ensemble);
        prop_assert_eq!(back.to_bytes(), model.to_bytes());
    }

    /// With a correct checksum only the validation is left, and it must refuse or serve, never panic.
    #[test]
    fn random_tensor_bytes_are_refused_or_served_but_never_panic(
        at in any::<prop::sample::Index>(), data in prop::collection::vec(any::<u8>(), 1..16), imported: bool
    ) {
        let parts = if imported { imported_parts() } else { small_parts() };
        let bytes = rewritten_of(&Model::new(parts).unwrap().to_bytes(), |_, tensors| {
            let name = at.get(&tensors.keys().cloned().collect::<Vec<_>>()).clone();
            let tensor = tensors.get_mut(&name).unwrap();
            let length = tensor.2.len();
            for (i, byte) in data.iter().enumerate() {
                tensor.2[(at.index(length) + i) % length] = *byte;
            }
        });
        if let Ok(model) = Model::from_bytes(&bytes) {
            for value in [f32::NAN, 0.0, 1.0, 1e30, -1e30] {
                let forecast = model.forecast(&[value; FEATURE_COUNT], 0);
                prop_assert!(forecast.ln_ms().iter().all(|value| !value.is_nan()));
                prop_assert!(model.error_probability(&[value; FEATURE_COUNT]).is_finite());
            }
        }
    }
}
