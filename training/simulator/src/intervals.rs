//! A mean over seeds with its 95 % interval (Student's t).

use serde::Serialize;

/// Two-sided 97.5 % points of Student's t for 1 to 30 degrees of freedom; 1.96 beyond.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean over seeds; `half` is half the width of the 95 % interval, `None` with fewer than two seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the 95 % interval.
    pub half: Option<f64>,
}

impl Estimate {
    /// The mean of `values`; NaN without any.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { mean, half: None };
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let t = T.get(n - 2).copied().unwrap_or(1.96);
        Self { mean, half: Some(t * (variance / n as f64).sqrt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]);
        assert_eq!(estimate.mean, 2.0);
        assert!(estimate.half.is_some_and(|half| (half - 4.303 / 3f64.sqrt()).abs() < 1e-9));
        assert_eq!(Estimate::of(&[5.0]).half, None);
    }
}
