//! `tailcast model import`: a model that LightGBM or XGBoost trained, as one that the proxy serves.

use super::registry::unix_secs;
use crate::args::ModelImportArgs;
use crate::training_report::{self, level};
use anyhow::Context;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use tailcast_model::Model;
use tailcast_model::ensemble::Trainer;
use tailcast_training::Source;
use tailcast_training::import::{Calibrated, calibrate, import};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Output<'a> {
    id: &'a str,
    trained_by: Trainer,
    quantiles: &'a [f32],
    trees: usize,
    bytes: usize,
    out: &'a Path,
    /// False where the model lost to a baseline and was not forced.
    written: bool,
    notes: &'a [String],
    calibrated: Option<&'a Calibrated>,
}

pub(super) fn run(args: &ModelImportArgs) -> anyhow::Result<ExitCode> {
    let (trainer, files) = match args.xgboost.is_empty() {
        true => (Trainer::LightGbm, &args.lightgbm),
        false => (Trainer::XgBoost, &args.xgboost),
    };
    let mut imported = import(trainer, files)?;
    imported.parts.created_unix_secs = unix_secs()?;
    let calibrated = match &args.calibrate {
        Some(log) => {
            let calibrated = calibrate(&mut imported.parts, Source::Log(log.clone()), SEED);
            Some(calibrated.with_context(|| log.display().to_string())?)
        }
        None => None,
    };
    let model = Model::new(imported.parts)?;
    let refusal = calibrated.as_ref().and_then(|found| found.judgement.gate(args.force).err());
    if refusal.is_none() {
        model.save(&args.out)?;
    }
    let output = Output {
        id: model.id(),
        trained_by: trainer,
        quantiles: model.quantiles(),
        trees: model.parts().tree_count(),
        bytes: model.to_bytes().len(),
        out: &args.out,
        written: refusal.is_none(),
        notes: &imported.notes,
        calibrated: calibrated.as_ref(),
    };
    if args.json {
        super::print_json(&output)?
    } else {
        super::print(&output.text())?
    }
    match refusal {
        Some(refusal) => {
            eprintln!("error: {refusal}; {} was not written (--force writes it all the same)", args.out.display());
            Ok(ExitCode::FAILURE)
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Of the baselines that the model is set beside.
const SEED: u64 = 1;

impl Output<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| _ = writeln!(text, "{name:<11} {value}");
        let quantiles: Vec<String> = self.quantiles.iter().map(|one| level(*one)).collect();
        line("imported", format!("{} of {} trees by {}", quantiles.join(", "), self.trees, self.trained_by.name()));
        for note in self.notes {
            line("note", note.clone());
        }
        if let Some(calibrated) = self.calibrated {
            let shifts =
                calibrated.offsets.iter().zip(&quantiles).map(|(offset, level)| format!("{level} {offset:+.4}"));
            line("shifted by", shifts.collect::<Vec<_>>().join(", "));
            let _ = write!(text, "\n{}\n", training_report::judgement(&calibrated.judgement));
        }
        let mut line = |name: &str, value: String| _ = writeln!(text, "{name:<11} {value}");
        line("model", format!("{}, {} bytes", self.id, self.bytes));
        if self.written {
            line("wrote", self.out.display().to_string());
        }
        text
    }
}
