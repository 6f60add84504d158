//! `tailcast train`: a log or a trace in, a judged model out.
//!
//! The report comes first and the file last: a model that loses to a baseline is shown in full and not written.

use crate::args::TrainArgs;
use crate::progress::Stage;
use crate::report::{self, ReportData};
use crate::training_report;
use anyhow::{Context, bail};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tailcast_datasets::Trace;
use tailcast_model::Model;
use tailcast_training::{Progress, Source, TrainOptions, TrainReport, Trained};

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    /// Where the model is.
    out: &'a Path,
    /// False where the model was refused.
    written: bool,
    #[serde(flatten)]
    report: &'a TrainReport,
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    // Before minutes of work, not after.
    writable(&args.out)?;
    let options = TrainOptions {
        seed: args.seed,
        rounds: args.rounds,
        max_rows: args.max_rows,
        threads: args.threads,
        parent: Model::load(&args.out).ok().map(|replaced| replaced.checksum().to_owned()),
        ..TrainOptions::default()
    };
    let trained = fit(source(args.log.as_deref(), args.trace.as_deref())?, options)?;
    let refusal = trained.report.judgement.gate(args.force).err();
    if let Some(path) = &args.report {
        let data = ReportData::of_training(&format!("Training of model {}", trained.report.model_id), &trained.report);
        report::write(path, &data)?;
    }
    if refusal.is_none() {
        trained.model.save(&args.out)?;
    }
    if args.json {
        super::print_json(&Output { out: &args.out, written: refusal.is_none(), report: &trained.report })?;
    } else {
        super::print(&training_report::text(&trained.report))?;
    }
    if let Some(refusal) = refusal {
        eprintln!("error: {refusal}; {} was not written (--force writes it all the same)", args.out.display());
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("wrote {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// The source that the arguments name: a log or a trace.
pub(super) fn source(log: Option<&Path>, trace: Option<&Path>) -> anyhow::Result<Source> {
    match (log, trace) {
        (Some(log), _) => Ok(Source::Log(log.to_owned())),
        (None, Some(trace)) => {
            let stage = Stage::new("reading the trace", 0, "");
            let trace = Trace::read(trace)?;
            stage.done(format!("{} requests", trace.len()));
            Ok(Source::Trace(trace))
        }
        (None, None) => bail!("one of --log and --trace is needed"),
    }
}

/// Trains with progress on stderr; the model is stamped with the time of the call.
///
/// # Errors
/// Whatever stopped the training.
pub(crate) fn fit(source: Source, options: TrainOptions) -> anyhow::Result<Trained> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let options = TrainOptions { created_unix_secs: now.as_secs(), ..options };
    let mut phases =
        Phases { stage: Some(Stage::new("reading and checking rows", 0, "")), is_growing: false, loss: f64::NAN };
    let trained = tailcast_training::train(source, &options, &mut |progress| phases.next(progress))?;
    let loss = trained.report.judgement.champion.mean_pinball;
    phases.end(&format!("held-out loss {loss:.4}"));
    Ok(trained)
}

/// Three phases of a training run on the terminal: before, during and after the trees.
struct Phases {
    stage: Option<Stage>,
    is_growing: bool,
    loss: f64,
}

impl Phases {
    fn next(&mut self, progress: Progress) {
        match progress {
            Progress::Round { done, total, loss } => {
                if !self.is_growing {
                    self.end("");
                    self.stage = Some(Stage::new("growing trees", total as u64, "rounds"));
                }
                (self.is_growing, self.loss) = (true, loss);
                if let Some(stage) = &self.stage {
                    stage.at(done as u64);
                    stage.say(format!("loss {loss:.4}"));
                }
            }
            Progress::Stage(name) => {
                if std::mem::take(&mut self.is_growing) {
                    self.end(&format!("loss {:.4}", self.loss));
                    self.stage = Some(Stage::new("calibrating and judging", 0, ""));
                }
                if let Some(stage) = &self.stage {
                    stage.say(name);
                }
            }
        }
    }

    fn end(&mut self, result: &str) {
        if let Some(stage) = self.stage.take() {
            stage.done(result);
        }
    }
}

/// Refuses an output whose directory is missing or that is a directory itself.
fn writable(out: &Path) -> anyhow::Result<()> {
    if out.is_dir() {
        bail!("--out {} is a directory, expected a file name", out.display());
    }
    let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        Some(directory) if !directory.is_dir() => {
            bail!("--out {}: the directory {} does not exist", out.display(), directory.display())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_cannot_be_is_refused_before_the_work() {
        assert!(writable(Path::new("no/such/place/m.tailcast")).is_err());
        assert!(writable(Path::new("/")).is_err());
        assert!(writable(Path::new("m.tailcast")).is_ok());
    }
}
