//! The report: one row a policy and cell, with intervals over seeds, the ratios that the marks ask for, and text.

mod contest;
mod credibility;
mod recovery;
mod text;
mod verdict;

pub use contest::ContestReport;
pub use credibility::{Credibility, CredibilityRow};
pub use verdict::Verdict;

use crate::engine::RunResult;
use crate::histogram::Histogram;
use crate::intervals::Estimate;
use crate::scenario::{Cell, Scenario};
use serde::Serialize;

/// Figures of one run.
#[derive(Debug, Clone)]
pub(crate) struct SeedFigures {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) timeouts: u64,
    pub(crate) latency: Histogram,
    pub(crate) windows: Vec<WindowFigures>,
    pub(crate) newcomers: Option<(f64, f64)>,
    pub(crate) seconds_p99: Vec<f64>,
    pub(crate) classes: Vec<u64>,
    pub(crate) wall_secs: f64,
    pub(crate) refits: u32,
    pub(crate) contests: Vec<ContestReport>,
}

impl SeedFigures {
    pub(crate) fn new(result: &RunResult, contests: Vec<ContestReport>, wall_secs: f64) -> Self {
        let measures = &result.measures;
        let newcomers = (measures.newcomers_first.count() > 0)
            .then(|| (measures.newcomers_first.quantile_ms(0.99), measures.newcomers_later.quantile_ms(0.99)));
        Self {
            requests: measures.requests,
            errors: measures.errors,
            timeouts: measures.timeouts,
            latency: measures.latency.clone(),
            windows: measures
                .windows
                .iter()
                .zip(&measures.window_failed)
                .zip(&measures.window_shares)
                .map(|((window, failed), shares)| WindowFigures {
                    p99_ms: window.quantile_ms(0.99),
                    failed: *failed,
                    answered: shares.answered(),
                    shortfall: shares.shortfall(),
                })
                .collect(),
            newcomers,
            seconds_p99: measures.seconds.iter().map(|second| second.quantile_ms(0.99)).collect(),
            classes: measures.classes.clone(),
            wall_secs,
            refits: result.refits,
            contests,
        }
    }
}

/// One window of one run.
#[derive(Debug, Clone)]
pub(crate) struct WindowFigures {
    p99_ms: f64,
    failed: u64,
    answered: u64,
    shortfall: f64,
}

/// One window of one policy.
#[derive(Debug, Clone, Serialize)]
pub struct WindowReport {
    /// Its name.
    pub name: String,
    /// 99th percentile, milliseconds.
    pub p99_ms: Estimate,
    /// Failed requests a seed.
    pub failed: f64,
    /// Answers over what the servers could have given, routed blindly.
    pub goodput_ratio: Estimate,
    /// Largest shortfall of a tenant under its max-min share of the answers, as a ratio of that share.
    pub shortfall: Estimate,
}

/// One policy in one cell.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// Its name.
    pub policy: String,
    /// True for what `predictive` is compared with.
    pub is_peer: bool,
    /// Requests measured, over all seeds.
    pub requests: u64,
    /// Answers of 503 a seed.
    pub errors: f64,
    /// Timeouts a seed.
    pub timeouts: f64,
    /// Median, milliseconds.
    pub p50_ms: Estimate,
    /// 90th percentile, milliseconds.
    pub p90_ms: Estimate,
    /// 99th percentile, milliseconds.
    pub p99_ms: Estimate,
    /// 99.9th percentile, milliseconds.
    pub p999_ms: Estimate,
    /// Mean, milliseconds.
    pub mean_ms: Estimate,
    /// The whole distribution, over all seeds: shares of requests and the latency, milliseconds, that so many stay below.
    pub distribution: Vec<(f64, f64)>,
    /// Share of requests sent to each class of server.
    pub class_shares: Vec<f64>,
    /// Windows of the scenario.
    pub windows: Vec<WindowReport>,
    /// 99th percentile of the newcomers' first 200 requests and of their later ones, milliseconds.
    pub newcomers_ms: Option<(Estimate, Estimate)>,
    /// Models swapped in while running, a seed.
    pub refits: f64,
    /// What the gate said of each challenger, for each seed.
    pub contests: Vec<Vec<ContestReport>>,
    /// Simulated requests a wall-clock second.
    pub speed_rps: f64,
    /// p99 of every second of each seed, for the recovery mark.
    #[serde(skip)]
    pub(crate) seconds_p99: Vec<Vec<f64>>,
    /// Seconds to recover, a seed (see [`crate::marks::Metric::Recovery`]).
    pub recovery_secs: Option<Estimate>,
}

impl PolicyReport {
    pub(crate) fn new(policy: String, is_peer: bool, scenario: &Scenario, figures: Vec<SeedFigures>) -> Self {
        let n = figures.len().max(1) as f64;
        let of = |value: &dyn Fn(&SeedFigures) -> f64| Estimate::of(&figures.iter().map(value).collect::<Vec<_>>());
        let quantile = |level: f64| of(&|seed: &SeedFigures| seed.latency.quantile_ms(level));
        let requests: u64 = figures.iter().map(|seed| seed.requests).sum();
        let class_shares = (0..scenario.classes.len())
            .map(|class| figures.iter().map(|seed| seed.classes[class]).sum::<u64>() as f64 / requests.max(1) as f64)
            .collect();
        let windows = scenario
            .windows
            .iter()
            .enumerate()
            .map(|(at, window)| WindowReport {
                name: window.name.clone(),
                p99_ms: of(&|seed: &SeedFigures| seed.windows[at].p99_ms),
                failed: figures.iter().map(|seed| seed.windows[at].failed as f64).sum::<f64>() / n,
                goodput_ratio: of(&|seed: &SeedFigures| {
                    let could = scenario.capacity_rps() * (window.until_secs - window.from_secs);
                    seed.windows[at].answered as f64 / could.max(1e-9)
                }),
                shortfall: of(&|seed: &SeedFigures| seed.windows[at].shortfall),
            })
            .collect();
        let newcomers_ms = figures.iter().all(|seed| seed.newcomers.is_some()).then(|| {
            let side = |first: bool| {
                of(&move |s: &SeedFigures| s.newcomers.map_or(f64::NAN, |(a, b)| if first { a } else { b }))
            };
            (side(true), side(false))
        });
        let wall: f64 = figures.iter().map(|seed| seed.wall_secs).sum();
        Self {
            policy,
            is_peer,
            requests,
            errors: figures.iter().map(|seed| seed.errors as f64).sum::<f64>() / n,
            timeouts: figures.iter().map(|seed| seed.timeouts as f64).sum::<f64>() / n,
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            mean_ms: of(&|seed: &SeedFigures| seed.latency.mean_ms()),
            distribution: distribution(&figures),
            class_shares,
            windows,
            newcomers_ms,
            refits: figures.iter().map(|seed| f64::from(seed.refits)).sum::<f64>() / n,
            contests: figures.iter().map(|seed| seed.contests.clone()).collect(),
            speed_rps: requests as f64 / wall.max(1e-9),
            seconds_p99: figures.into_iter().map(|seed| seed.seconds_p99).collect(),
            recovery_secs: None,
        }
    }
}

/// Quantiles in even steps on the scale of nines, up to 99.99 %.
fn distribution(figures: &[SeedFigures]) -> Vec<(f64, f64)> {
    let Some((first, others)) = figures.split_first() else { return Vec::new() };
    let mut latency = first.latency.clone();
    others.iter().for_each(|seed| latency.merge(&seed.latency));
    (1..=40)
        .map(|step| 1.0 - 10f64.powf(-f64::from(step) / 10.0))
        .map(|level| (level, latency.quantile_ms(level)))
        .collect()
}

/// How a model of a cell came about.
#[derive(Debug, Clone, Serialize)]
pub struct Training {
    /// The rows that used it.
    pub policy: String,
    /// Rows learned from.
    pub rows: usize,
    /// Seconds for simulating the log and fitting.
    pub secs: f64,
    /// Trees kept.
    pub trees: usize,
    /// Features by share of the gain.
    pub top_features: Vec<(String, f32)>,
}

/// One cell.
#[derive(Debug, Clone, Serialize)]
pub struct CellReport {
    /// What it is.
    pub cell: Cell,
    /// Its label.
    pub label: String,
    /// Models learned for it.
    pub training: Vec<Training>,
    /// Policies.
    pub rows: Vec<PolicyReport>,
    /// Marks, met or missed.
    pub marks: Vec<Verdict>,
    /// Second of the measured time at which the last event of the scenario begins.
    #[serde(skip)]
    pub(crate) change_second: usize,
    /// True where proxies admit.
    #[serde(skip)]
    pub(crate) has_admission: bool,
}

impl CellReport {
    /// The row of a policy.
    pub fn row(&self, policy: &str) -> Option<&PolicyReport> {
        self.rows.iter().find(|row| row.policy == policy)
    }
}

/// What a simulation found.
#[derive(Debug, Clone, Serialize)]
pub struct SimulationReport {
    /// Name of the scenario.
    pub scenario: String,
    /// What it is for.
    pub about: String,
    /// Seeds of each row.
    pub seeds: u64,
    /// Cells.
    pub cells: Vec<CellReport>,
    /// Wall-clock seconds of it all.
    pub wall_secs: f64,
}

impl SimulationReport {
    /// How the peers compare with the published figures of Prequal's testbed; `None` for other scenarios.
    pub fn credibility(&self) -> Option<Credibility> {
        Credibility::of(self)
    }

    /// The report as Markdown.
    pub fn text(&self) -> String {
        text::text(self)
    }
}
