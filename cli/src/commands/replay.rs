//! `tailcast replay`: recorded traffic against a server, open loop.

use crate::ab::arm;
use crate::ab::{Observation, Side};
use crate::args::ReplayArgs;
use crate::progress::Stage;
use crate::summary::ArmSummary;
use crate::table::{layout, millis};
use anyhow::{Context, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tailcast_testbed::load::{self, Failure, LoadOptions, Target};

/// What a replay found.
#[derive(Debug, Serialize)]
struct ReplayResult {
    /// All requests.
    all: ArmSummary,
    /// By route.
    routes: BTreeMap<String, ArmSummary>,
    /// Answers by status; 0 where there was none.
    statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer, by reason.
    failures: BTreeMap<&'static str, u64>,
    /// Requests that were not sent because too many were in flight.
    dropped: u64,
    /// 99th percentile of how late the generator itself was, milliseconds.
    generator_lag_p99_ms: f64,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let name = args.trace.as_deref().context("--trace is missing")?;
    let target = Target::parse(args.to.as_deref().context("--to is missing")?)?;
    positive("--speed", args.speed)?;
    positive("--timeout", args.timeout)?;
    let trace = super::read_trace(name)?;
    let from = seconds("--from", args.from)?;
    let to = match args.duration {
        Some(length) => from + seconds("--duration", length)?,
        // One past the last row: a slice ends before its end.
        None => trace.duration() + Duration::from_micros(1),
    };
    let slice = trace.slice(from, to);
    if slice.is_empty() {
        bail!(
            "no request of {name} is between {:.3} and {:.3} s; the trace has {} over {:.3} s",
            from.as_secs_f64(),
            to.as_secs_f64(),
            trace.len(),
            trace.duration().as_secs_f64()
        );
    }
    let options = LoadOptions {
        tenant_header: args.tenant_header.clone(),
        timeout: Duration::from_secs_f64(args.timeout),
        ..LoadOptions::default()
    };
    let shots = load::shots(slice.rows(), args.speed);
    let stage = Stage::new(format!("replaying to {}", target.address), shots.len() as u64, "requests");
    let result = load::run(&shots, &target, &options, &mut |done| stage.at(done))?;
    stage.done(format!("{} requests", result.samples.len()));

    let observations: Vec<Observation> = result
        .samples
        .iter()
        .map(|sample| Observation {
            side: Side::Control,
            slice: 0,
            at: sample.at,
            tenant: Arc::clone(&shots[sample.index].tenant),
            route: Arc::clone(&shots[sample.index].route),
            latency_ms: sample.latency.as_secs_f64() * 1e3,
            is_error: sample.is_error(),
            endpoint: sample.endpoint.clone(),
        })
        .collect();
    let (mut statuses, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for sample in &result.samples {
        *statuses.entry(sample.status).or_default() += 1;
        if let Some(failure) = sample.failure {
            *failures.entry(failure_name(failure)).or_default() += 1;
        }
    }
    let routes: std::collections::BTreeSet<Arc<str>> = observations.iter().map(|one| Arc::clone(&one.route)).collect();
    let found = ReplayResult {
        all: arm(observations.iter()),
        routes: routes
            .iter()
            .map(|route| (route.to_string(), arm(observations.iter().filter(|one| one.route == *route))))
            .collect(),
        statuses,
        failures,
        dropped: result.dropped,
        generator_lag_p99_ms: result.lag_p99().as_secs_f64() * 1e3,
    };
    if args.json {
        super::print_json(&found)?
    } else {
        super::print(&text(&found))?
    }
    if found.all.requests == 0 || found.all.errors == found.all.requests {
        bail!("not one request to {} succeeded: {:?}", target.address, found.failures);
    }
    Ok(())
}

fn text(found: &ReplayResult) -> String {
    let row = |name: &str, arm: &ArmSummary| {
        let mut cells = vec![name.to_owned(), arm.requests.to_string(), arm.errors.to_string()];
        cells.extend([arm.p50_ms, arm.p90_ms, arm.p99_ms, arm.p999_ms].map(millis));
        cells
    };
    let mut rows = vec![row("all", &found.all)];
    rows.extend(found.routes.iter().map(|(name, arm)| row(name, arm)));
    let mut text = layout(&["latency, ms", "requests", "errors", "p50", "p90", "p99", "p99.9"], &rows);
    let counts = |name: &str, counts: Vec<String>| {
        if counts.is_empty() { String::new() } else { format!("{name}: {}\n", counts.join(", ")) }
    };
    text.push('\n');
    text += &counts("statuses", found.statuses.iter().map(|(status, count)| format!("{status} x {count}")).collect());
    text += &counts("failures", found.failures.iter().map(|(name, count)| format!("{name} x {count}")).collect());
    if found.dropped > 0 {
        text += &format!("not sent, too many in flight: {}\n", found.dropped);
    }
    text + &format!("the generator itself was late by {} ms at its p99\n", millis(found.generator_lag_p99_ms))
}

fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "connect",
        Failure::Broken => "broken",
        Failure::Timeout => "timeout",
        Failure::Invalid => "invalid",
    }
}

fn positive(name: &str, value: f64) -> anyhow::Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    bail!("{name} is {value}, expected a number above 0")
}

fn seconds(name: &str, value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{name} is {value}, expected seconds of at least 0"))
}
