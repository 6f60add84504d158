//! The command line of `tailcast eval`.

use super::examples::{LIVE_EXAMPLES, OPE_EXAMPLES, SIMULATE_EXAMPLES};
use super::policy;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tailcast_balance::PolicyKind;

/// `tailcast eval …`.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// A/B of two policies: on sockets, the same traffic in alternating blocks of one run; or from the log of a proxy
    /// that routed a share of its traffic by the control.
    Live(EvalLiveArgs),
    /// Off-policy estimate of a model's routing from a log of another policy: IPS, SNIPS, the direct method, doubly
    /// robust and Switch-DR.
    ///
    /// Needs a log whose policy decided by chance and whose rows carry the features of all candidates
    /// (candidate_features_share of the log), or an imported trace. It answers what one different decision would have
    /// given, not what a deployment would: for that there is `eval live`.
    Ope(EvalOpeArgs),
    /// Compare policies in a simulation that runs the proxy's own balancer: deterministic by seed, no sockets.
    Simulate(EvalSimulateArgs),
}

/// `tailcast eval live`.
#[derive(Debug, Args)]
#[command(after_help = LIVE_EXAMPLES)]
pub struct EvalLiveArgs {
    /// Proxy to send the traffic to: http://host:port.
    #[arg(long, value_name = "URL", requires = "admin", required_unless_present_any = ["config", "from_log"])]
    pub to: Option<String>,
    /// Send nothing: compare the rows of both policies in this log, with a test that may be looked at any time.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["to", "admin", "config", "model", "report", "pairs", "speed"])]
    pub from_log: Option<PathBuf>,
    /// Its admin listener, over which the policy is switched: http://host:port.
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Start a proxy from this configuration instead of using a running one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "admin"])]
    pub config: Option<PathBuf>,
    /// With --config: the model to serve with.
    #[arg(long, value_name = "FILE", requires = "config")]
    pub model: Option<PathBuf>,
    /// Pool whose policy is switched (default: all pools).
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Trace to replay: a Parquet file that `tailcast replay import` wrote, or `demo` for the built-in one.
    #[arg(long, value_name = "FILE", default_value = "demo")]
    pub trace: String,
    /// Control policy.
    #[arg(long, default_value = "round_robin", value_name = "NAME", value_parser = policy)]
    pub control: PolicyKind,
    /// Treatment policy.
    #[arg(long, default_value = "predictive", value_name = "NAME", value_parser = policy)]
    pub treatment: PolicyKind,
    /// Length of one block, seconds; with --from-log at least so long.
    #[arg(long, default_value_t = 5.0, value_name = "SECS")]
    pub block: f64,
    /// Pairs of blocks.
    #[arg(long, default_value_t = 6, value_name = "N")]
    pub pairs: usize,
    /// Time runs this many times faster.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub speed: f64,
    /// Request header that carries the tenant.
    #[arg(long, default_value = "x-tenant", value_name = "NAME")]
    pub tenant_header: String,
    /// Write the HTML report here.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `tailcast eval ope`.
#[derive(Debug, Args)]
#[command(after_help = OPE_EXAMPLES)]
pub struct EvalOpeArgs {
    /// Directory of log segments that the proxy wrote; this or --trace is needed.
    #[arg(long, value_name = "DIR", required_unless_present = "trace", conflicts_with = "trace")]
    pub log: Option<PathBuf>,
    /// Imported trace with endpoint and latency; propensities are then estimated from traffic shares.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Model whose routing is estimated.
    #[arg(long, value_name = "MODEL")]
    pub model: PathBuf,
    /// Also estimate the share of requests slower than this (default: the p99 of the log).
    #[arg(long, value_name = "MS")]
    pub threshold_ms: Option<f64>,
    /// Write the decisions here, one JSON a line: propensities, the model's probabilities, costs, expected costs.
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `tailcast eval simulate`.
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_EXAMPLES)]
pub struct EvalSimulateArgs {
    /// Scenario file (TOML); those of the project are in tests/scenarios.
    pub scenario: PathBuf,
    /// Policies to compare, separated by commas (default: all that are built in).
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// Seeds, each a run of its own; intervals are over them.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub seeds: u64,
    /// Only cells of the scenario whose label contains this.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Add a row without each part of the predictive rule.
    #[arg(long)]
    pub ablation: bool,
    /// Also write the report here, as one HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Also write the report here, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Print the report as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}
