//! `tailcast eval live`: two policies on sockets, the same traffic, alternating blocks of one run.
//!
//! The policy is switched over the admin listener, so the same code compares a proxy that this command starts
//! and one that runs elsewhere. With `--from-log` nothing is sent: the log of a proxy that routes a share of its traffic
//! by a control policy already holds both.

use crate::ab::{self, Plan, Side};
use crate::admin::AdminClient;
use crate::args::EvalLiveArgs;
use crate::comparison::{Comparisons, text};
use crate::progress::Stage;
use crate::report::{self, ReportData};
use crate::summary::Comparison;
use crate::table::{layout, millis};
use anyhow::{Context, bail};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use tailcast_balance::PolicyKind;
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tailcast_testbed::load::{LoadOptions, Target};
use tailcast_training::Source;
use tailcast_training::fairness::{self, Fairness, TenantFairness};
use tailcast_training::sequential::{self, Arm, Difference, LiveTest};

/// Seed of the bootstrap: the interval of the same samples is always the same.
const BOOTSTRAP_SEED: u64 = 1;

/// What an A/B found.
#[derive(Debug, Serialize)]
struct LiveResult {
    control: PolicyKind,
    treatment: PolicyKind,
    all: Comparison,
    routes: Vec<Comparison>,
    tenant_groups: Vec<Comparison>,
    generator_lag_p99_ms: f64,
    dropped: u64,
}

pub(super) fn run(args: &EvalLiveArgs) -> anyhow::Result<()> {
    if !(args.block.is_finite() && args.block >= 0.1) {
        bail!("--block is {}, expected at least 0.1 s", args.block);
    }
    if !(args.speed.is_finite() && args.speed > 0.0) {
        bail!("--speed is {}, expected a number above 0", args.speed);
    }
    if args.pairs == 0 {
        bail!("--pairs is 0, expected at least 1");
    }
    if let Some(log) = &args.from_log {
        return from_log(args, log);
    }
    let trace = super::read_trace(&args.trace)?;
    if trace.is_empty() {
        bail!("the trace {} holds no request", args.trace);
    }
    let own = args.config.is_some().then(|| start(args)).transpose()?;
    let (to, admin) = match &own {
        Some(proxy) => addresses(proxy)?,
        None => (args.to.clone().context("--to is missing")?, args.admin.clone().context("--admin is missing")?),
    };
    let target = Target::parse(&to)?;
    let admin = AdminClient::new(Target::parse(&admin)?);
    let pools = match &args.pool {
        Some(pool) => vec![pool.clone()],
        None => admin.pools()?,
    };
    let before = admin.policies()?;

    let options = LoadOptions { tenant_header: args.tenant_header.clone(), ..LoadOptions::default() };
    let slice = Duration::from_secs_f64(args.block * args.speed);
    let plan = Plan { trace: &trace, slice, pairs: args.pairs, speed: args.speed, target: &target, options: &options };
    let expected: usize = (0..args.pairs).map(|number| ab::slice_rows(&trace, slice, number).len() * 2).sum();
    let stage = Stage::new(format!("A/B {} | {}", args.control, args.treatment), expected as u64, "requests");
    let mut switch = |_: usize, block: ab::Block| -> anyhow::Result<()> {
        let policy = if block.side == Side::Control { args.control } else { args.treatment };
        stage.say(policy.name());
        pools.iter().try_for_each(|pool| admin.set_policy(pool, policy))
    };
    let played = ab::play(&plan, &mut switch, &mut |done| stage.at(done));
    // The pools get their policies back, however the A/B ended.
    let restored = before
        .iter()
        .filter(|(pool, _)| pools.contains(pool))
        .try_for_each(|(pool, policy)| admin.set_policy(pool, *policy));
    let played = played?;
    restored.context("the pools' policies could not be restored")?;
    stage.done(format!("{} requests", played.observations.len()));
    if let Some(proxy) = own {
        proxy.shutdown();
    }

    let groups = trace.tenant_groups();
    let group_of = |one: &ab::Observation| groups.get(&one.tenant).map_or("small", |group| group.name()).to_owned();
    let found = LiveResult {
        control: args.control,
        treatment: args.treatment,
        all: ab::compare("all", &played.observations, BOOTSTRAP_SEED, |_| true),
        routes: ab::compare_by(&played.observations, BOOTSTRAP_SEED, |one| one.route.to_string()),
        tenant_groups: ab::compare_by(&played.observations, BOOTSTRAP_SEED, group_of),
        generator_lag_p99_ms: played.lag_p99_ms,
        dropped: played.dropped,
    };
    if let Some(path) = &args.report {
        let title = format!("{} against {}", args.treatment, args.control);
        let data = ReportData::of_ab(&title, [args.control.name(), args.treatment.name()], &found.all, &played);
        report::write(path, &data.with_groups(&found.routes, &found.tenant_groups))?;
    }
    if args.json {
        return super::print_json(&found);
    }
    let all = Comparisons {
        control: &found.all.control,
        treatment: &found.all.treatment,
        p99_ratio: found.all.p99_ratio,
        groups: &[("tenant group", &found.tenant_groups), ("route", &found.routes)],
    };
    super::print(&text(args.control.name(), args.treatment.name(), &all))
}

fn from_log(args: &EvalLiveArgs, log: &Path) -> anyhow::Result<()> {
    let stage = Stage::new("reading and checking rows", 0, "");
    let (rows, reports) = tailcast_training::dataset(Source::Log(log.to_owned()))?;
    stage.done(reports.summary());
    let block_us = (args.block * 1e6) as i64;
    let (control, treatment) = (args.control.name(), args.treatment.name());
    let all = sequential::compare(&rows, control, treatment, block_us)?;
    let stage = Stage::new("testing tenants one by one", 0, "");
    let fairness = fairness::by_tenant(&rows, control, treatment, block_us);
    stage.done(format!("{} with rows enough", fairness.tenants.iter().filter(|one| one.tenant.is_some()).count()));
    let found = LogResult { all, fairness };
    if args.json {
        return super::print_json(&found);
    }
    super::print(&format!("{}{}", log_text(&found.all), fairness_text(&found.fairness)))
}

/// What a log says of its own A/B.
#[derive(Debug, Serialize)]
struct LogResult {
    #[serde(flatten)]
    all: LiveTest,
    fairness: Fairness,
}

/// Tenants shown, from whoever gains least.
const SHOWN_TENANTS: usize = 10;

fn fairness_text(found: &Fairness) -> String {
    if found.tenants.is_empty() {
        return "\nNo tenant has rows enough of both arms to be tested by itself.\n".to_owned();
    }
    let row = |one: &TenantFairness| {
        let test = &one.test;
        let name = one.tenant.clone().unwrap_or_else(|| format!("{} smaller tenants", one.tenants));
        let p99 = format!("{} → {}", millis(test.control.p99_ms), millis(test.treatment.p99_ms));
        let Difference { value, low, high, .. } = test.ln_latency;
        let factor = format!("{:.3} [{:.3}, {:.3}]", value.exp(), low.exp(), high.exp());
        let verdict = if one.is_worse { "worse" } else { "" };
        let rows = (test.control.rows + test.treatment.rows).to_string();
        vec![name, rows, p99, factor, verdict.to_owned()]
    };
    let rows: Vec<Vec<String>> = found.tenants.iter().take(SHOWN_TENANTS).map(row).collect();
    let mut text = String::from("\n");
    text.push_str(&layout(&["tenants that gain least", "requests", "p99, ms", "latency, factor", ""], &rows));
    let _ = writeln!(
        text,
        "\n{} of {} are served worse, and that is no accident (5 % over all of them). Jain's index of what tenants gain: {:.3} \
         (1: all alike).",
        found.worse,
        found.tenants.len(),
        found.jain_index
    );
    text
}

fn log_text(found: &LiveTest) -> String {
    let arm = |arm: &Arm| {
        let failed = format!("{:.2} %", arm.failed_ratio * 100.0);
        vec![arm.policy.clone(), arm.rows.to_string(), failed, millis(arm.p50_ms), millis(arm.p99_ms)]
    };
    let mut text =
        layout(&["latency, ms", "requests", "failed", "p50", "p99"], &[arm(&found.control), arm(&found.treatment)]);
    let difference = |name: String, one: &Difference, words: &dyn Fn(f64) -> String| {
        let decided = one.decided_after.map_or_else(|| "not yet".to_owned(), |block| format!("after block {block}"));
        let interval = format!("{} [{}, {}]", words(one.value), words(one.low), words(one.high));
        vec![name, interval, format!("{:.2e}", one.p_value), decided]
    };
    text.push('\n');
    text.push_str(&layout(
        &[&format!("{} over {}", found.treatment.policy, found.control.policy), "95 % at any time", "p", "told apart"],
        &[
            difference("latency, factor".to_owned(), &found.ln_latency, &|ln| format!("{:.3}", ln.exp())),
            difference(format!("% over {} ms, points", millis(found.slow_ms)), &found.slow_ratio, &|share| {
                format!("{:+.2}", share * 100.0)
            }),
        ],
    ));
    let _ = writeln!(
        text,
        "\n{} blocks; p-values are always valid: the test may be looked at, and stopped, at any time. Both arms load the \
         same endpoints, so the test compares requests under one traffic, not a world with the policy and one without.",
        found.blocks
    );
    text
}

fn start(args: &EvalLiveArgs) -> anyhow::Result<RunningProxy> {
    let path = args.config.as_ref().context("--config is missing")?;
    let mut config = Config::load(path)?;
    if let Some(model) = &args.model {
        tailcast_model::Model::load(model).with_context(|| format!("--model {}", model.display()))?;
        config = config.with_model(model.clone());
    }
    if config.admin().is_none() {
        bail!("{} has no [admin] listener, over which the policy is switched", path.display());
    }
    Ok(Proxy::start(config)?)
}

fn addresses(proxy: &RunningProxy) -> anyhow::Result<(String, String)> {
    let listener = proxy.addresses().first().context("the configuration has no listener")?;
    let admin = proxy.admin_address().context("the configuration has no admin listener")?;
    Ok((format!("http://{listener}"), format!("http://{admin}")))
}
