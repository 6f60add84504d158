//! Forecasts of rows from a file, to be compared with those of another program.
//!
//! `forecast_rows MODEL ROWS OUT`: rows and forecasts are little-endian f32, row after row; a row has the features of the schema in
//! its order, a forecast the model's quantiles in natural log of milliseconds.

use std::error::Error;
use std::path::PathBuf;
use tailcast_features::{FEATURE_COUNT, Row};
use tailcast_model::{Forecast, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let [model, rows, out] =
        <[PathBuf; 3]>::try_from(std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>())
            .map_err(|_| "usage: forecast_rows MODEL ROWS OUT")?;
    let model = Model::load(model)?;
    let bytes = std::fs::read(rows)?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let (rows, rest): (&[Row], _) = values.as_chunks::<FEATURE_COUNT>();
    if !rest.is_empty() || values.len() * 4 != bytes.len() {
        return Err(format!("the file does not hold whole rows of {FEATURE_COUNT} values").into());
    }
    let mut forecasts = vec![Forecast::default(); rows.len()];
    model.forecast_batch(rows, 0, &mut forecasts);
    let flat = forecasts.iter().flat_map(|forecast| forecast.ln_ms()).flat_map(|value| value.to_le_bytes());
    std::fs::write(out, flat.collect::<Vec<u8>>())?;
    Ok(())
}
