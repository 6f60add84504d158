//! The forecasts of one decision, quantile by quantile, and the scratch space in which they are made.

use crate::decision::NO_SUMS;
use crate::forecast::{Forecast, Level, MAX_QUANTILES};
use crate::kernel::{BLOCK, Column, Sums};

/// Quantiles of the candidates of one decision, natural log of milliseconds. A buffer that is used again: it only allocates to
/// grow.
#[derive(Debug, Clone)]
pub struct DecisionForecasts {
    count: usize,
    depth: usize,
    /// `[quantile][candidate]`, as many candidates as fill whole blocks.
    pub(super) now: [Vec<f32>; MAX_QUANTILES],
    /// The same with one request more in flight.
    pub(super) busier: [Vec<f32>; MAX_QUANTILES],
    pub(super) columns: Vec<Column>,
    pub(super) busier_bins: Column,
    pub(super) rest: Sums,
    pub(super) loaded: Sums,
    pub(super) loaded_busier: Sums,
}

impl Default for DecisionForecasts {
    fn default() -> Self {
        Self {
            count: 0,
            depth: 0,
            now: Default::default(),
            busier: Default::default(),
            columns: Vec::new(),
            busier_bins: [0; BLOCK],
            rest: NO_SUMS,
            loaded: NO_SUMS,
            loaded_busier: NO_SUMS,
        }
    }
}

impl DecisionForecasts {
    /// Candidates.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True where there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The forecast of a candidate; without quantiles where there is no such candidate.
    pub fn now(&self, candidate: usize) -> Forecast {
        self.read(&self.now, candidate)
    }

    /// The forecast of a candidate with one request more in flight.
    pub fn busier(&self, candidate: usize) -> Forecast {
        self.read(&self.busier, candidate)
    }

    /// Writes a level of all candidates' forecasts; NaN where it is beyond what was forecast.
    pub fn level_now(&self, level: Level, out: &mut Vec<f32>) {
        self.level(&self.now, level, out);
    }

    /// The same with one request more in flight.
    pub fn level_busier(&self, level: Level, out: &mut Vec<f32>) {
        self.level(&self.busier, level, out);
    }

    fn level(&self, quantiles: &[Vec<f32>; MAX_QUANTILES], level: Level, out: &mut Vec<f32>) {
        out.clear();
        match level.pair(quantiles, self.depth) {
            None => out.resize(self.count, f32::NAN),
            Some((below, above, share)) => {
                let (below, above) = (&below[..self.count], &above[..self.count]);
                out.extend(below.iter().zip(above).map(|(below, above)| Level::between(*below, *above, share)));
            }
        }
    }

    fn read(&self, quantiles: &[Vec<f32>; MAX_QUANTILES], candidate: usize) -> Forecast {
        let mut forecast = Forecast::default();
        if candidate < self.count {
            forecast.n = self.depth;
            for (value, quantile) in forecast.ln_ms.iter_mut().zip(quantiles).take(self.depth) {
                *value = quantile[candidate];
            }
        }
        forecast
    }

    /// Replaces the forecast of a candidate.
    pub(crate) fn set(&mut self, candidate: usize, now: &Forecast, busier: &Forecast) {
        for quantile in 0..self.depth {
            self.now[quantile][candidate] = now.ln_ms[quantile];
            self.busier[quantile][candidate] = busier.ln_ms[quantile];
        }
    }

    /// Makes room for the lowest `depth` quantiles of `count` candidates, binned in so many columns.
    pub(crate) fn reset(&mut self, count: usize, depth: usize, columns: usize) {
        (self.count, self.depth) = (count, depth);
        let places = count.next_multiple_of(BLOCK);
        for quantile in self.now.iter_mut().chain(&mut self.busier) {
            if quantile.len() < places {
                quantile.resize(places, 0.0);
            }
        }
        // At least one, which trees without questions point at.
        self.columns.resize(columns.max(1), [0; BLOCK]);
    }
}
