//! `tailcast train`: a log or a trace in, a judged model out.
//!
//! The report comes first and the file last: a model that loses to a baseline is shown in full and not written. With
//! a registry the model is published in any case, with the gate's verdict.

use super::registry::{Published, unix_secs};
use super::registry_follow;
use crate::args::TrainArgs;
use crate::progress::Stage;
use crate::report::{self, ReportData};
use crate::training_report;
use anyhow::bail;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use tailcast_datasets::Trace;
use tailcast_model::Model;
use tailcast_training::gate::GateRules;
use tailcast_training::registry::{Owner, Pointer, Registry};
use tailcast_training::{Progress, Source, TrainOptions, TrainReport, Trained, promotion};

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    /// Where the model is, if it was to be written.
    out: Option<&'a Path>,
    /// False where the model was refused.
    written: bool,
    /// What became of it in the registry, if there is one.
    published: Option<Published>,
    #[serde(flatten)]
    report: &'a TrainReport,
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    if let (true, Some(log), Some(registry)) = (args.follow, &args.log, &args.registry) {
        return registry_follow::run(args, log, registry);
    }
    // Before minutes of work, not after.
    args.out.as_deref().map(writable).transpose()?;
    let registry = args.registry.as_deref().map(Registry::create).transpose()?;
    let replaced = match (&args.out, &registry) {
        (Some(out), _) => Model::load(out).ok(),
        (None, Some(registry)) => Model::load(registry.path_of(Pointer::Champion)).ok(),
        (None, None) => None,
    };
    let options = TrainOptions { parent: replaced.map(|model| model.checksum().to_owned()), ..options(args) };
    let trained = fit(source(args.log.as_deref(), args.trace.as_deref())?, options)?;
    if let Some(path) = &args.report {
        let data = ReportData::of_training(&format!("Training of model {}", trained.report.model_id), &trained.report);
        report::write(path, &data)?;
    }
    for warning in trained.report.warnings() {
        eprintln!("warning: {warning}");
    }
    let refusal = trained.report.judgement.gate(args.force).err();
    let written = args.out.as_deref().filter(|_| refusal.is_none());
    if let Some(out) = written {
        trained.model.save(out)?;
    }
    let published = registry.map(|registry| publish(&registry, &trained, args.force)).transpose()?;
    if args.json {
        let output =
            Output { out: args.out.as_deref(), written: written.is_some(), published, report: &trained.report };
        super::print_json(&output)?;
        return Ok(code(output.published.as_ref(), refusal.is_some()));
    }
    super::print(&training_report::text(&trained.report))?;
    if let Some(published) = &published {
        eprintln!("{}", published.text());
    }
    match (&args.out, &refusal) {
        (Some(out), Some(refusal)) => {
            eprintln!("error: {refusal}; {} was not written (--force writes it all the same)", out.display());
        }
        (Some(out), None) => eprintln!("wrote {}", out.display()),
        (None, _) => {}
    }
    Ok(code(published.as_ref(), refusal.is_some()))
}

/// What decides is the registry's gate, where there is one, and else the baselines.
fn code(published: Option<&Published>, refused: bool) -> ExitCode {
    let failed = published.map_or(refused, |published| !published.promoted);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the arguments say of the training itself.
pub(super) fn options(args: &TrainArgs) -> TrainOptions {
    TrainOptions {
        seed: args.seed,
        rounds: args.rounds,
        max_rows: args.max_rows,
        threads: args.threads,
        ..TrainOptions::default()
    }
}

/// Publishes with the real clocks.
pub(super) fn publish(registry: &Registry, trained: &Trained, force: bool) -> anyhow::Result<Published> {
    let started = Instant::now();
    let owner = Owner::this_process("tailcast train", unix_secs()?);
    let published = promotion::publish(registry, &owner, trained, &GateRules::default(), force, &|| started.elapsed())?;
    Ok(Published::of(&published))
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
    let options = TrainOptions { created_unix_secs: unix_secs()?, ..options };
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
