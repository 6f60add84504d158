//! Laws of work: how long a request takes on one core of the reference class with nobody beside it.

use crate::chance::{exponential, normal};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

/// A law of work; all times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub enum WorkLaw {
    /// Always the same.
    Constant {
        /// The work.
        mean_ms: f64,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean_ms: f64,
    },
    /// max(0, Normal(mean, sd)), as in Prequal's testbed; the mean of what is cut off at zero is a little higher.
    Normal {
        /// Mean before the cut.
        mean_ms: f64,
        /// Standard deviation before the cut.
        sd_ms: f64,
    },
    /// Log-normal.
    LogNormal {
        /// Mean.
        mean_ms: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

impl WorkLaw {
    /// Mean work in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        match *self {
            Self::Constant { mean_ms } | Self::Exponential { mean_ms } | Self::LogNormal { mean_ms, .. } => mean_ms,
            Self::Normal { mean_ms, sd_ms } => {
                // E[max(0, X)] = mean·Φ(a) + sd·φ(a), a = mean / sd.
                let a = mean_ms / sd_ms;
                let density = (-0.5 * a * a).exp() / std::f64::consts::TAU.sqrt();
                mean_ms * normal_cdf(a) + sd_ms * density
            }
        }
    }

    /// Draws a work, milliseconds.
    pub(crate) fn draw(&self, rng: &mut Pcg64Mcg) -> f64 {
        match *self {
            Self::Constant { mean_ms } => mean_ms,
            Self::Exponential { mean_ms } => mean_ms * exponential(rng),
            Self::Normal { mean_ms, sd_ms } => (mean_ms + sd_ms * normal(rng)).max(0.0),
            Self::LogNormal { mean_ms, sigma } => mean_ms * (sigma * normal(rng) - 0.5 * sigma * sigma).exp(),
        }
    }

    /// The parameter that is not a positive finite number, if there is one.
    pub(crate) fn wrong(&self) -> Option<(&'static str, f64)> {
        let bad = |value: f64| !(value.is_finite() && value > 0.0);
        let pairs = match *self {
            Self::Constant { mean_ms } | Self::Exponential { mean_ms } => [("mean_ms", mean_ms), ("mean_ms", mean_ms)],
            Self::Normal { mean_ms, sd_ms } => [("mean_ms", mean_ms), ("sd_ms", sd_ms)],
            Self::LogNormal { mean_ms, sigma } => [("mean_ms", mean_ms), ("sigma", sigma)],
        };
        pairs.into_iter().find(|(_, value)| bad(*value))
    }
}

/// Φ by the approximation 26.2.17 of Abramowitz & Stegun, to 1e-7 for positive arguments.
fn normal_cdf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let poly =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    1.0 - (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * poly
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::stream;

    #[test]
    fn the_stated_mean_is_the_mean_of_the_draws() {
        for law in [
            WorkLaw::Constant { mean_ms: 3.0 },
            WorkLaw::Exponential { mean_ms: 10.0 },
            WorkLaw::Normal { mean_ms: 80.0, sd_ms: 80.0 },
            WorkLaw::LogNormal { mean_ms: 5.0, sigma: 0.8 },
        ] {
            let mut rng = stream(1, 1);
            let mean = (0..200_000).map(|_| law.draw(&mut rng)).sum::<f64>() / 200_000.0;
            assert!((mean / law.mean_ms() - 1.0).abs() < 0.02, "{law:?}: {mean}");
        }
    }
}
