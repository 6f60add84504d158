//! The forecast of one candidate: a few quantiles of log-latency, held by value.
//!
//! A fixed array, so that a buffer of forecasts for all candidates is one allocation made once. Rejected:
//! a `Vec` for each candidate (an allocation a candidate, a request).

/// Quantiles a model may have: eight f32 are one 256-bit register, and three are in use.
pub const MAX_QUANTILES: usize = 8;

/// Quantiles of the latency of one request on one endpoint, ascending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Natural log of milliseconds; entries from `n` on are 0.
    pub ln_ms: [f32; MAX_QUANTILES],
    /// Quantiles that the model has.
    pub n: usize,
}

impl Default for Forecast {
    fn default() -> Self {
        Self { ln_ms: [0.0; MAX_QUANTILES], n: 0 }
    }
}

impl Forecast {
    /// The quantiles, natural log of milliseconds.
    pub fn ln_ms(&self) -> &[f32] {
        self.ln_ms.get(..self.n).unwrap_or(&self.ln_ms)
    }

    /// Lifts each quantile to the one below it.
    pub(crate) fn uncross(&mut self) {
        for i in 1..self.n.min(MAX_QUANTILES) {
            self.ln_ms[i] = self.ln_ms[i].max(self.ln_ms[i - 1]);
        }
    }
}

/// Pinball loss of one forecast: `q·(y − f)` above it, `(1 − q)·(f − y)` below (Koenker & Bassett 1978). The trainer judges
/// a model by it, and the proxy the same model in service.
pub fn pinball(level: f32, label: f32, forecast: f32) -> f64 {
    let error = f64::from(label) - f64::from(forecast);
    let level = f64::from(level);
    if error >= 0.0 { level * error } else { (level - 1.0) * error }
}

/// Levels on the scale of an exponential tail, `−ln(1 − level)`: there the quantiles of a latency are close to a
/// straight line, so the middle between p95 and p99 is not p97 but p97.8. Rejected: linear in the level, which puts
/// p98 far too high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LevelScale {
    positions: [f32; MAX_QUANTILES],
    n: usize,
}

impl LevelScale {
    pub(crate) fn new(levels: &[f32]) -> Self {
        let mut positions = [0.0; MAX_QUANTILES];
        for (position, level) in positions.iter_mut().zip(levels) {
            *position = position_of(*level);
        }
        Self { positions, n: levels.len().min(MAX_QUANTILES) }
    }

    /// Where `level` lies; outside of the model's levels at the nearest.
    pub(crate) fn resolve(&self, level: f32) -> Level {
        let positions = &self.positions[..self.n];
        let at = position_of(level);
        match positions.iter().position(|position| *position >= at) {
            Some(0) => Level { below: 0, above: 0, share: 0.0 },
            Some(above) if positions[above] == at => Level { below: above, above, share: 0.0 },
            Some(above) => {
                let share = (at - positions[above - 1]) / (positions[above] - positions[above - 1]);
                Level { below: above - 1, above, share }
            }
            None => Level { below: self.n.saturating_sub(1), above: self.n.saturating_sub(1), share: 0.0 },
        }
    }
}

/// Where a quantile level lies among those of a model: found once, read many times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    below: usize,
    above: usize,
    share: f32,
}

impl Level {
    /// The quantile of a forecast, natural log of milliseconds; NaN where the forecast has none.
    #[inline]
    pub fn of(self, forecast: &Forecast) -> f32 {
        if self.above >= forecast.n.min(MAX_QUANTILES) {
            return f32::NAN;
        }
        Self::between(forecast.ln_ms[self.below], forecast.ln_ms[self.above], self.share)
    }

    /// The value at a share of the way. Equal levels are read as they are, to the bit.
    #[inline(always)]
    pub(crate) fn between(below: f32, above: f32, share: f32) -> f32 {
        if share == 0.0 { above } else { below + share * (above - below) }
    }

    /// The two quantiles between which it lies, and the share of the way; `None` where fewer are there.
    pub(crate) fn pair<T>(self, quantiles: &[T; MAX_QUANTILES], depth: usize) -> Option<(&T, &T, f32)> {
        let there = self.above < depth.min(MAX_QUANTILES);
        there.then(|| (&quantiles[self.below], &quantiles[self.above], self.share))
    }

    /// So many quantiles, from the lowest, have to be forecast to read it.
    pub fn depth(self) -> usize {
        self.above + 1
    }
}

fn position_of(level: f32) -> f32 {
    -(1.0 - level).ln()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn forecast(values: &[f32]) -> Forecast {
        let mut forecast = Forecast { n: values.len(), ..Forecast::default() };
        forecast.ln_ms[..values.len()].copy_from_slice(values);
        forecast
    }

    #[test]
    fn a_level_of_the_model_is_returned_as_it_is_and_others_lie_between() {
        let scale = LevelScale::new(&[0.5, 0.95, 0.99]);
        let forecast = forecast(&[1.0, 2.0, 4.0]);
        for (level, value) in [(0.5, 1.0), (0.95, 2.0), (0.99, 4.0), (0.1, 1.0), (0.999, 4.0)] {
            assert_eq!(scale.resolve(level).of(&forecast), value, "at {level}");
        }
        let p98 = scale.resolve(0.98).of(&forecast);
        assert!(p98 > 2.9 && p98 < 3.3, "{p98}");
    }

    #[test]
    fn an_exponential_latency_is_interpolated_exactly() {
        let quantile = |level: f32| -(1.0 - level).ln();
        let scale = LevelScale::new(&[0.5, 0.99]);
        let forecast = forecast(&[quantile(0.5), quantile(0.99)]);
        for level in [0.6, 0.8, 0.9, 0.97] {
            assert!((scale.resolve(level).of(&forecast) - quantile(level)).abs() < 1e-5);
        }
    }

    #[test]
    fn a_forecast_without_quantiles_has_no_level_and_a_strange_level_no_panic() {
        let scale = LevelScale::new(&[0.5]);
        assert!(scale.resolve(0.5).of(&Forecast::default()).is_nan());
        for level in [f32::NAN, f32::INFINITY, -1.0, 1.0, 2.0] {
            assert_eq!(scale.resolve(level).of(&forecast(&[3.0])), 3.0);
        }
    }

    #[test]
    fn crossing_quantiles_are_lifted_to_the_ones_below() {
        let mut crossing = forecast(&[2.0, 1.0, 3.0, 2.5]);
        crossing.uncross();
        assert_eq!(crossing.ln_ms(), [2.0, 2.0, 3.0, 3.0]);
    }
}
