//! Rows to learn from, as borrowed columns.
//!
//! Column-major like the data set they come from, so nothing is copied before it is binned to bytes. A row of
//! weight 0 is not looked at: its label may be anything.

use super::error::TreesError;

/// Rows: features, what was measured, and how much it counts.
#[derive(Debug, Clone)]
pub struct TrainingSet<'a> {
    /// One slice a feature, `columns[feature][row]`; NaN is missing.
    pub columns: Vec<&'a [f32]>,
    /// Latency, natural log of milliseconds.
    pub labels: &'a [f32],
    /// How much each row counts, 0 or more.
    pub weights: &'a [f32],
    /// True where the label is only a lower bound: the request was cut off (timeout, client abort).
    pub censored: &'a [bool],
}

impl TrainingSet<'_> {
    /// Rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Checks the shape; the numbers of the rows that count, ascending.
    pub(super) fn check(&self, set: &'static str, features: usize) -> Result<Vec<u32>, TreesError> {
        let expected = self.labels.len();
        let length = |column: String, found: usize| TreesError::Length { set, column, found, expected };
        if self.columns.len() != features {
            return Err(TreesError::Columns { set, found: self.columns.len(), expected: features });
        }
        for (feature, column) in self.columns.iter().enumerate() {
            if column.len() != expected {
                return Err(length(format!("feature column {feature}"), column.len()));
            }
        }
        if self.weights.len() != expected {
            return Err(length("the weight column".to_owned(), self.weights.len()));
        }
        if self.censored.len() != expected {
            return Err(length("the censored column".to_owned(), self.censored.len()));
        }
        if let Some(row) = self.weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            let allowed = "a finite number of 0 or more";
            return Err(TreesError::Row { set, row, what: "weight", value: self.weights[row], allowed });
        }
        let rows: Vec<u32> = (0..expected as u32).filter(|row| self.weights[*row as usize] > 0.0).collect();
        if let Some(row) = rows.iter().map(|row| *row as usize).find(|row| !self.labels[*row].is_finite()) {
            let allowed = "a finite number";
            return Err(TreesError::Row { set, row, what: "label", value: self.labels[row], allowed });
        }
        match rows.is_empty() {
            true => Err(TreesError::NoWeight { set, rows: expected }),
            false => Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const COLUMN: &[f32] = &[1.0, f32::NAN, 3.0];

    fn set() -> TrainingSet<'static> {
        TrainingSet {
            columns: vec![COLUMN, COLUMN],
            labels: &[1.0, f32::NAN, 2.0],
            weights: &[1.0, 0.0, 0.5],
            censored: &[false; 3],
        }
    }

    #[test]
    fn rows_without_weight_are_left_out_whatever_their_label() {
        assert_eq!(set().check("training", 2).unwrap(), [0, 2]);
    }

    #[test]
    fn shapes_and_numbers_that_are_wrong_are_refused_with_the_place() {
        let refusal = |change: fn(&mut TrainingSet<'static>)| {
            let mut set = set();
            change(&mut set);
            set.check("training", 2).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(|s| s.columns.truncate(1)),
            "training set: 1 feature columns, 2 are needed, one for each monotone flag"
        );
        assert!(refusal(|s| s.columns[1] = &COLUMN[..2]).contains("feature column 1 has 2 rows, the labels have 3"));
        assert!(refusal(|s| s.weights = &[1.0]).contains("the weight column has 1 rows"));
        assert!(refusal(|s| s.censored = &[true]).contains("the censored column has 1 rows"));
        assert!(refusal(|s| s.weights = &[1.0, -1.0, 1.0]).contains("row 1 has the weight -1"));
        assert!(refusal(|s| s.weights = &[1.0, 1.0, 1.0]).contains("row 1 has the label NaN"));
        assert!(refusal(|s| s.weights = &[0.0; 3]).contains("none of 3 rows"));
    }
}
