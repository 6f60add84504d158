//! What can stop the training of trees: parameters out of range, rows that do not fit together.
//!
//! Every message has the value that was found and the range that is right.

use tailcast_model::ArtefactError;

/// Why trees could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum TreesError {
    /// A parameter is out of its range.
    #[error("tree parameter {name} = {value} is out of range: {allowed}")]
    Param {
        /// Name of the parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// Columns, labels, weights and flags do not have the same length.
    #[error("{set} set: {column} has {found} rows, the labels have {expected}")]
    Length {
        /// Which set.
        set: &'static str,
        /// What is of another length.
        column: String,
        /// Its length.
        found: usize,
        /// The number of labels.
        expected: usize,
    },
    /// The number of columns is not that of the monotone flags.
    #[error("{set} set: {found} feature columns, {expected} are needed, one for each monotone flag")]
    Columns {
        /// Which set.
        set: &'static str,
        /// Columns found.
        found: usize,
        /// Columns needed.
        expected: usize,
    },
    /// A label or a weight that nothing can be learned from.
    #[error("{set} set: row {row} has the {what} {value}, it must be {allowed}")]
    Row {
        /// Which set.
        set: &'static str,
        /// Number of the row.
        row: usize,
        /// Label or weight.
        what: &'static str,
        /// What was found.
        value: f32,
        /// What would be right.
        allowed: &'static str,
    },
    /// No row carries weight.
    #[error("{set} set: none of {rows} rows has a weight above 0")]
    NoWeight {
        /// Which set.
        set: &'static str,
        /// Rows.
        rows: usize,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} training threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// The trees do not make a forest.
    #[error("the fitted trees are refused as a forest: {0}")]
    Forest(#[from] ArtefactError),
}
