//! What a trainer hands over to become a model.
//!
//! Plain public fields: a trainer fills in what it learned, and [`crate::Model::new`] validates exactly as it
//! validates a file. Rejected: a builder with a method for each field, which checks nothing that the validation
//! does not check again.

use crate::artefact::error::ArtefactError;
use crate::bandit::Bandit;
use crate::calibration::Calibration;
use crate::ensemble::Ensemble;
use crate::errors::ErrorHead;
use crate::forecast::MAX_QUANTILES;
use crate::forest::Forest;
use crate::groups::TenantGroups;
use std::collections::BTreeMap;
use tailcast_features::{FEATURE_COUNT, Row};

/// Version of the library that writes artefacts.
pub const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Canary rows a model may carry: they are forecast at every load, and a few dozen reach every tree.
pub const MAX_CANARY_ROWS: usize = 64;

/// Failure rate assumed before anything was learned: that of a service that is doing well.
const PRIOR_ERROR_RATE: f32 = 0.001;

/// The time that the training rows are from, microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingWindow {
    /// Arrival of the first row.
    pub from_us: i64,
    /// Arrival of the last row.
    pub until_us: i64,
}

/// Everything that a model is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelParts {
    /// Quantile levels, ascending inside (0, 1).
    pub quantiles: Vec<f32>,
    /// The trees, over the rows of the feature schema.
    pub forest: Forest,
    /// Trees that another library trained. Where there are some, they forecast and `forest` is empty.
    pub ensemble: Option<Ensemble>,
    /// Shifts of the forest's quantiles.
    pub calibration: Calibration,
    /// Tenant groups.
    pub groups: TenantGroups,
    /// Bandit weights.
    pub bandit: Bandit,
    /// Error-probability head.
    pub errors: ErrorHead,
    /// Gain of each feature, in the order of the schema.
    pub importance: Vec<f32>,
    /// The time that the training rows are from.
    pub window: TrainingWindow,
    /// Training rows.
    pub rows: u64,
    /// Whatever was measured at training, by name.
    pub metrics: BTreeMap<String, f64>,
    /// Checksum of the model that this one was trained from or replaces.
    pub parent: Option<String>,
    /// Version of the library that wrote the artefact.
    pub library_version: String,
    /// When the model was made, seconds since the Unix epoch.
    pub created_unix_secs: u64,
    /// Rows whose forecasts are recorded in the artefact and repeated at every load; 1 to [`MAX_CANARY_ROWS`].
    /// Missing values are NaN.
    pub canary_rows: Vec<Row>,
}

impl ModelParts {
    /// A forest alone: one tenant group, nothing calibrated, no bandit, a small constant failure rate, and the empty
    /// row as the canary.
    pub fn new(quantiles: Vec<f32>, forest: Forest) -> Self {
        let groups = TenantGroups::default();
        Self {
            calibration: Calibration::zero(groups.count, quantiles.len()),
            quantiles,
            forest,
            ensemble: None,
            groups,
            bandit: Bandit::default(),
            errors: ErrorHead::constant(PRIOR_ERROR_RATE),
            importance: vec![0.0; FEATURE_COUNT],
            window: TrainingWindow::default(),
            rows: 0,
            metrics: BTreeMap::new(),
            parent: None,
            library_version: LIBRARY_VERSION.to_owned(),
            created_unix_secs: 0,
            canary_rows: vec![[f32::NAN; FEATURE_COUNT]],
        }
    }

    /// Trees of another library alone, everything else as in [`ModelParts::new`].
    ///
    /// # Errors
    /// There are more or fewer quantiles than a model may have.
    pub fn imported(quantiles: Vec<f32>, ensemble: Ensemble) -> Result<Self, ArtefactError> {
        let mut parts = Self::new(quantiles, Forest::without_trees(ensemble.quantile_count())?);
        parts.ensemble = Some(ensemble);
        Ok(parts)
    }

    /// Trees, of whichever kind.
    pub fn tree_count(&self) -> usize {
        self.ensemble.as_ref().map_or(self.forest.tree_count(), Ensemble::tree_count)
    }

    pub(crate) fn validate(&self) -> Result<(), ArtefactError> {
        let levels = &self.quantiles;
        let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        let ascending = levels.windows(2).all(|pair| pair[0] < pair[1]);
        if levels.is_empty() || levels.len() > MAX_QUANTILES || !inside || !ascending {
            return Err(ArtefactError::Quantiles { found: levels.clone(), max: MAX_QUANTILES });
        }
        ArtefactError::check_len("forest.base", self.forest.quantile_count(), vec![levels.len()])?;
        ArtefactError::check_len("forest.border_counts", self.forest.feature_count(), vec![FEATURE_COUNT])?;
        if let Some(ensemble) = &self.ensemble {
            ArtefactError::check_len("ensemble.base", ensemble.quantile_count(), vec![levels.len()])?;
            let forest = self.forest.parts();
            let is_empty = |borders: &Vec<f32>| borders.is_empty();
            if !forest.trees.is_empty()
                || !forest.borders.iter().all(is_empty)
                || forest.base.iter().any(|base| *base != 0.0)
            {
                let both = "imported trees are the model's only trees, its forest must be empty".to_owned();
                return Err(ArtefactError::Metadata(both));
            }
        }
        self.groups.validate()?;
        self.calibration.validate(self.groups.count, levels.len())?;
        self.bandit.validate(self.groups.count)?;
        self.errors.validate(FEATURE_COUNT)?;
        ArtefactError::check_len("importance", self.importance.len(), vec![FEATURE_COUNT])?;
        ArtefactError::check_finite("importance", &self.importance)?;
        ArtefactError::check_not_negative("importance", &self.importance)?;
        if let Some((name, value)) = self.metrics.iter().find(|(_, value)| !value.is_finite()) {
            return Err(ArtefactError::Metadata(format!("metric {name:?} is {value}, not a finite number")));
        }
        if self.window.from_us > self.window.until_us {
            let (from, until) = (self.window.from_us, self.window.until_us);
            return Err(ArtefactError::Metadata(format!(
                "the training window starts at {from} us, after its end {until}"
            )));
        }
        let rows = self.canary_rows.len();
        if rows == 0 || rows > MAX_CANARY_ROWS {
            return Err(ArtefactError::out_of_range("number of canary rows", 0, rows, 1, MAX_CANARY_ROWS));
        }
        // NaN means missing there, an infinity is no value that a feature takes.
        let infinite = |value: &f32| value.is_infinite();
        match self.canary_rows.as_flattened().iter().position(infinite) {
            Some(at) => Err(ArtefactError::NotFinite { tensor: "canary.rows", at, value: f64::INFINITY }),
            None => Ok(()),
        }
    }
}
