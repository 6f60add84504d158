//! A scenario file as it stands: every key, unknown ones refused. Checked and resolved in `validate`.

use super::work::WorkLaw;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    pub(super) name: String,
    #[serde(default)]
    pub(super) about: String,
    pub(super) run: RawRun,
    pub(super) clients: RawClients,
    pub(super) load: RawLoad,
    #[serde(default)]
    pub(super) tenants: RawTenants,
    #[serde(default)]
    pub(super) routes: Vec<RawRoute>,
    pub(super) servers: Vec<RawServers>,
    #[serde(default)]
    pub(super) cache: Option<RawCache>,
    #[serde(default)]
    pub(super) antagonists: Option<RawAntagonists>,
    #[serde(default)]
    pub(super) signals: RawSignals,
    #[serde(default)]
    pub(super) events: Vec<RawEvent>,
    #[serde(default)]
    pub(super) windows: Vec<RawWindow>,
    #[serde(default)]
    pub(super) training: RawTraining,
    #[serde(default)]
    pub(super) marks: Vec<RawMark>,
    #[serde(default)]
    pub(super) trace: Option<RawTrace>,
    #[serde(default)]
    pub(super) admission: Option<RawAdmission>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRun {
    pub(super) warmup_secs: f64,
    pub(super) measure_secs: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClients {
    pub(super) proxies: Vec<usize>,
    #[serde(default = "five_seconds")]
    pub(super) timeout_ms: f64,
    #[serde(default = "yes")]
    pub(super) cancel_on_timeout: bool,
    #[serde(default = "tenth")]
    pub(super) network_delay_ms: f64,
}

fn five_seconds() -> f64 {
    5_000.0
}

fn yes() -> bool {
    true
}

fn tenth() -> f64 {
    0.1
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLoad {
    #[serde(default)]
    pub(super) utilisation: Vec<f64>,
    #[serde(default)]
    pub(super) rate_rps: Vec<f64>,
    #[serde(default)]
    pub(super) profile: Vec<RawPoint>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPoint {
    pub(super) at_secs: f64,
    pub(super) factor: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTenants {
    pub(super) count: usize,
    pub(super) zipf: f64,
    pub(super) newcomers: usize,
    pub(super) newcomers_at_secs: f64,
    pub(super) newcomers_share: f64,
}

impl Default for RawTenants {
    fn default() -> Self {
        Self { count: 1, zipf: 0.0, newcomers: 0, newcomers_at_secs: 0.0, newcomers_share: 0.0 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) path: String,
    #[serde(default = "one")]
    pub(super) share: f64,
    pub(super) work: WorkLaw,
    /// Factor of the work on each class of server, in the order of `[[servers]]`.
    #[serde(default)]
    pub(super) class_factor: Vec<f64>,
    /// Declared body bytes a millisecond of work: a visible hint of the cost.
    #[serde(default)]
    pub(super) body_bytes_per_ms: Option<f64>,
    /// Standard deviation of the logarithm of that hint.
    #[serde(default)]
    pub(super) body_sigma: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServers {
    pub(super) class: String,
    pub(super) count: usize,
    pub(super) cores: f64,
    #[serde(default = "one")]
    pub(super) speed: f64,
    #[serde(default)]
    pub(super) workers: Option<u32>,
    #[serde(default)]
    pub(super) queue: Option<u32>,
    /// Joins the pool then instead of at the start.
    #[serde(default)]
    pub(super) joins_at_secs: Option<f64>,
    #[serde(default)]
    pub(super) warms_over_secs: f64,
    #[serde(default = "one")]
    pub(super) warms_from: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    pub(super) tenants: usize,
    pub(super) miss_factor: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAntagonists {
    /// Share of time that a server's machine is contended.
    pub(super) share: f64,
    pub(super) mean_on_secs: f64,
    /// Cores left under contention, over the nominal cores.
    pub(super) guarantee: f64,
    /// Cores without contention, over the nominal cores.
    pub(super) spill: f64,
    /// Speed of a core under contention: caches and memory are shared too, so the same query takes more CPU.
    #[serde(default = "one")]
    pub(super) speed: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSignals {
    /// Whether load reports ride on the answers. Several values are several cells.
    pub(super) piggyback: Vec<bool>,
    /// Period of load reports pushed to every proxy; 0 none. Several values are several cells.
    pub(super) period_ms: Vec<f64>,
    /// Probes that a predictive proxy sends for each request, to random servers; peers send their published number.
    pub(super) probes: usize,
    /// Whether probe answers are as old as pushed reports in the mean: half a period later than fresh ones.
    pub(super) stale_probes: bool,
    /// Further delay of probe answers and reports.
    pub(super) delay_ms: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawEvent {
    /// Servers `first..first+count` run at `factor` of their speed.
    BrownOut { from_secs: f64, until_secs: f64, first: usize, count: usize, factor: f64 },
    /// They answer 503 at once.
    FailFast { from_secs: f64, until_secs: f64, first: usize, count: usize },
    /// The class factors of a route are reversed.
    SwapClasses { at_secs: f64, route: usize },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindow {
    pub(super) name: String,
    pub(super) from_secs: f64,
    pub(super) until_secs: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTraining {
    pub(super) log_secs: f64,
    pub(super) rounds: usize,
    pub(super) retrain_every_secs: f64,
    pub(super) max_rows: usize,
}

impl Default for RawTraining {
    fn default() -> Self {
        Self { log_secs: 40.0, rounds: 1, retrain_every_secs: 0.0, max_rows: 150_000 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMark {
    pub(super) metric: String,
    pub(super) against: String,
    pub(super) at_most: f64,
}

/// Admission at every proxy; what is not given is as in production.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmission {
    pub(super) tolerance: Option<f64>,
    pub(super) queue_target_ms: Option<f64>,
    pub(super) queue_interval_ms: Option<f64>,
    pub(super) queue_requests: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrace {
    pub(super) format: String,
    pub(super) file: String,
}
