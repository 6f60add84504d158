//! Whether the champion still fits the newest rows: three detectors, each for a drift that the others do not see.
//!
//! - **residual**: Page-Hinkley (Page 1954) on the standardised residual of the median, both ways: latency that the
//!   features do not explain;
//! - **inputs**: the population stability index of each feature that matters, against the rows that the champion was
//!   set up with: traffic that it has not seen, whatever it forecasts there;
//! - **coverage**: the champion's quantiles out of the gate's bounds: a tail that the median does not show.
//!
//! Rejected: one test on the loss, which drifts with the noise of the traffic and not only with the model.

use crate::dataset::Dataset;
use crate::gate::{self, GateRules};
use tailcast_features::FEATURES;
use tailcast_model::Model;

/// Rows that a verdict needs; fewer are looked at together with those that come next.
const MIN_ROWS: usize = 500;

/// Residuals may be off by this many standard deviations without being a change.
const TOLERATED: f64 = 0.1;

/// Sum of standardised residuals beyond the tolerated that is a change: half a standard deviation for two hundred rows.
/// Without a change the sum gets there once in e^16 excursions.
const ALARM: f64 = 80.0;

/// Residuals beyond this many standard deviations count as this many: the tail is the other detectors' matter.
const WINSORISED: f64 = 4.0;

/// Stability index of a feature that is another population; the usual reading of the index.
const PSI_ALARM: f64 = 0.25;

/// Share of the trees' gain from which on a feature matters.
const MATTERS: f32 = 0.05;

/// Parts of a feature's range that are compared.
const PARTS: usize = 10;

/// A drift, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift(pub String);

/// Watches one champion.
#[derive(Debug)]
pub struct DriftWatch {
    model: Model,
    residual: PageHinkley,
    inputs: Vec<Population>,
    waiting: Option<Dataset>,
}

impl DriftWatch {
    /// Watches `model`, which knows traffic like `reference`: rows in order of arrival that it was judged on.
    pub fn new(model: Model, reference: &Dataset) -> Self {
        let forecasts = gate::forecasts(&model, reference, &[0.5]);
        let residuals: Vec<f64> = residuals(reference, forecasts.column(0));
        let important = |(feature, (gain, total)): (usize, (&f32, f32))| (*gain >= MATTERS * total).then_some(feature);
        let total: f32 = model.parts().importance.iter().sum();
        let gains = model.parts().importance.iter().map(|gain| (gain, total)).enumerate();
        let inputs = gains.filter_map(important).map(|feature| Population::new(feature, reference)).collect();
        Self { residual: PageHinkley::new(&residuals), inputs, waiting: None, model }
    }

    /// The model that is watched.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Looks at rows with a whole latency, in order of arrival, each once.
    pub fn look(&mut self, rows: &Dataset) -> Option<Drift> {
        let rows = match self.waiting.take() {
            Some(waiting) => waiting.followed_by(rows),
            None => rows.clone(),
        };
        if rows.len() < MIN_ROWS {
            self.waiting = Some(rows);
            return None;
        }
        let forecasts = gate::forecasts(&self.model, &rows, self.model.quantiles());
        let median = gate::forecasts(&self.model, &rows, &[0.5]);
        let mut changed = false;
        for residual in residuals(&rows, median.column(0)) {
            // All rows are counted, also after the alarm.
            changed |= self.residual.add(residual);
        }
        if changed {
            return Some(Drift("the residual of the median has moved (Page-Hinkley)".to_owned()));
        }
        let worst = self.inputs.iter().map(|input| (input.stability(&rows), input.feature));
        if let Some((psi, feature)) = worst.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(psi, _)| *psi > PSI_ALARM) {
            let name = FEATURES[feature].name;
            return Some(Drift(format!("{name} is another population (stability index {psi:.2}, above {PSI_ALARM})")));
        }
        let reasons = gate::coverage_reasons(&forecasts, rows.labels(), &GateRules::default());
        reasons.into_iter().next().map(Drift)
    }
}

fn residuals(rows: &Dataset, median: &[f32]) -> Vec<f64> {
    rows.labels().iter().zip(median).map(|(label, median)| f64::from(*label) - f64::from(*median)).collect()
}

/// Cumulative sums of how far residuals lie above and below their mean.
#[derive(Debug)]
struct PageHinkley {
    mean: f64,
    spread: f64,
    above: f64,
    below: f64,
}

impl PageHinkley {
    fn new(reference: &[f64]) -> Self {
        let n = reference.len().max(1) as f64;
        let mean = reference.iter().sum::<f64>() / n;
        let spread = (reference.iter().map(|residual| (residual - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self { mean, spread: spread.max(1e-6), above: 0.0, below: 0.0 }
    }

    /// True at the row that is a change; the sums then begin again.
    fn add(&mut self, residual: f64) -> bool {
        let off = ((residual - self.mean) / self.spread).clamp(-WINSORISED, WINSORISED);
        self.above = (self.above + off - TOLERATED).max(0.0);
        self.below = (self.below - off - TOLERATED).max(0.0);
        let alarm = self.above.max(self.below) > ALARM;
        if alarm {
            (self.above, self.below) = (0.0, 0.0);
        }
        alarm
    }
}

/// How the values of a feature were spread: shares of at most ten parts of its range, and of missing values.
#[derive(Debug)]
struct Population {
    feature: usize,
    borders: Vec<f32>,
    shares: Vec<f64>,
}

impl Population {
    fn new(feature: usize, rows: &Dataset) -> Self {
        let column = rows.feature(feature);
        let mut values: Vec<f32> = column.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let mut borders: Vec<f32> =
            (1..PARTS).filter_map(|part| values.get(part * values.len() / PARTS).copied()).collect();
        borders.dedup();
        let mut population = Self { feature, borders, shares: Vec::new() };
        population.shares = population.shares_of(column);
        population
    }

    fn shares_of(&self, column: &[f32]) -> Vec<f64> {
        let mut counts = vec![0.0; self.borders.len() + 2];
        for value in column {
            let part =
                if value.is_nan() { self.borders.len() + 1 } else { self.borders.partition_point(|b| b <= value) };
            counts[part] += 1.0;
        }
        // Half a row more in each part: an empty one would be infinitely far from any other.
        let total = column.len() as f64 + 0.5 * counts.len() as f64;
        counts.iter().map(|count| (count + 0.5) / total).collect()
    }

    /// `Σ (p − q)·ln(p/q)` over the parts.
    fn stability(&self, rows: &Dataset) -> f64 {
        let now = self.shares_of(rows.feature(self.feature));
        now.iter().zip(&self.shares).map(|(now, then)| (now - then) * (now / then).ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{learnable_log, stream_bytes};
    use crate::load::load_segments;
    use crate::train::{Source, TrainOptions, Trained, train};
    use std::sync::OnceLock;

    fn rows(seed: u64) -> Dataset {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[learnable_log(2_000, seed)])).unwrap();
        let (frame, _) = load_segments(directory.path()).unwrap();
        crate::dataset::dataset_from_log(frame).unwrap().evidence()
    }

    fn trained() -> &'static Trained {
        static TRAINED: OnceLock<Trained> = OnceLock::new();
        TRAINED.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[learnable_log(8_000, 1)])).unwrap();
            let options = TrainOptions { rounds: 50, ..TrainOptions::default() };
            train(Source::Log(directory.path().to_owned()), &options, &mut |_| {}).unwrap()
        })
    }

    fn watch() -> DriftWatch {
        DriftWatch::new(trained().model.clone(), &trained().newest)
    }

    #[test]
    fn traffic_like_before_is_no_drift() {
        let mut watch = watch();
        for seed in 100..110 {
            assert_eq!(watch.look(&rows(seed)), None, "seed {seed}");
        }
    }

    #[test]
    fn latency_that_rises_or_falls_everywhere_is_seen_by_the_residual() {
        for shift in [0.3f32, -0.3] {
            let mut slow = rows(200);
            slow.label.iter_mut().for_each(|label| *label += shift);
            let Drift(how) = watch().look(&slow).unwrap();
            assert!(how.contains("Page-Hinkley"), "{how}");
        }
    }

    #[test]
    fn a_feature_of_another_population_is_named() {
        let mut other = rows(201);
        let column = tailcast_features::index::ROUTE_COST;
        other.features[column].iter_mut().for_each(|value| *value = 3.5);
        let watch = watch();
        let moved = watch.inputs.iter().find(|input| input.feature == column).unwrap();
        assert!(moved.stability(&other) > 1.0 && moved.stability(&rows(202)) < 0.05);
    }

    #[test]
    fn a_heavier_tail_is_seen_by_the_coverage() {
        let mut heavy = rows(203);
        for (number, label) in heavy.label.iter_mut().enumerate() {
            *label += if number % 12 == 0 { 3.0 } else { 0.0 };
        }
        let mut watch = watch();
        watch.residual.above = f64::NEG_INFINITY;
        watch.residual.below = f64::NEG_INFINITY;
        let Drift(how) = watch.look(&heavy).unwrap();
        assert!(how.contains("points off") || how.contains("Page-Hinkley"), "{how}");
    }

    #[test]
    fn few_rows_wait_for_the_next() {
        let mut watch = watch();
        let mut slow = rows(204);
        slow.label.iter_mut().for_each(|label| *label += 2.0);
        let (one, two) = (slow.take(&(0..300).collect::<Vec<_>>()), slow.take(&(300..600).collect::<Vec<_>>()));
        assert_eq!(watch.look(&one), None);
        assert!(watch.look(&two).is_some());
    }
}
