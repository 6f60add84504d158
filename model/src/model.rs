//! A validated artefact, ready to forecast.
//!
//! There is one way to get a model: from bytes. [`Model::new`] writes its parts and reads them back, so what a
//! trainer judges is exactly what a proxy will serve, and one validation covers both. The bytes are kept (tens of
//! kilobytes): saving a model that was loaded writes the same file. Nothing here allocates while forecasting.
//!
//! Rejected: keeping the parts and serialising on demand (a number that prints and parses inexactly would silently
//! change the checksum of the same model).

use crate::artefact::{self, Artefact, error::ArtefactError};
use crate::decision::{DecisionForecasts, DecisionForest, Wanted};
use crate::ensemble::Ensemble;
use crate::forecast::{Forecast, Level, LevelScale, MAX_QUANTILES};
use crate::importance;
use crate::kernel::{BLOCK, Kernel};
use crate::parts::ModelParts;
use std::fmt;
use std::path::Path;
use tailcast_features::lanes::LANES;
use tailcast_features::{Columns, FEATURE_COUNT, Row, index};

/// Hexadecimal digits of the checksum that name a model in logs: 48 bits, far beyond the models of one fleet.
const ID_DIGITS: usize = 12;

/// A model.
#[derive(Clone)]
pub struct Model {
    parts: ModelParts,
    scale: LevelScale,
    /// `None` where the forest is not quantised.
    decision: Option<DecisionForest>,
    checksum: String,
    bytes: Vec<u8>,
}

/// The name and not the tens of thousands of numbers.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("id", &self.id()).field("quantiles", &self.quantiles()).finish_non_exhaustive()
    }
}

impl Model {
    /// Validates the parts of a new model and makes its artefact.
    ///
    /// # Errors
    /// The parts do not fit together; the message names which and why.
    pub fn new(parts: ModelParts) -> Result<Self, ArtefactError> {
        parts.validate()?;
        let bytes = artefact::write(&parts, &canary_forecasts(&parts))?;
        Self::from_bytes(&bytes)
    }

    /// Reads and validates an artefact and repeats its canary forecasts.
    ///
    /// # Errors
    /// Anything but a whole, unchanged artefact of this format and this feature schema.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let Artefact { parts, canary_forecasts: expected, checksum } = artefact::read(bytes)?;
        parts.validate()?;
        let found = canary_forecasts(&parts);
        let (groups, quantiles) = (parts.groups.count, parts.quantiles.len());
        ArtefactError::check_len("canary.forecasts", expected.len(), vec![parts.canary_rows.len(), groups, quantiles])?;
        if let Some(at) = (0..found.len()).find(|at| found[*at].to_bits() != expected[*at].to_bits()) {
            let (row, group) = (at / quantiles / groups, at / quantiles % groups);
            return Err(ArtefactError::Canary { row, group, found: found[at], expected: expected[at] });
        }
        Ok(Self {
            scale: LevelScale::new(&parts.quantiles),
            // Imported trees have no forest to compile.
            decision: if parts.ensemble.is_some() { None } else { DecisionForest::new(&parts.forest) },
            parts,
            checksum,
            bytes: bytes.to_vec(),
        })
    }

    /// Loads a file of at most [`artefact::MAX_BYTES`].
    ///
    /// # Errors
    /// The file cannot be read, or is refused as in [`Model::from_bytes`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ArtefactError> {
        Self::from_bytes(&artefact::file::read(path.as_ref(), artefact::MAX_BYTES)?)
    }

    /// Writes the artefact: whole or not at all, also where the machine stops half-way.
    ///
    /// # Errors
    /// The file cannot be written; what was there before is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ArtefactError> {
        artefact::file::write(path.as_ref(), &self.bytes)
    }

    /// The artefact. The same model has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// SHA-256 of the artefact, 64 lowercase hexadecimal digits.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The first 12 digits of the checksum, for logs.
    pub fn id(&self) -> &str {
        self.checksum.get(..ID_DIGITS).unwrap_or(&self.checksum)
    }

    /// Everything that the model is made of.
    pub fn parts(&self) -> &ModelParts {
        &self.parts
    }

    /// Quantile levels, ascending.
    pub fn quantiles(&self) -> &[f32] {
        &self.parts.quantiles
    }

    /// The features that the trees gained from, the largest share first.
    pub fn importance(&self) -> Vec<(&'static str, f32)> {
        importance::ranked(&self.parts.importance)
    }

    /// The highest value of a feature that any tree tells from those above; `None` where none asks for it. Beyond it the
    /// forecast does not change with the feature.
    pub fn highest_border(&self, feature: usize) -> Option<f32> {
        if let Some(ensemble) = &self.parts.ensemble {
            return ensemble.highest_border(feature);
        }
        let forest = self.parts.forest.parts();
        let borders = forest.borders.get(feature)?;
        let splits = forest.trees.iter().flat_map(|tree| &tree.splits);
        let bins = splits.filter(|split| usize::from(split.feature) == feature).map(|split| usize::from(split.bin));
        // A bin beyond the last border asks for nothing: no value is above it.
        bins.filter(|bin| *bin < borders.len()).max().map(|bin| borders[bin])
    }

    /// The tenant group of a tenant's stable hash.
    pub fn group_of(&self, tenant: u64) -> u16 {
        self.parts.groups.group_of(tenant)
    }

    /// Forecast of one candidate for a tenant of `group`.
    pub fn forecast(&self, row: &Row, group: u16) -> Forecast {
        let mut forecast = raw_forecast(&self.parts, row);
        self.parts.calibration.apply(&mut forecast, self.parts.quantiles.len(), group);
        forecast
    }

    /// Forecasts of many candidates; as many as the shorter of `rows` and `out`.
    pub fn forecast_batch(&self, rows: &[Row], group: u16, out: &mut [Forecast]) {
        if let Some(ensemble) = &self.parts.ensemble {
            let count = rows.len().min(out.len());
            let out = &mut out[..count];
            ensemble.forecast_batch(usize::MAX, rows, out);
            return self.calibrate(out, group);
        }
        let mut bins = [0u8; FEATURE_COUNT * BLOCK];
        for (rows, out) in rows.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let count = rows.len().min(out.len());
            for (candidate, row) in rows.iter().enumerate().take(count) {
                self.parts.forest.bin_strided(row, &mut bins[candidate..], BLOCK);
            }
            self.forecast_bins(&bins, BLOCK, group, &mut out[..count]);
        }
    }

    /// Forecasts the candidates of one decision, as they are and with one request more in flight: the lowest `depth`
    /// quantiles (see [`Level::depth`]), which are the same as in a whole forecast.
    pub fn forecast_decision(&self, depth: usize, candidates: &Columns, group: u16, out: &mut DecisionForecasts) {
        self.forecast_decision_with(Kernel::best(), depth, candidates, group, out);
    }

    /// [`Model::forecast_decision`] with a given kernel.
    pub fn forecast_decision_with(
        &self,
        kernel: Kernel,
        depth: usize,
        candidates: &Columns,
        group: u16,
        out: &mut DecisionForecasts,
    ) {
        match &self.decision {
            Some(forest) => {
                let calibration = &self.parts.calibration;
                forest.forecast(Wanted { depth, group, calibration, kernel }, candidates, out);
            }
            None => {
                let depth = depth.min(self.parts.quantiles.len());
                out.reset(candidates.len(), depth, 0);
                if let Some(ensemble) = &self.parts.ensemble {
                    return self.forecast_imported(ensemble, depth, candidates, group, out);
                }
                for candidate in 0..candidates.len() {
                    let mut row = candidates.row(candidate);
                    let now = self.forecast(&row, group);
                    row[index::IN_FLIGHT] += 1.0;
                    out.set(candidate, &now, &self.forecast(&row, group));
                }
            }
        }
    }

    /// Shifts what the trees say.
    fn calibrate(&self, forecasts: &mut [Forecast], group: u16) {
        for forecast in forecasts {
            self.parts.calibration.apply(forecast, self.parts.quantiles.len(), group);
        }
    }

    /// A decision by imported trees: a block of rows at a time, on the stack.
    fn forecast_imported(
        &self,
        ensemble: &Ensemble,
        depth: usize,
        candidates: &Columns,
        group: u16,
        out: &mut DecisionForecasts,
    ) {
        let mut rows = [[f32::NAN; FEATURE_COUNT]; BLOCK];
        let (mut now, mut busier) = ([Forecast::default(); BLOCK], [Forecast::default(); BLOCK]);
        for start in (0..candidates.len()).step_by(BLOCK) {
            let count = (candidates.len() - start).min(BLOCK);
            for (place, row) in rows.iter_mut().take(count).enumerate() {
                *row = candidates.row(start + place);
            }
            ensemble.forecast_decision(depth, &rows[..count], &mut now[..count], &mut busier[..count]);
            self.calibrate(&mut now[..count], group);
            self.calibrate(&mut busier[..count], group);
            for place in 0..count {
                out.set(start + place, &now[place], &busier[place]);
            }
        }
    }

    /// True where the bandit corrects nobody.
    pub fn has_no_bandit(&self) -> bool {
        self.parts.bandit.endpoints.is_empty()
    }

    /// Probability that the endpoint fails the request, for all candidates of a decision: whole blocks of lanes.
    pub fn error_probabilities(&self, candidates: &Columns, out: &mut Vec<[f32; LANES]>) {
        self.parts.errors.probabilities(candidates, out);
    }

    /// Takes one candidate's lowest quantiles out of a block's and calibrates them.
    fn read(
        &self,
        sums: &[f32; MAX_QUANTILES * BLOCK],
        candidate: usize,
        depth: usize,
        group: u16,
        forecast: &mut Forecast,
    ) {
        *forecast = Forecast { n: depth, ..Forecast::default() };
        for (quantile, value) in forecast.ln_ms[..forecast.n].iter_mut().enumerate() {
            *value = sums[quantile * BLOCK + candidate];
        }
        self.parts.calibration.apply(forecast, self.parts.quantiles.len(), group);
    }

    /// Forecasts of candidates that are binned already (by `parts().forest`), feature-major:
    /// `bins[feature * stride + candidate]`, one candidate for each entry of `out`.
    ///
    /// # Panics
    /// `stride` is smaller than `out` is long, or `bins` is shorter than the features times `stride`.
    fn forecast_bins(&self, bins: &[u8], stride: usize, group: u16, out: &mut [Forecast]) {
        assert!(out.len() <= stride, "{} candidates do not fit a stride of {stride}", out.len());
        let mut sums = [0.0f32; MAX_QUANTILES * BLOCK];
        let mut block_bins = [0u8; FEATURE_COUNT * BLOCK];
        for (start, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let block = if stride == BLOCK {
                bins
            } else {
                for feature in self.parts.forest.used_features() {
                    let feature = usize::from(*feature);
                    let column = &bins[feature * stride + start..][..out.len()];
                    block_bins[feature * BLOCK..][..out.len()].copy_from_slice(column);
                }
                &block_bins[..]
            };
            self.parts.forest.predict_batch(block, BLOCK, out.len(), &mut sums);
            for (candidate, forecast) in out.iter_mut().enumerate() {
                self.read(&sums, candidate, self.parts.quantiles.len(), group, forecast);
            }
        }
    }

    /// The quantile of a forecast at any level, natural log of milliseconds: interpolated between the model's levels
    /// on the scale of an exponential tail, the nearest level outside of them.
    pub fn at_level(&self, forecast: &Forecast, level: f32) -> f32 {
        self.level(level).of(forecast)
    }

    /// Where a level lies among those of the model.
    pub fn level(&self, level: f32) -> Level {
        self.scale.resolve(level)
    }

    /// Probability that the endpoint fails the request.
    pub fn error_probability(&self, row: &Row) -> f32 {
        self.parts.errors.probability(row)
    }

    /// What the bandit adds to every quantile, natural log units; `endpoint` is the stable hash of its name. 0 where
    /// the group or the endpoint is not known.
    pub fn bandit_correction(&self, group: u16, endpoint: u64) -> f32 {
        self.parts.bandit.correction(group, endpoint)
    }
}

/// What the trees say, before calibration.
fn raw_forecast(parts: &ModelParts, row: &Row) -> Forecast {
    if let Some(ensemble) = &parts.ensemble {
        return ensemble.forecast(row);
    }
    let mut bins = [0u8; FEATURE_COUNT];
    let mut forecast = Forecast { n: parts.quantiles.len(), ..Forecast::default() };
    parts.forest.bin_row(row, &mut bins);
    parts.forest.predict_bins(&bins, &mut forecast.ln_ms[..parts.quantiles.len()]);
    forecast
}

/// Forecasts of the canary rows, `[row][group][quantile]`.
fn canary_forecasts(parts: &ModelParts) -> Vec<f32> {
    let mut all = Vec::with_capacity(parts.canary_rows.len() * parts.groups.count * parts.quantiles.len());
    for row in &parts.canary_rows {
        let raw = raw_forecast(parts, row);
        for group in 0..parts.groups.count {
            let mut forecast = raw;
            parts.calibration.apply(&mut forecast, parts.quantiles.len(), group as u16);
            all.extend_from_slice(forecast.ln_ms());
        }
    }
    all
}

#[cfg(test)]
mod tests;
