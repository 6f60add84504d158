//! `summary.json`: what a demo or a live A/B found, in one stable shape for people, scripts and reports.
//!
//! Latencies are milliseconds from the *intended* send time to the last byte, nearest-rank percentiles.

use serde::{Deserialize, Serialize};

/// Version of the shape; bumped when a field changes its meaning or goes away.
pub const SUMMARY_VERSION: u32 = 1;

/// Latencies and errors of one policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed: status 500 or above, time-outs, broken connections.
    pub errors: u64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
}

/// A ratio of two percentiles with a 95 % interval from a bootstrap over blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Treatment over control.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Control and treatment side by side, for all requests or for one group of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was compared: a tenant group, a route.
    pub name: String,
    /// Under the control policy.
    pub control: ArmSummary,
    /// Under the treatment policy.
    pub treatment: ArmSummary,
    /// p99 of treatment over control.
    pub p99_ratio: Ratio,
}

/// The trained model, as it was judged on the held-out slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// First digits of the artefact's checksum.
    pub id: String,
    /// Rows trained on.
    pub rows: u64,
    /// Mean pinball loss over the quantiles, log units.
    pub loss: f64,
    /// Share of held-out requests at or below their p99 forecast.
    pub coverage: f64,
    /// Mean pinball loss of each baseline, by name.
    pub baselines: std::collections::BTreeMap<String, f64>,
    /// Seconds the training took.
    pub train_secs: f64,
}

/// The swap of the model under traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HotLoadSummary {
    /// Requests in flight or sent around the swap.
    pub requests: u64,
    /// Those that failed.
    pub failed_requests: u64,
    /// From the file being in place to the first decision that could use it.
    pub millis: f64,
}

/// Everything that the demo found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SUMMARY_VERSION`].
    pub version: u32,
    /// Version of Tailcast.
    pub tailcast: String,
    /// Seed of the run.
    pub seed: u64,
    /// Whether `--quick` was given.
    pub quick: bool,
    /// Seconds the whole took.
    pub elapsed_secs: f64,
    /// Round robin in the A/B.
    pub round_robin: ArmSummary,
    /// Predictive in the A/B.
    pub predictive: ArmSummary,
    /// p99 of predictive over round robin.
    pub p99_ratio: Ratio,
    /// The trained model.
    pub model: ModelSummary,
    /// The swap under traffic.
    pub hot_load: HotLoadSummary,
    /// Before and during the brown-out of one endpoint.
    pub phases: Vec<Comparison>,
    /// By tenant group.
    pub tenant_groups: Vec<Comparison>,
    /// By route.
    pub routes: Vec<Comparison>,
    /// How late the load generator itself was at its 99th percentile; latencies below this are not trustworthy.
    pub generator_lag_p99_ms: f64,
    /// Log rows written and dropped by the proxy.
    pub log_rows: u64,
    /// Log rows dropped.
    pub log_rows_dropped: u64,
}
