//! `tailcast eval simulate`: policies side by side in a discrete-event simulation that runs the production balancer.

use crate::args::EvalSimulateArgs;
use crate::progress::Stage;
use anyhow::{Context, bail};
use std::path::Path;
use tailcast_simulator::{Policy, Progress, Scenario, SimulateOptions, simulate};

pub(super) fn run(args: &EvalSimulateArgs) -> anyhow::Result<()> {
    if args.seeds == 0 {
        bail!("--seeds is 0, expected at least 1");
    }
    let scenario = Scenario::load(&args.scenario)?;
    let policies = args.policies.iter().map(|name| name.parse::<Policy>()).collect::<Result<Vec<_>, _>>()?;
    let mut options = SimulateOptions {
        seeds: args.seeds,
        only: args.only.clone(),
        ablation: args.ablation,
        ..SimulateOptions::default()
    };
    if !policies.is_empty() {
        options.policies = policies;
    }
    let stage = Stage::new(format!("simulating {}", args.scenario.display()), 0, "");
    let mut rows = 0u32;
    let report = simulate(&scenario, &options, &mut |progress| match progress {
        Progress::Learning { cell } => stage.say(format!("{cell}: learning")),
        Progress::Row { cell, policy, p99_ms } => {
            rows += 1;
            stage.say(format!("{cell}: {policy} p99 {p99_ms:.1} ms"));
        }
    })?;
    stage.done(format!("{rows} rows of {} seeds", args.seeds));
    if let Some(path) = &args.markdown {
        write(path, &report.text())?;
    }
    if let Some(path) = &args.report {
        crate::report::write_simulation(path, &report)?;
    }
    if args.json {
        return super::print_json(&report);
    }
    super::print(&report.text())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
