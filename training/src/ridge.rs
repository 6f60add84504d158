//! Weighted ridge regression: minimise `Σ wᵢ·(yᵢ − xᵢ·θ)² + λ·‖θ‖²`.
//!
//! Solved by linfa's least squares on the augmented system `[√w·X; √λ·I]·θ = [√w·y; 0]`, whose normal equations
//! are the ridge's. Rejected: inverting `XᵀWX + λI` by hand: it squares the condition number, and a QR of a few
//! dozen columns costs nothing. The ridge also makes a constant or duplicated column harmless.

use crate::error::TrainError;
use linfa::dataset::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

/// The coefficients of the weighted ridge regression of `target` on the rows of `design`.
///
/// # Errors
/// The shapes disagree, `lambda` is not positive, or the solver fails.
pub(crate) fn ridge(
    design: &Array2<f64>,
    target: &[f64],
    weights: &[f64],
    lambda: f64,
) -> Result<Vec<f64>, TrainError> {
    let fit = |reason: String| TrainError::Fit { what: "ridge regression", reason };
    let (rows, columns) = design.dim();
    if target.len() != rows || weights.len() != rows || lambda.is_nan() || lambda <= 0.0 {
        return Err(fit(format!("{rows} rows, {} targets, {} weights, lambda {lambda}", target.len(), weights.len())));
    }
    let mut augmented = Array2::zeros((rows + columns, columns));
    let mut aim = Array1::zeros(rows + columns);
    for (row, values) in design.outer_iter().enumerate() {
        let root = weights[row].max(0.0).sqrt();
        augmented.row_mut(row).assign(&(&values * root));
        aim[row] = target[row] * root;
    }
    for column in 0..columns {
        augmented[[rows + column, column]] = lambda.sqrt();
    }
    let model = LinearRegression::new()
        .with_intercept(false)
        .fit(&Dataset::new(augmented, aim))
        .map_err(|error| fit(error.to_string()))?;
    Ok(model.params().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn one_column_has_the_closed_form() {
        let design = Array2::from_shape_vec((3, 1), vec![1.0, 1.0, 1.0]).unwrap();
        let theta = ridge(&design, &[1.0, 2.0, 6.0], &[1.0, 1.0, 2.0], 4.0).unwrap();
        // Σwy / (Σw + λ) = 15 / 8.
        assert!((theta[0] - 15.0 / 8.0).abs() < 1e-12);
    }

    #[test]
    fn duplicated_and_empty_columns_are_harmless() {
        let design = Array2::from_shape_fn((20, 3), |(row, column)| if column == 2 { 0.0 } else { row as f64 });
        let target: Vec<f64> = (0..20).map(|row| 3.0 * f64::from(row)).collect();
        let theta = ridge(&design, &target, &[1.0; 20], 1e-6).unwrap();
        assert!((theta[0] + theta[1] - 3.0).abs() < 1e-3 && theta[2].abs() < 1e-6, "{theta:?}");
    }

    #[test]
    fn disagreeing_shapes_are_an_error() {
        assert!(ridge(&Array2::zeros((2, 1)), &[1.0], &[1.0], 1.0).is_err());
        assert!(ridge(&Array2::zeros((1, 1)), &[1.0], &[1.0], 0.0).is_err());
    }
}
