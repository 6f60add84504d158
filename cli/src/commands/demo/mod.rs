//! `tailcast demo`: record, train, hot-load, compare, in one command and on real sockets.
//!
//! Nothing in here is special to the demo but the emulated endpoints: the proxy, the log, the trainer, the model
//! file and the A/B are those of `run`, `train` and `eval live`.

mod plan;
mod report;
mod stage;

use crate::ab::{self, Side};
use crate::args::DemoArgs;
use crate::comparison::{Comparisons, text};
use crate::progress::Stage;
use crate::summary::{SUMMARY_VERSION, Summary};
use anyhow::{Context, bail};
use plan::DemoPlan;
use stage::Stand;
use std::path::Path;
use std::time::Instant;
use tailcast_balance::PolicyKind;

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    prepare(&args.out, args.force)?;
    let plan = if args.quick { DemoPlan::quick() } else { DemoPlan::full() };
    let trace = tailcast_datasets::demo_trace()?;
    eprintln!(
        "tailcast demo: {} requests/s of {} tenants on 12 emulated endpoints, about {:.0} s\n",
        trace.mean_rate().round(),
        trace.tenants(),
        plan.estimate_secs()
    );

    let stand = Stand::start(&args.out, args.seed)?;
    stage::record(&stand, &trace, &plan)?;
    let trained = stage::train(&stand, args.seed)?;
    let hot_load = stage::hot_load(&stand, &trace, &plan, &trained.model)?;
    let (played, events) = stage::compare(&stand, &trace, &plan)?;
    let (log_rows, log_rows_dropped) = stand.finish();

    let all = ab::compare("all", &played.observations, args.seed, |_| true);
    let groups = trace.tenant_groups();
    let group_of = |one: &ab::Observation| groups.get(&one.tenant).map_or("small", |group| group.name()).to_owned();
    let phase_of = |one: &ab::Observation| {
        let is_before = one.slice < plan.brown_out_slice();
        if is_before { "before the brown-out".to_owned() } else { "during the brown-out".to_owned() }
    };
    let summary = Summary {
        version: SUMMARY_VERSION,
        tailcast: env!("CARGO_PKG_VERSION").to_owned(),
        seed: args.seed,
        quick: args.quick,
        elapsed_secs: started.elapsed().as_secs_f64(),
        round_robin: all.control,
        predictive: all.treatment,
        p99_ratio: all.p99_ratio,
        model: trained.summary.clone(),
        hot_load,
        phases: ab::compare_by(&played.observations, args.seed, phase_of),
        tenant_groups: ab::compare_by(&played.observations, args.seed, group_of),
        routes: ab::compare_by(&played.observations, args.seed, |one| one.route.to_string()),
        generator_lag_p99_ms: played.lag_p99_ms,
        log_rows,
        log_rows_dropped,
    };
    let writing = Stage::new("writing the report", 0, "");
    let json = serde_json::to_string_pretty(&summary)? + "\n";
    let summary_path = args.out.join("summary.json");
    std::fs::write(&summary_path, &json).with_context(|| format!("cannot write {}", summary_path.display()))?;
    report::write(&args.out, &summary, &played, &events, &trained.report)?;
    writing.done(format!("{}", args.out.join("report.html").display()));

    if args.json {
        super::print(&json)?;
    } else {
        let all = Comparisons {
            control: &summary.round_robin,
            treatment: &summary.predictive,
            p99_ratio: summary.p99_ratio,
            groups: &[("phase", &summary.phases), ("tenant group", &summary.tenant_groups), ("route", &summary.routes)],
        };
        super::print(&format!("\n{}", text(PolicyKind::RoundRobin.name(), PolicyKind::Predictive.name(), &all)))?;
    }
    if summary.generator_lag_p99_ms > TRUSTED_LAG_MS {
        eprintln!(
            "warning: the load generator itself was late by up to {:.0} ms: this machine was busy with something else, \
             the latencies are not to be trusted",
            summary.generator_lag_p99_ms
        );
    }
    verify(&summary, &played)
}

/// The output directory must be new or empty, unless the user insists: a demo must not mix its log with another.
fn prepare(out: &Path, force: bool) -> anyhow::Result<()> {
    let failed = || format!("--out {}", out.display());
    if out.exists() && !force {
        let mut entries = std::fs::read_dir(out).with_context(failed)?;
        if entries.next().is_some() {
            bail!("--out {} is not empty: choose another directory, or --force to replace its contents", out.display());
        }
    }
    for name in ["log", "report.html", "summary.json", "model.tailcast", "hero.svg"] {
        let path = out.join(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            _ => {}
        }
    }
    std::fs::create_dir_all(out).with_context(failed)
}

/// A load generator that was later than this measured the machine and not the proxy.
const TRUSTED_LAG_MS: f64 = 50.0;

/// The demo succeeds only if the loop really completed: both arms served everything, nothing was dropped.
fn verify(summary: &Summary, played: &ab::Played) -> anyhow::Result<()> {
    if played.dropped > 0 {
        bail!("{} requests could not be sent: the machine is too slow for this demo", played.dropped);
    }
    if summary.hot_load.failed_requests > 0 {
        bail!("{} requests failed while the model was loaded", summary.hot_load.failed_requests);
    }
    for (side, arm) in [(Side::Control, &summary.round_robin), (Side::Treatment, &summary.predictive)] {
        if arm.requests == 0 || arm.errors > 0 {
            bail!("{} of {} requests failed in the {side:?} blocks", arm.errors, arm.requests);
        }
    }
    if summary.log_rows == 0 || summary.log_rows_dropped > 0 {
        bail!("the proxy logged {} rows and dropped {}", summary.log_rows, summary.log_rows_dropped);
    }
    Ok(())
}
