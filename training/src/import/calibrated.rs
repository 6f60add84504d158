//! An imported model on this proxy's own log: shifts of its quantiles, and how it does beside the baselines.
//!
//! What another pipeline trained may have been trained on other rows, with other weights or on the mean; a conformal shift
//! gives its quantiles the coverage that they promise here. Slices, shifts, baselines and judgement are those of a training,
//! except that nothing is fitted on the train slice but the baselines. The newest 15 % judge and nothing else.

use crate::baselines;
use crate::calibrate::{Calibration, CoverageRow, coverage_table};
use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::forecast::Forecasts;
use crate::judge::{Judgement, Score};
use crate::split::SplitReport;
use crate::train::{Slices, Source, SourceReports, dataset, metrics};
use serde::Serialize;
use tailcast_model::{Model, ModelParts, calibration};

/// What the log says of an imported model.
#[derive(Debug, Clone, Serialize)]
pub struct Calibrated {
    /// What reading the log found.
    pub reports: SourceReports,
    /// Which rows did what.
    pub split: SplitReport,
    /// The shift of each quantile, natural log units.
    pub offsets: Vec<f32>,
    /// The shifted model beside the baselines.
    pub judgement: Judgement,
    /// Its coverage, overall and by tenths of the forecast.
    pub coverage: Vec<CoverageRow>,
}

/// Learns the shifts of `parts` on the log's calibration slice and puts them in, with the metrics of the newest slice.
///
/// # Errors
/// The log cannot be read or has too few rows, or the shifted model is not valid.
pub fn calibrate(parts: &mut ModelParts, source: Source, seed: u64) -> Result<Calibrated, TrainError> {
    let (rows, reports) = dataset(source)?;
    let slices = Slices::of(&rows, &reports.summary())?;
    let model = Model::new(parts.clone())?;
    let levels = model.quantiles().to_vec();
    let shifts = {
        let raw = forecasts(&model, &slices.calibration);
        Calibration::fit(&raw, slices.calibration.labels(), &vec![0; raw.len()], 1)
    };
    let offsets: Vec<f32> = (0..levels.len()).map(|level| shifts.offset(0, level)).collect();
    parts.calibration = calibration::Calibration { offsets: offsets.clone() };
    let test = &slices.test;
    // As a proxy will forecast: shifted in the model itself.
    let served = forecasts(&Model::new(parts.clone())?, test);
    let fitted = baselines::fit_all(&slices.train, &slices.calibration, &levels, seed)?;
    let mut scores = Vec::with_capacity(fitted.len());
    for baseline in &fitted {
        scores.push(Score::new(baseline.name(), &baseline.forecast(test, &levels)?, test.labels()));
    }
    let judgement = Judgement::new(&levels, test.len(), Score::new("imported", &served, test.labels()), scores);
    parts.metrics = metrics(&judgement);
    let coverage = coverage_table(&served, test.labels(), &vec![0; test.len()], 1);
    Ok(Calibrated { reports, split: slices.split.report(), offsets, judgement, coverage })
}

fn forecasts(model: &Model, rows: &Dataset) -> Forecasts {
    let mut values = vec![Vec::with_capacity(rows.len()); model.quantiles().len()];
    for row in 0..rows.len() {
        let forecast = model.forecast(&rows.row(row), 0);
        values.iter_mut().zip(forecast.ln_ms()).for_each(|(column, value)| column.push(*value));
    }
    Forecasts::new(model.quantiles(), values)
}
