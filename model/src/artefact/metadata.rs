//! The JSON beside the tensors: what the model is, where it comes from and what it was trained for.
//!
//! Read in two steps: first only format, version and schema, so that a file of another release is refused for that
//! and not for a field that it does not have. Unknown fields are refused, since a reader knows its version exactly.

use super::checksum::BLANK;
use super::error::ArtefactError;
use crate::ensemble::Trainer;
use crate::parts::{ModelParts, TrainingWindow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tailcast_features::{FEATURES, schema_hash};

/// Says what the file is to a reader that knows nothing of it.
const FORMAT: &str = "tailcast-model";

/// All fields, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    format: String,
    format_version: u32,
    /// The digits; see `checksum`, which is why this key must not be renamed.
    sha256: String,
    schema_hash: String,
    features: Vec<String>,
    /// Whose binary trees they are; only in [`super::ENSEMBLE_VERSION`], and always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trained_by: Option<Trainer>,
    pub(super) quantiles: Vec<f32>,
    pub(super) tenant_groups: usize,
    pub(super) default_group: u16,
    pub(super) window: TrainingWindow,
    pub(super) rows: u64,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) importance: Vec<f32>,
    pub(super) parent: Option<String>,
    pub(super) library_version: String,
    pub(super) created_unix_secs: u64,
}

/// The fields that every version has.
#[derive(Debug, Deserialize)]
struct Heading {
    format: String,
    format_version: u32,
    schema_hash: String,
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

impl Metadata {
    pub(super) fn of(parts: &ModelParts) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: super::format_version(parts),
            sha256: BLANK.to_owned(),
            schema_hash: hex(schema_hash()),
            features: FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
            trained_by: parts.ensemble.as_ref().map(|ensemble| ensemble.parts().trainer),
            quantiles: parts.quantiles.clone(),
            tenant_groups: parts.groups.count,
            default_group: parts.groups.default_group,
            window: parts.window,
            rows: parts.rows,
            metrics: parts.metrics.clone(),
            importance: parts.importance.clone(),
            parent: parts.parent.clone(),
            library_version: parts.library_version.clone(),
            created_unix_secs: parts.created_unix_secs,
        }
    }

    pub(super) fn to_json(&self) -> Result<String, ArtefactError> {
        serde_json::to_string(self).map_err(|error| ArtefactError::Metadata(error.to_string()))
    }

    pub(super) fn from_json(json: &str) -> Result<Self, ArtefactError> {
        let unreadable = |error: serde_json::Error| ArtefactError::Metadata(error.to_string());
        let heading: Heading = serde_json::from_str(json).map_err(unreadable)?;
        if heading.format != FORMAT {
            return Err(ArtefactError::NotAnArtefact(format!("its format is {:?}, not {FORMAT:?}", heading.format)));
        }
        if !(super::FORMAT_VERSION..=super::ENSEMBLE_VERSION).contains(&heading.format_version) {
            return Err(ArtefactError::UnknownVersion {
                found: heading.format_version,
                known: super::ENSEMBLE_VERSION,
            });
        }
        if heading.schema_hash != hex(schema_hash()) {
            return Err(ArtefactError::WrongSchema { found: heading.schema_hash, expected: hex(schema_hash()) });
        }
        let metadata: Self = serde_json::from_str(json).map_err(unreadable)?;
        if metadata.trained_by.is_some() != (metadata.format_version == super::ENSEMBLE_VERSION) {
            let (version, needed) = (metadata.format_version, super::ENSEMBLE_VERSION);
            return Err(ArtefactError::Metadata(format!(
                "trained_by belongs to format version {needed} and to no other, this is {version}"
            )));
        }
        match FEATURES.iter().map(|feature| feature.name).eq(metadata.features.iter().map(String::as_str)) {
            true => Ok(metadata),
            false => Err(ArtefactError::Metadata("the features are not those of the schema".to_owned())),
        }
    }
}
