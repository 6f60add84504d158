//! Why a model of another library is not taken.
//!
//! Each message says where in the file, what is there, and what would be right: the reader has the training script at hand and
//! not this code.

use std::path::PathBuf;
use tailcast_model::ArtefactError;

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than any model that could serve.
    #[error("{path} has more than {limit_bytes} bytes: no model of that size could serve")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size that is read.
        limit_bytes: u64,
    },
    /// What is wrong with one of several files.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ImportError>,
    },
    /// The file is something else.
    #[error("this is no {format}: {problem}")]
    Foreign {
        /// What was expected.
        format: &'static str,
        /// What is there, and what would be right.
        problem: String,
    },
    /// A line of a text model.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A tree.
    #[error("tree {tree}: {problem}")]
    Tree {
        /// Its number, from 0.
        tree: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A model of a kind that cannot be served.
    #[error("{found} cannot be imported: {right}")]
    Unsupported {
        /// What the model is.
        found: String,
        /// What would be right.
        right: &'static str,
    },
    /// The features are not those of the schema.
    #[error(
        "the model's {found} features are not the {} of the schema: {problem}; name them at training as in the log, in any \
         order ({how})",
        tailcast_features::FEATURE_COUNT
    )]
    Features {
        /// Features of the model.
        found: usize,
        /// Which are missing and which unknown.
        problem: String,
        /// How names are given.
        how: &'static str,
    },
    /// The quantile levels do not make a model.
    #[error("quantile levels: {0}")]
    Levels(String),
    /// The trees do not make a valid model.
    #[error("the model would not be valid: {0}")]
    Model(#[from] ArtefactError),
}
