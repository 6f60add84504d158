//! Fits trees on columns that another program wrote, and prints losses, coverage and seconds as JSON. For the benchmark
//! against other trainers (`benches/learning`).
//!
//! `DIR` holds `shape.json` (`{"features": 30, "train": 1000000, "test": 200000}`) and, as little-endian f32 without a
//! header, `train_x.f32` and `test_x.f32` (column after column), `train_y.f32` and `test_y.f32`.
//!
//! `cargo run --release -p tailcast-training --example fit_trees -- DIR [NAME=VALUE …]`; names are those of the
//! parameters, and `forecasts=FILE` writes the forecasts of the test rows, quantile after quantile.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use tailcast_training::trees::{TrainingSet, TreeParams, loss};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("the directory is missing")?;
    let directory = Path::new(&directory);
    let shape: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.join("shape.json"))?)?;
    let size = |name: &str| shape[name].as_u64().map(|size| size as usize).ok_or(format!("{name} is missing"));
    let (features, train, test) = (size("features")?, size("train")?, size("test")?);
    let mut params = TreeParams {
        monotone: vec![false; features],
        early_stopping_rounds: 0,
        row_share: 0.3,
        ..TreeParams::default()
    };
    let mut forecasts_file = None;
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or(format!("{argument} is not NAME=VALUE"))?;
        match name {
            "rounds" => params.rounds = value.parse()?,
            "depth" => params.depth = value.parse()?,
            "learning_rate" => params.learning_rate = value.parse()?,
            "max_bins" => params.max_bins = value.parse()?,
            "row_share" => params.row_share = value.parse()?,
            "l2" => params.l2 = value.parse()?,
            "min_leaf_weight" => params.min_leaf_weight = value.parse()?,
            "threads" => params.threads = value.parse()?,
            "seed" => params.seed = value.parse()?,
            "quantiles" => params.quantiles = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "forecasts" => forecasts_file = Some(value.to_owned()),
            _ => return Err(format!("there is no parameter {name}").into()),
        }
    }
    let read = |name: &str| -> Result<Vec<f32>, Box<dyn Error>> {
        let bytes = std::fs::read(directory.join(name))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let (train_x, train_y, test_x, test_y) =
        (read("train_x.f32")?, read("train_y.f32")?, read("test_x.f32")?, read("test_y.f32")?);
    let (weights, censored) = (vec![1.0f32; train], vec![false; train]);
    let set = TrainingSet {
        columns: train_x.chunks_exact(train).collect(),
        labels: &train_y,
        weights: &weights,
        censored: &censored,
    };
    let quantiles = params.quantiles.clone();
    let valid = params.check()?;
    let started = Instant::now();
    let fitted = valid.fit(&set, None, &mut |_, _, _, _| {})?;
    let fit_secs = started.elapsed().as_secs_f64();
    let columns: Vec<&[f32]> = test_x.chunks_exact(test).collect();
    let mut forecasts = vec![vec![0.0f32; test]; quantiles.len()];
    let (mut row, mut bins, mut out) = (vec![0.0; features], vec![0; features], vec![0.0; quantiles.len()]);
    for at in 0..test {
        row.iter_mut().zip(&columns).for_each(|(value, column)| *value = column[at]);
        fitted.forest.bin_row(&row, &mut bins);
        fitted.forest.predict_bins(&bins, &mut out);
        forecasts.iter_mut().zip(&out).for_each(|(column, value)| column[at] = *value);
    }
    let ones = vec![1.0f32; test];
    let of = |(level, column): (&f32, &Vec<f32>)| {
        serde_json::json!({
            "level": level,
            "pinball": loss::pinball(&test_y, column, *level, &ones),
            "coverage": loss::coverage(&test_y, column, &ones),
        })
    };
    let quantiles: Vec<serde_json::Value> = quantiles.iter().zip(&forecasts).map(of).collect();
    if let Some(file) = forecasts_file {
        let bytes: Vec<u8> = forecasts.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(file, bytes)?;
    }
    let found =
        serde_json::json!({ "fit_secs": fit_secs, "trees": fitted.forest.tree_count(), "quantiles": quantiles });
    writeln!(std::io::stdout(), "{found}")?;
    Ok(())
}
