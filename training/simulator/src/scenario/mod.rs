//! Scenarios: what is simulated, read from a TOML file, checked, and resolved to cells.
//!
//! A *cell* is one combination of the values that a scenario varies (load, number of proxies, staleness of reports):
//! the figures of a report are per cell. Rejected: scenarios in code (nobody could write one without a compiler).

mod raw;
mod validate;
pub mod work;

use crate::error::SimError;
use crate::marks::Mark;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tailcast_balance::admission::AdmissionOptions;
use work::WorkLaw;

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) warmup_secs: f64,
    pub(crate) measure_secs: f64,
    pub(crate) proxies: Vec<usize>,
    pub(crate) timeout_ms: f64,
    pub(crate) cancel_on_timeout: bool,
    pub(crate) network_delay_ms: f64,
    pub(crate) loads: Vec<Load>,
    pub(crate) profile: Vec<(f64, f64)>,
    pub(crate) tenants: Tenants,
    pub(crate) routes: Vec<Route>,
    pub(crate) classes: Vec<Class>,
    pub(crate) cache: Option<Cache>,
    pub(crate) antagonists: Option<Antagonists>,
    pub(crate) piggyback: Vec<bool>,
    pub(crate) report_periods_ms: Vec<f64>,
    pub(crate) signal_delay_ms: f64,
    pub(crate) stale_probes: bool,
    pub(crate) probes: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) windows: Vec<Window>,
    pub(crate) training: Training,
    pub(crate) marks: Vec<Mark>,
    pub(crate) trace: Option<Trace>,
    pub(crate) admission: Option<AdmissionOptions>,
}

/// How many requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// Of the capacity under uniform routing (see [`Scenario::capacity_rps`]).
    Utilisation(f64),
    /// A second.
    Rate(f64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenants {
    pub(crate) count: usize,
    pub(crate) zipf: f64,
    pub(crate) newcomers: usize,
    pub(crate) newcomers_at_secs: f64,
    pub(crate) newcomers_share: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) share: f64,
    pub(crate) work: WorkLaw,
    pub(crate) class_factor: Vec<f64>,
    pub(crate) body_bytes_per_ms: Option<f64>,
    pub(crate) body_sigma: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) cores: f64,
    pub(crate) speed: f64,
    pub(crate) fifo: Option<(u32, u32)>,
    pub(crate) joins_at_secs: Option<f64>,
    pub(crate) warms_over_secs: f64,
    pub(crate) warms_from: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cache {
    pub(crate) tenants: usize,
    pub(crate) miss_factor: f64,
}

/// Other work on the servers' machines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Antagonists {
    pub(crate) share: f64,
    pub(crate) mean_on_secs: f64,
    pub(crate) guarantee: f64,
    pub(crate) spill: f64,
    pub(crate) speed: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    BrownOut { from_secs: f64, until_secs: f64, first: usize, count: usize, factor: f64 },
    FailFast { from_secs: f64, until_secs: f64, first: usize, count: usize },
    SwapClasses { at_secs: f64, route: usize },
}

#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) name: String,
    pub(crate) from_secs: f64,
    pub(crate) until_secs: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Training {
    pub(crate) log_secs: f64,
    pub(crate) rounds: usize,
    pub(crate) retrain_every_secs: f64,
    pub(crate) max_rows: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) format: crate::traces::TraceFormat,
    pub(crate) file: PathBuf,
}

/// One combination of what a scenario varies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cell {
    /// Requests a second at profile factor 1.
    pub rate_rps: f64,
    /// The load as the file has it: a ratio of capacity, or `None` where it gives a rate.
    pub utilisation: Option<f64>,
    /// Proxies.
    pub proxies: usize,
    /// Period of pushed load reports, milliseconds; 0 none.
    pub report_period_ms: f64,
    /// Whether load reports ride on the answers.
    pub piggyback: bool,
}

impl Cell {
    /// A short label: only what is needed to tell cells apart.
    pub fn label(&self) -> String {
        let load = match self.utilisation {
            Some(utilisation) => format!("load {:.0} %", utilisation * 100.0),
            None => format!("{:.0} rps", self.rate_rps),
        };
        let reports = if self.report_period_ms > 0.0 {
            format!(", reports {:.0} ms", self.report_period_ms)
        } else {
            String::new()
        };
        let reports = if self.piggyback { format!("{reports}, reports on answers") } else { reports };
        format!("{load}, {} {}{reports}", self.proxies, if self.proxies == 1 { "proxy" } else { "proxies" })
    }
}

impl Scenario {
    /// Reads and checks a scenario file. A trace is looked for relative to the file's directory and its ancestors.
    ///
    /// # Errors
    /// The file cannot be read, has unknown keys, or a value is out of range; the message names the key.
    pub fn load(path: &Path) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path).map_err(|source| SimError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a scenario; `path` is for messages and for finding a trace.
    ///
    /// # Errors
    /// As [`Scenario::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, SimError> {
        let raw: raw::RawScenario = toml::from_str(text)
            .map_err(|error| SimError::Syntax { path: path.to_owned(), message: error.to_string() })?;
        validate::validate(raw, path)
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Seconds before measuring and measured.
    pub fn seconds(&self) -> (f64, f64) {
        (self.warmup_secs, self.measure_secs)
    }

    /// Shortens (or lengthens) warm-up and measurement, for tests and quick looks; times of events stay.
    #[must_use]
    pub fn with_seconds(mut self, warmup: f64, measure: f64) -> Self {
        (self.warmup_secs, self.measure_secs) = (warmup, measure);
        self
    }

    /// Servers of all classes.
    pub fn server_count(&self) -> usize {
        self.classes.iter().map(|class| class.count).sum()
    }

    /// Requests a second that the servers present at the start can finish if requests are spread in proportion to
    /// their speed, blind to routes (misses of a cache not counted).
    pub fn capacity_rps(&self) -> f64 {
        let power = |class: &Class| class.count as f64 * class.cores * class.speed;
        let present = |class: &&Class| class.joins_at_secs.is_none();
        let total: f64 = self.classes.iter().filter(present).map(power).sum();
        let shares: f64 = self.routes.iter().map(|route| route.share).sum();
        let mean_ms: f64 = self
            .routes
            .iter()
            .map(|route| {
                let factor: f64 = self
                    .classes
                    .iter()
                    .enumerate()
                    .filter(|(_, class)| class.joins_at_secs.is_none())
                    .map(|(class, of)| route.class_factor[class] * power(of) / total)
                    .sum();
                route.share / shares * route.work.mean_ms() * factor
            })
            .sum();
        1e3 * total / mean_ms
    }

    /// Mean time of a request on an idle server, milliseconds, blind to routes.
    pub(crate) fn unloaded_ms(&self) -> f32 {
        let cores: f64 =
            self.classes.iter().filter(|c| c.joins_at_secs.is_none()).map(|c| c.count as f64 * c.cores).sum();
        (cores / self.capacity_rps() * 1e3) as f32
    }

    /// All cells, in the order of the file.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for load in &self.loads {
            for proxies in &self.proxies {
                for (report_period_ms, piggyback) in
                    self.report_periods_ms.iter().flat_map(|period| self.piggyback.iter().map(move |p| (period, *p)))
                {
                    let (rate_rps, utilisation) = match load {
                        Load::Utilisation(ratio) => (ratio * self.capacity_rps(), Some(*ratio)),
                        Load::Rate(rate) => (*rate, None),
                    };
                    let (proxies, report_period_ms) = (*proxies, *report_period_ms);
                    cells.push(Cell { rate_rps, utilisation, proxies, report_period_ms, piggyback });
                }
            }
        }
        cells
    }

    /// Second of the measured time at which the last event begins.
    pub(crate) fn change_second(&self) -> usize {
        let begins = |event: &Event| match *event {
            Event::BrownOut { from_secs, .. } | Event::FailFast { from_secs, .. } => from_secs,
            Event::SwapClasses { at_secs, .. } => at_secs,
        };
        let last = self.events.iter().map(begins).fold(0.0, f64::max);
        (last - self.warmup_secs).max(0.0) as usize
    }

    /// Name of the class of each server, in slot order.
    pub fn class_names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests;
