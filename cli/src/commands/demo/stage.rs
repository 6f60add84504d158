//! The stages of the demo.

use super::plan::DemoPlan;
use crate::ab::{self, Plan, Played, Side};
use crate::progress::Stage;
use crate::report::Event;
use crate::summary::{HotLoadSummary, ModelSummary};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tailcast_balance::PolicyKind;
use tailcast_datasets::Trace;
use tailcast_model::Model;
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tailcast_testbed::endpoint::{EmulatedFleet, demo_fleet};
use tailcast_testbed::load::{self, LoadOptions, Target};
use tailcast_training::{Source, TrainOptions, TrainReport};

/// Name of the only pool.
const POOL: &str = "demo";

/// The endpoint that browns out, and how much slower it gets.
const BROWN_OUT: (usize, f32) = (2, 5.0);

/// Longest wait for the proxy to take up the new model file.
const HOT_LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Endpoints and proxy, running.
pub(super) struct Stand {
    fleet: EmulatedFleet,
    proxy: RunningProxy,
    target: Target,
    options: LoadOptions,
    log: PathBuf,
    model: PathBuf,
}

/// What training gave.
pub(super) struct Trained {
    pub(super) model: Model,
    pub(super) report: TrainReport,
    pub(super) summary: ModelSummary,
}

impl Stand {
    pub(super) fn start(out: &Path, seed: u64) -> anyhow::Result<Self> {
        let stage = Stage::new("starting endpoints and proxy", 0, "");
        let fleet = EmulatedFleet::start(demo_fleet(seed)).context("cannot start the emulated endpoints")?;
        let (log, model) = (out.join("log"), out.join("model.tailcast"));
        let config = Config::parse(&config_text(&fleet, &log, &model))?;
        let proxy = Proxy::start(config)?;
        let address = *proxy.addresses().first().context("the proxy has no listener")?;
        stage.done(format!("{} endpoints behind http://{address}", fleet.len()));
        Ok(Self { fleet, proxy, target: Target::new(address), options: LoadOptions::default(), log, model })
    }

    /// Ends everything; rows logged and dropped.
    pub(super) fn finish(self) -> (u64, u64) {
        self.proxy.rotate_log();
        let metrics = self.proxy.metrics();
        let counts = (metrics.log_rows, metrics.log_dropped_rows);
        self.proxy.shutdown();
        counts
    }
}

/// The demo's configuration, as a user would write it.
fn config_text(fleet: &EmulatedFleet, log: &Path, model: &Path) -> String {
    let endpoints: String = fleet
        .names()
        .iter()
        .zip(fleet.addresses())
        .map(|(name, address)| format!("  {{ address = \"{address}\", name = \"{name}\" }},\n"))
        .collect();
    format!(
        "workers = 1\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [tenant]\nfrom = \"header\"\nheader = \"x-tenant\"\n\
         [[pool]]\nname = \"{POOL}\"\npolicy = \"round_robin\"\nendpoints = [\n{endpoints}]\n\
         [model]\npath = {model:?}\nwatch = true\n\
         [log]\ndirectory = {log:?}\nrotate_secs = 3600\ncandidate_features_share = 0.2\n",
        model = model.display().to_string(),
        log = log.display().to_string(),
    )
}

/// Replays the start of the trace under round robin; the proxy writes the log.
pub(super) fn record(stand: &Stand, trace: &Trace, plan: &DemoPlan) -> anyhow::Result<()> {
    let rows = trace.slice(Duration::ZERO, plan.record);
    let shots = load::shots(rows.rows(), 1.0);
    let stage = Stage::new("recording under round_robin", shots.len() as u64, "requests");
    let result = load::run(&shots, &stand.target, &stand.options, &mut |done| stage.at(done))?;
    // The log must hold what is trained on: closed segments, on disk.
    stand.proxy.rotate_log();
    let errors = result.samples.iter().filter(|sample| sample.is_error()).count();
    stage.done(format!(
        "{} requests, {errors} errors, {} log rows",
        result.samples.len(),
        stand.proxy.metrics().log_rows
    ));
    Ok(())
}

/// Trains on that log.
pub(super) fn train(stand: &Stand, seed: u64) -> anyhow::Result<Trained> {
    let started = Instant::now();
    let options = TrainOptions { seed, ..TrainOptions::default() };
    let trained = crate::commands::train::fit(Source::Log(stand.log.clone()), options)?;
    eprintln!("\n{}", crate::training_report::text(&trained.report));
    trained.report.gate().context("the demo's model does not beat the baselines")?;
    let summary = crate::training_report::summary(&trained, started.elapsed());
    Ok(Trained { model: trained.model, report: trained.report, summary })
}

/// Puts the model where the proxy watches, with traffic flowing.
pub(super) fn hot_load(stand: &Stand, trace: &Trace, plan: &DemoPlan, model: &Model) -> anyhow::Result<HotLoadSummary> {
    let rows = trace.slice(plan.record, plan.record + plan.hot_load);
    let shots = load::shots(rows.rows(), 1.0);
    let stage = Stage::new("hot-loading the model under traffic", shots.len() as u64, "requests");
    let (sender, receiver) = mpsc::channel();
    let (result, swapped) = std::thread::scope(|scope| {
        let swap = scope.spawn(move || -> anyhow::Result<Duration> {
            // Traffic has flowed for a moment once the first progress arrives with requests done.
            if receiver.recv_timeout(HOT_LOAD_TIMEOUT).is_err() {
                anyhow::bail!("no request ended within {HOT_LOAD_TIMEOUT:?}");
            }
            let placed = Instant::now();
            model.save(&stand.model)?;
            wait_for_model(stand, model, placed)
        });
        let mut flowing = Some(sender);
        let result = load::run(&shots, &stand.target, &stand.options, &mut |done| {
            stage.at(done);
            // Only the first signal matters; a receiver that is gone has it.
            if done > 0
                && let Some(sender) = flowing.take()
            {
                let _ = sender.send(());
            }
        });
        (result, swap.join())
    });
    let result = result?;
    let millis = swapped.map_err(|_| anyhow::anyhow!("the swap panicked"))??.as_secs_f64() * 1e3;
    let failed = result.samples.iter().filter(|sample| sample.is_error()).count();
    stage.done(format!("{} requests, {failed} failed, live after {millis:.0} ms", result.samples.len()));
    Ok(HotLoadSummary { requests: result.samples.len() as u64, failed_requests: failed as u64, millis })
}

/// Waits until the proxy serves with `model`.
fn wait_for_model(stand: &Stand, model: &Model, since: Instant) -> anyhow::Result<Duration> {
    let id = model.id().to_string();
    while stand.proxy.model_id().as_deref() != Some(id.as_str()) {
        if since.elapsed() > HOT_LOAD_TIMEOUT {
            anyhow::bail!("the proxy did not take up model {id} within {HOT_LOAD_TIMEOUT:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(since.elapsed())
}

/// Replays the same traffic under both policies in alternating blocks; one endpoint browns out half-way. The traffic
/// is the part of the trace that the model has not learned from.
pub(super) fn compare(stand: &Stand, trace: &Trace, plan: &DemoPlan) -> anyhow::Result<(Played, Vec<Event>)> {
    let unseen = trace.slice(plan.record + plan.hot_load, Duration::MAX);
    let expected: usize = (0..plan.pairs).map(|number| ab::slice_rows(&unseen, plan.block, number).len() * 2).sum();
    let stage = Stage::new("A/B round_robin | predictive", expected as u64, "requests");
    let ab_plan = Plan {
        trace: &unseen,
        slice: plan.block,
        pairs: plan.pairs,
        speed: 1.0,
        target: &stand.target,
        options: &stand.options,
    };
    let start = Instant::now();
    let mut events = Vec::new();
    let mut switch = |number: usize, block: ab::Block| -> anyhow::Result<()> {
        let policy = match block.side {
            Side::Control => PolicyKind::RoundRobin,
            Side::Treatment => PolicyKind::Predictive,
        };
        // At the first block of its pair.
        if number == plan.brown_out_slice() * 2 {
            stand.fleet.brown_out(BROWN_OUT.0, BROWN_OUT.1);
            let name = stand.fleet.names().get(BROWN_OUT.0).copied().unwrap_or_default().to_owned();
            let label = format!("{name} browns out ({}x slower)", BROWN_OUT.1);
            events.push(Event { t_secs: start.elapsed().as_secs_f64(), label });
        }
        stage.say(policy.name());
        Ok(stand.proxy.set_policy(POOL, policy)?)
    };
    let played = ab::play(&ab_plan, &mut switch, &mut |done| stage.at(done))?;
    stage.done(format!("{} requests", played.observations.len()));
    Ok((played, events))
}
