//! Models that were trained elsewhere: LightGBM's text files and XGBoost's JSON, into the artefact that a proxy loads.
//!
//! | file | is |
//! | --- | --- |
//! | `lightgbm`, `xgboost` | the two formats |
//! | `names` | the model's features, found in the schema |
//! | `pre_order` | trees as arrays of children, into the order that a model keeps |
//! | [`calibrated`] | conformal shifts and a judgement from a log of this proxy's own |
//! | [`error`] | why a file is refused |
//!
//! What is imported forecasts what the library predicts, bit by bit after rounding to f32, and the label must be what it is here:
//! the natural log of milliseconds. Everything that a foreign model has not is neutral: no shift, one group of tenants, no bandit,
//! a small constant failure rate.
//!
//! A file is read whole, of at most [`MAX_FILE_BYTES`], and its trees and nodes are counted while they are read, so a hostile
//! one costs a bounded amount of memory. Rejected: calling the libraries (a C++ toolchain for what is a hundred lines of reading),
//! ONNX or PMML as the one format in between (their converters compute in f32 where LightGBM does not, and lose its rules for
//! missing values).

pub mod calibrated;
pub mod error;
mod lightgbm;
mod names;
mod pre_order;
mod xgboost;

pub use calibrated::{Calibrated, calibrate};
pub use error::ImportError;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tailcast_features::{FEATURE_COUNT, Row};
use tailcast_model::ensemble::{BinaryTree, Ensemble, EnsembleParts, MAX_NODES, Trainer};
use tailcast_model::forest::MAX_TREES;
use tailcast_model::{MAX_QUANTILES, ModelParts};

/// Largest file that is read: a million nodes, the most that a model may have, are some 90 MB of JSON and less as text.
pub const MAX_FILE_BYTES: u64 = 128 << 20;

/// Bytes of all names of features together.
const MAX_NAMES_BYTES: usize = 1 << 16;

/// Canary rows of an imported model: a few dozen reach most splits.
const CANARY_ROWS: usize = 32;

/// A file and the quantile that it forecasts, where the file itself does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The file.
    pub path: PathBuf,
    /// Level inside (0, 1).
    pub level: Option<f32>,
}

/// `PATH` or `PATH=LEVEL`.
impl FromStr for ModelFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            // A path may hold a `=`, but hardly one with a number behind it.
            Some((path, level)) if level.parse::<f32>().is_ok() => {
                Ok(Self { path: path.into(), level: Some(parsed_level(level)?) })
            }
            _ => Ok(Self { path: text.into(), level: None }),
        }
    }
}

/// What was imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// A model to be: everything but the trees neutral.
    pub parts: ModelParts,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A foreign model of one quantile or of several.
#[derive(Debug, Clone, PartialEq)]
struct Foreign {
    trainer: Trainer,
    /// Level of each quantile, where the file says.
    levels: Vec<Option<f32>>,
    base: Vec<f64>,
    trees: Vec<Vec<BinaryTree>>,
    /// Gain of each feature of the schema.
    gains: Vec<f64>,
    notes: Vec<String>,
}

/// Trees and nodes read so far.
#[derive(Debug, Default)]
struct Limits {
    trees: usize,
    nodes: usize,
}

impl Limits {
    fn count(&mut self, tree: &BinaryTree) -> Result<(), ImportError> {
        self.trees += 1;
        self.nodes += tree.nodes.len();
        let found = match (self.trees > MAX_TREES, self.nodes > MAX_NODES) {
            (true, _) => format!("a model of more than {MAX_TREES} trees"),
            (_, true) => format!("a model of more than {MAX_NODES} nodes"),
            _ => return Ok(()),
        };
        let right = "train fewer rounds or smaller trees: a decision asks each of them";
        Err(ImportError::Unsupported { found, right })
    }
}

/// Reads files of one library into the parts of one model.
///
/// # Errors
/// A file cannot be read or served, or the quantiles do not make a model.
pub fn import(trainer: Trainer, files: &[ModelFile]) -> Result<Imported, ImportError> {
    let mut all = Vec::new();
    for file in files {
        let in_file = |source| ImportError::File { path: file.path.clone(), source: Box::new(source) };
        let bytes = bytes(&file.path)?;
        let mut foreign = parse(trainer, &bytes).map_err(in_file)?;
        foreign.levels = resolved(&foreign.levels, file.level).map_err(in_file)?;
        all.push(foreign);
    }
    assemble(trainer, all)
}

fn bytes(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(ImportError::TooLarge { path: path.to_owned(), limit_bytes: MAX_FILE_BYTES }),
        false => Ok(bytes),
    }
}

fn parse(trainer: Trainer, bytes: &[u8]) -> Result<Foreign, ImportError> {
    match trainer {
        Trainer::XgBoost => xgboost::read(bytes),
        Trainer::LightGbm => {
            let text = std::str::from_utf8(bytes).map_err(|error| ImportError::Foreign {
                format: "LightGBM text model",
                problem: format!("byte {} is no text", error.valid_up_to()),
            })?;
            lightgbm::read(text)
        }
    }
}

/// A quantile level inside (0, 1).
fn parsed_level(text: &str) -> Result<f32, String> {
    let level = text.trim().parse::<f32>().ok().filter(|level| *level > 0.0 && *level < 1.0);
    level.ok_or_else(|| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        format!("the quantile level \"{shown}\" is no number between 0 and 1")
    })
}

/// The levels that the file says, or the one that was given.
fn resolved(of_file: &[Option<f32>], given: Option<f32>) -> Result<Vec<Option<f32>>, ImportError> {
    let problem = match (of_file, given) {
        ([None], None) => {
            "the model does not say which quantile it forecasts: give it as PATH=LEVEL, as in p99.txt=0.99".to_owned()
        }
        ([None], Some(given)) => return Ok(vec![Some(given)]),
        ([Some(level)], Some(given)) if *level != given => {
            format!("the model was trained for {level}, not for {given}: give the path alone")
        }
        ([_], _) | (_, None) => return Ok(of_file.to_vec()),
        (several, Some(_)) => format!("the model has {} quantiles and says which: give the path alone", several.len()),
    };
    Err(ImportError::Levels(problem))
}

/// One model of all quantiles, in rising order of their levels.
fn assemble(trainer: Trainer, all: Vec<Foreign>) -> Result<Imported, ImportError> {
    let mut quantiles = Vec::new();
    let mut gains = vec![0.0f64; FEATURE_COUNT];
    let mut notes = Vec::new();
    for foreign in all {
        for ((level, base), trees) in foreign.levels.into_iter().zip(foreign.base).zip(foreign.trees) {
            quantiles.push((level.unwrap_or(f32::NAN), base, trees));
        }
        gains.iter_mut().zip(foreign.gains).for_each(|(sum, gain)| *sum += gain);
        notes.extend(foreign.notes);
    }
    quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let levels: Vec<f32> = quantiles.iter().map(|(level, ..)| *level).collect();
    if !(1..=MAX_QUANTILES).contains(&levels.len()) {
        let problem = format!("there are {}, allowed are 1 to {MAX_QUANTILES}", levels.len());
        return Err(ImportError::Levels(problem));
    }
    if let Some(pair) = levels.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ImportError::Levels(format!("{} is there twice", pair[0])));
    }
    let (base, trees) = quantiles.into_iter().map(|(_, base, trees)| (base, trees)).unzip();
    let ensemble = Ensemble::new(EnsembleParts { trainer, base, trees })?;
    let canary_rows = canary_rows(&ensemble);
    let mut parts = ModelParts::imported(levels, ensemble)?;
    parts.importance = gains.into_iter().map(|gain| gain as f32).collect();
    parts.canary_rows = canary_rows;
    Ok(Imported { parts, notes })
}

/// Adds a split's gain to its feature's; only reports read it, so what is no gain is passed over.
fn gain(gains: &mut [f64], feature: Option<&u16>, gain: f64) {
    // Far below what a sum of f32 could not hold.
    let usable = gain.is_finite() && (0.0..1e30).contains(&gain);
    if let (Some(sum), true) = (feature.and_then(|feature| gains.get_mut(usize::from(*feature))), usable) {
        *sum += gain;
    }
}

/// Rows at the thresholds, where a comparison that rounds otherwise would show; the first lacks everything.
fn canary_rows(ensemble: &Ensemble) -> Vec<Row> {
    let mut thresholds: Vec<Vec<f32>> = vec![Vec::new(); FEATURE_COUNT];
    for split in ensemble.splits().filter(|split| split.threshold.is_finite()) {
        thresholds[usize::from(split.feature)].push(split.threshold);
    }
    for of_feature in &mut thresholds {
        of_feature.sort_by(f32::total_cmp);
        of_feature.dedup();
    }
    let row = |at: usize| {
        std::array::from_fn(|feature| match &thresholds[feature] {
            of_feature if at == 0 || of_feature.is_empty() => f32::NAN,
            // Steps without a common divisor, so that the features do not rise together.
            of_feature => of_feature[(at * 7919 + feature * 104_729) % of_feature.len()],
        })
    };
    (0..CANARY_ROWS).map(row).collect()
}

#[cfg(test)]
mod tests;
