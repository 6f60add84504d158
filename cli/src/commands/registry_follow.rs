//! `tailcast train --follow`: the loop that keeps a registry's champion as new as its log.
//!
//! One thread: look at the log, ask the schedule, train, publish, say one line. Whatever goes wrong in a run is said
//! and the loop goes on, since the proxy serves with the champion it has in any case; a trainer that ends over a bad
//! segment would be missed only when the champion is a week old. It is ended by a signal, at any moment: the registry
//! is then as before or after a step, never between.

use super::registry::{Published, unix_secs};
use super::train;
use crate::args::TrainArgs;
use anyhow::anyhow;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tailcast_model::Model;
use tailcast_training::dataset::Dataset;
use tailcast_training::follow::{Drift, DriftWatch, Schedule, Start, Why};
use tailcast_training::load::LogTail;
use tailcast_training::registry::{Pointer, Registry, RegistryError};
use tailcast_training::{Source, TrainOptions, Trained};

/// How often the log is looked at: a listing of some files.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks for drift in an interval: as often as a drift could bring a run forward.
const DRIFT_LOOKS: u32 = 4;

/// Newest rows that are looked at for drift; more than come in between two looks are drift or not without the rest.
const DRIFT_ROWS: usize = 5_000;

/// How long a model waits for another's publication, which takes a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run came to.
#[derive(Debug, Serialize)]
struct Run {
    why: String,
    warm: bool,
    rows: usize,
    segments: usize,
    skipped: usize,
    /// Seconds to read the segments.
    load_secs: f64,
    /// Seconds from the rows to a judged model.
    train_secs: f64,
    /// Seconds of the gate and of publishing.
    publish_secs: f64,
    /// What somebody should look at in the rows.
    warnings: Vec<String>,
    /// Age of the newest row when the registry pointed at the model, seconds.
    newest_row_age_secs: f64,
    #[serde(flatten)]
    published: Published,
}

pub(super) fn run(args: &TrainArgs, log: &Path, root: &Path) -> anyhow::Result<ExitCode> {
    let registry = Registry::create(root)?;
    let mut trainer = Trainer { args, registry, rows: LogTail::new(log), recent: LogTail::new(log), watch: None };
    let mut schedule = Schedule::new(args.every);
    let started = Instant::now();
    let (mut has_new_rows, mut runs, mut drift_at) = (false, 0, Duration::ZERO);
    let mut said: Vec<String> = Vec::new();
    eprintln!(
        "following {}, champion {}, a run every {:?} at most",
        log.display(),
        trainer.registry.path_of(Pointer::Champion).display(),
        args.every
    );
    while args.runs.is_none_or(|most| runs < most) {
        let changed = trainer.rows.has_changed();
        has_new_rows |= changed;
        let is_look = changed && started.elapsed() >= drift_at;
        let drift = if is_look { trainer.drift() } else { None };
        if is_look {
            drift_at = started.elapsed() + args.every / DRIFT_LOOKS;
        }
        let champion = trainer.champion();
        let drift = drift.as_ref().map(|Drift(how)| how.as_str());
        let Some(start) = schedule.next(started.elapsed(), has_new_rows, champion.is_some(), drift) else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        (has_new_rows, runs) = (false, runs + 1);
        match trainer.run_caught(&start, champion) {
            Ok(run) => {
                // A warning that stays is said once, and not every half minute.
                for warning in run.warnings.iter().filter(|warning| !said.contains(*warning)) {
                    eprintln!("warning: {warning}");
                }
                said.clone_from(&run.warnings);
                let line = if args.json { serde_json::to_string(&run)? } else { text(&run) };
                super::print(&(line + "\n"))?;
            }
            Err(error) => eprintln!("run failed, the champion stays: {}", crate::failure::text(&error)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Trainer<'a> {
    args: &'a TrainArgs,
    registry: Registry,
    rows: LogTail,
    /// The same log, of which only the newest rows are read.
    recent: LogTail,
    /// The champion after the latest run, and the arrival of the newest row that was looked at.
    watch: Option<(DriftWatch, i64)>,
}

impl Trainer<'_> {
    /// The champion; none also where it cannot be read, since nothing can go on from it.
    fn champion(&self) -> Option<Model> {
        Model::load(self.registry.path_of(Pointer::Champion)).ok()
    }

    /// Whether the champion still fits the rows that came since the last look.
    fn drift(&mut self) -> Option<Drift> {
        let (watch, seen_us) = self.watch.as_mut()?;
        // A log that cannot be read is the next run's to complain of.
        let (frame, load) = self.recent.newest(DRIFT_ROWS).ok()?;
        let (rows, _) = tailcast_training::dataset(Source::Table(frame, load)).ok()?;
        let rows = rows.since(*seen_us).evidence();
        *seen_us = newest(&rows).unwrap_or(*seen_us);
        watch.look(&rows)
    }

    /// A panic over outside data is one failed run more; the state that it could have left behind is the caches.
    fn run_caught(&mut self, start: &Start, champion: Option<Model>) -> anyhow::Result<Run> {
        let run = catch_unwind(AssertUnwindSafe(|| self.run(start, champion)));
        run.unwrap_or_else(|_| Err(anyhow!("a library gave up on the rows")))
    }

    fn run(&mut self, start: &Start, champion: Option<Model>) -> anyhow::Result<Run> {
        let mut clock = Clock(Instant::now());
        let (frame, load) = self.rows.newest(self.args.max_rows)?;
        let load_secs = clock.lap();
        let (segments, skipped) = (load.segments.len(), load.skipped.len());
        let options = TrainOptions {
            created_unix_secs: unix_secs()?,
            parent: champion.as_ref().map(|champion| champion.checksum().to_owned()),
            warm_start: champion.filter(|_| start.warm),
            ..train::options(self.args)
        };
        let trained = tailcast_training::train(Source::Table(frame, load), &options, &mut |_| {})?;
        let train_secs = clock.lap();
        let published = self.publish(&trained)?;
        let publish_secs = clock.lap();
        let until_us = trained.model.parts().window.until_us;
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64() * 1e6);
        // The shadow of doubt is on whatever serves now, whoever made it.
        self.watch = self.champion().map(|champion| (DriftWatch::new(champion, &trained.newest), until_us));
        Ok(Run {
            why: match &start.why {
                Why::First => "first".to_owned(),
                Why::Timer => "timer".to_owned(),
                Why::Drift(how) => format!("drift: {how}"),
            },
            warm: start.warm,
            rows: trained.report.rows,
            segments,
            skipped,
            load_secs,
            train_secs,
            publish_secs,
            warnings: trained.report.warnings(),
            newest_row_age_secs: (now_us - until_us as f64) / 1e6,
            published,
        })
    }

    fn publish(&self, trained: &Trained) -> anyhow::Result<Published> {
        let since = Instant::now();
        loop {
            match train::publish(&self.registry, trained, self.args.force) {
                Err(error) if is_locked(&error) && since.elapsed() < PATIENCE => std::thread::sleep(LOOK_EVERY),
                done => return done,
            }
        }
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RegistryError::Locked { .. }))
}

fn newest(rows: &Dataset) -> Option<i64> {
    rows.arrivals_us().last().copied()
}

/// Seconds since the last lap.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> f64 {
        std::mem::replace(&mut self.0, Instant::now()).elapsed().as_secs_f64()
    }
}

fn text(run: &Run) -> String {
    let Run { why, rows, segments, load_secs, train_secs, publish_secs, newest_row_age_secs, .. } = run;
    let skipped = if run.skipped > 0 { format!(", {} skipped", run.skipped) } else { String::new() };
    let start = if run.warm { "warm" } else { "cold" };
    format!(
        "{} ({why}, {start}; {rows} rows of {segments} segments{skipped}; read {load_secs:.1} s, trained {train_secs:.1} \
         s, published {publish_secs:.1} s; the newest row was {newest_row_age_secs:.1} s old)",
        run.published.text()
    )
}
