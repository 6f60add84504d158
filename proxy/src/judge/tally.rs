//! Pinball loss and coverage of one model over the newest samples.
//!
//! Both fade with the number of samples and not with time, so that a quiet night forgets nothing.

use super::LiveQuantile;
use tailcast_model::pinball;

/// Samples after which one counts 1/e: enough for a 99th percentile (50 are beyond it), few enough to follow an afternoon.
const MEMORY: f64 = 5_000.0;

/// Fading sums of one model.
#[derive(Debug)]
pub(super) struct Tally {
    rows: u64,
    weight: f64,
    /// Loss and coverage of each quantile.
    sums: Vec<(f64, f64)>,
}

impl Tally {
    pub(super) fn new(quantiles: usize) -> Self {
        Self { rows: 0, weight: 0.0, sums: vec![(0.0, 0.0); quantiles] }
    }

    /// A request took `ln_ms` where the quantiles `levels` were forecast, in natural log of milliseconds.
    pub(super) fn add(&mut self, levels: &[f32], forecast: &[f32], ln_ms: f32) {
        let keep = 1.0 - 1.0 / MEMORY;
        self.rows += 1;
        self.weight = self.weight * keep + 1.0;
        for ((loss, covered), (level, forecast)) in self.sums.iter_mut().zip(levels.iter().zip(forecast)) {
            *loss = *loss * keep + pinball(*level, ln_ms, *forecast);
            *covered = *covered * keep + f64::from(u8::from(ln_ms <= *forecast));
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn quantiles(&self, levels: &[f32]) -> Vec<LiveQuantile> {
        let mean = |sum: f64| (self.weight > 0.0).then(|| sum / self.weight);
        let quantile = |(level, (loss, covered)): (&f32, &(f64, f64))| LiveQuantile {
            level: *level,
            pinball: mean(*loss),
            coverage_ratio: mean(*covered),
        };
        levels.iter().zip(&self.sums).map(quantile).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_model_whose_forecasts_go_stale_shows_it_within_its_memory() {
        let mut tally = Tally::new(1);
        assert_eq!(tally.quantiles(&[0.9])[0].coverage_ratio, None);
        for row in 0..20_000 {
            tally.add(&[0.9], &[1.0], if row % 10 == 0 { 2.0 } else { 0.0 });
        }
        let good = tally.quantiles(&[0.9])[0];
        assert!((good.coverage_ratio.unwrap() - 0.9).abs() < 0.001, "{good:?}");
        // 0.9 · 1 above in one of ten, 0.1 · 1 below in the others.
        assert!((good.pinball.unwrap() - 0.18).abs() < 0.001, "{good:?}");
        for _ in 0..10_000 {
            tally.add(&[0.9], &[1.0], 2.0);
        }
        let stale = tally.quantiles(&[0.9])[0];
        assert!(stale.coverage_ratio.unwrap() < 0.15, "{stale:?}");
        assert_eq!(tally.rows(), 30_000);
    }
}
