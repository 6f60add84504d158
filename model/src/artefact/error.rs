//! Why an artefact is refused: one enum for the crate, each message naming what, where and what would be right.
//!
//! Every message is written for an operator who reads it in the log of a proxy that goes on with the model before.
//! Rejected: passing through what the container's library says (it names offsets, not causes).

use std::path::PathBuf;

/// Why a model file, or the parts of a new model, are refused.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The file system said no.
    #[error("cannot {action} the model file {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than any model that this program writes.
    #[error("the model file has {found_bytes} bytes, at most {limit_bytes} are allowed")]
    TooLarge {
        /// Size found.
        found_bytes: u64,
        /// Largest size allowed.
        limit_bytes: u64,
    },
    /// Not a safetensors file, or not one of Tailcast's.
    #[error("this is no tailcast model: {0}")]
    NotAnArtefact(String),
    /// The file ends early.
    #[error("the model file is truncated: {found_bytes} bytes of {expected_bytes}")]
    Truncated {
        /// Size found.
        found_bytes: usize,
        /// Size that the header promises.
        expected_bytes: usize,
    },
    /// Bytes were changed after writing.
    #[error("the model file is damaged: {0}")]
    Damaged(String),
    /// The file is of a format that this version does not know.
    #[error(
        "model format version {found} is unknown, this program reads versions 1 to {known}: use a matching release"
    )]
    UnknownVersion {
        /// Version in the file.
        found: u32,
        /// Newest version that this program reads.
        known: u32,
    },
    /// The model was trained on other features than this program computes.
    #[error(
        "the model was trained for feature schema {found}, this program has {expected}: retrain the model with this \
         version"
    )]
    WrongSchema {
        /// Hash in the file.
        found: String,
        /// Hash of this program.
        expected: String,
    },
    /// The metadata cannot be read, or says something impossible.
    #[error("model metadata: {0}")]
    Metadata(String),
    /// A tensor is not there, or one too many is.
    #[error("model tensor {tensor} is {problem}")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor is of the wrong size.
    #[error("{tensor} has {found} values, {expected} are needed for its shape {shape:?}")]
    WrongShape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Values found.
        found: usize,
        /// Values needed.
        expected: usize,
        /// The shape they are for.
        shape: Vec<usize>,
    },
    /// A NaN or an infinity where a number is needed.
    #[error("{tensor} has {value} at {at}: only finite numbers are allowed")]
    NotFinite {
        /// Name of the tensor.
        tensor: &'static str,
        /// Position.
        at: usize,
        /// What is there.
        value: f64,
    },
    /// A negative number where none can be.
    #[error("{tensor} has {value} at {at}: it must not be negative")]
    Negative {
        /// Name of the tensor.
        tensor: &'static str,
        /// Position.
        at: usize,
        /// What is there.
        value: f32,
    },
    /// Zero or less where a divisor is needed.
    #[error("{tensor} has the scale {value} at {at}: it must be above 0")]
    NotPositive {
        /// Name of the tensor.
        tensor: &'static str,
        /// Position.
        at: usize,
        /// What is there.
        value: f32,
    },
    /// Values that are searched by bisection are not sorted.
    #[error("{tensor} is not strictly ascending at {at}")]
    NotAscending {
        /// Name of the tensor.
        tensor: &'static str,
        /// Position of the value that is not above the one before it.
        at: usize,
    },
    /// A number outside of its range.
    #[error("{what} is {found} at {at}, allowed are {min} to {max}")]
    OutOfRange {
        /// What it counts.
        what: &'static str,
        /// Position.
        at: usize,
        /// What is there.
        found: usize,
        /// Smallest allowed.
        min: usize,
        /// Largest allowed.
        max: usize,
    },
    /// Quantile levels are not ascending inside (0, 1).
    #[error("the quantile levels {found:?} are not 1 to {max} ascending numbers between 0 and 1")]
    Quantiles {
        /// What was found.
        found: Vec<f32>,
        /// How many there may be.
        max: usize,
    },
    /// This build forecasts something else than the build that trained the model.
    #[error(
        "canary row {row}, tenant group {group}: forecast {found} where {expected} was recorded at training: the \
         model and this program do not compute the same"
    )]
    Canary {
        /// Number of the row.
        row: usize,
        /// Tenant group.
        group: usize,
        /// What this program forecasts.
        found: f32,
        /// What the file says.
        expected: f32,
    },
}

impl ArtefactError {
    pub(crate) fn out_of_range(what: &'static str, at: usize, found: usize, min: usize, max: usize) -> Self {
        Self::OutOfRange { what, at, found, min, max }
    }

    /// Refuses an index above `max`.
    pub(crate) fn check_index(what: &'static str, at: usize, found: usize, max: usize) -> Result<(), Self> {
        if found > max { Err(Self::out_of_range(what, at, found, 0, max)) } else { Ok(()) }
    }

    /// Refuses a tensor that does not fill its shape.
    pub(crate) fn check_len(tensor: &'static str, found: usize, shape: Vec<usize>) -> Result<(), Self> {
        let expected = shape.iter().fold(1usize, |product, side| product.saturating_mul(*side));
        if found == expected { Ok(()) } else { Err(Self::WrongShape { tensor, found, expected, shape }) }
    }

    /// Refuses NaN and infinities.
    pub(crate) fn check_finite(tensor: &'static str, values: &[f32]) -> Result<(), Self> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Self::NotFinite { tensor, at, value: f64::from(values[at]) }),
            None => Ok(()),
        }
    }

    /// Refuses negative numbers.
    pub(crate) fn check_not_negative(tensor: &'static str, values: &[f32]) -> Result<(), Self> {
        match values.iter().position(|value| *value < 0.0) {
            Some(at) => Err(Self::Negative { tensor, at, value: values[at] }),
            None => Ok(()),
        }
    }

    /// Refuses values that are not strictly ascending; a NaN is not above anything.
    pub(crate) fn check_ascending<T: PartialOrd>(
        tensor: &'static str,
        values: impl Iterator<Item = T>,
    ) -> Result<(), Self> {
        let mut before: Option<T> = None;
        for (at, value) in values.enumerate() {
            if before.is_some_and(|before| before.partial_cmp(&value) != Some(std::cmp::Ordering::Less)) {
                return Err(Self::NotAscending { tensor, at });
            }
            before = Some(value);
        }
        Ok(())
    }
}
