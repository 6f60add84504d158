//! The command line: every subcommand, its options and their help texts. Parsing is clap's; what the options
//! mean is resolved in `commands/`.

mod eval;
mod examples;
mod model_import;
mod replay;

pub use eval::{EvalCommand, EvalLiveArgs, EvalOpeArgs, EvalSimulateArgs};
pub use model_import::ModelImportArgs;
pub use replay::{ImportArgs, ReplayArgs, ReplayCommand, ReplaySubcommand};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use tailcast_balance::PolicyKind;

/// An adaptive HTTP load balancer that learns: it forecasts the tail latency that each endpoint would give to
/// this request, for this tenant, now, and routes on the forecast.
#[derive(Debug, Parser)]
#[command(name = "tailcast", version, max_term_width = 100, after_help = examples::EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More log lines on stderr (-v info, -vv debug, -vvv trace); TAILCAST_LOG sets a filter instead.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// The subcommands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole loop: emulated endpoints, recorded traffic, training, hot load, A/B against round robin.
    ///
    /// Needs no configuration and no network but loopback. Writes summary.json, report.html, the log and the
    /// model to --out. Exits with 0 only if every step of the loop completed.
    Demo(DemoArgs),
    /// Run the proxy until SIGTERM or SIGINT; requests in flight are then finished.
    Run(RunArgs),
    /// Validate a configuration and print what was understood.
    Check(CheckArgs),
    /// Train a model from the proxy's log, or from an imported trace of another recorder.
    ///
    /// Prints the rows read and rejected, the split by time, loss and coverage of the model and of the baselines on
    /// the held-out part, and what the model looks at. A model that loses to a baseline is not written, and the
    /// exit status is 1. With --registry the model is published under the next number, and becomes the champion if it
    /// passes the gate: lower loss than the champion on the newest slice, coverage within bounds, no tenant group
    /// worse by more than 5 %, decisions within their time.
    Train(TrainArgs),
    /// Replay recorded traffic, open loop, or import it from another recorder's format.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Replay(ReplayCommand),
    /// Compare policies: live on sockets, off-policy from a log, or by simulation.
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Look into a model file, import one that LightGBM or XGBoost trained, or look into a registry of models: list,
    /// promote, roll back.
    #[command(subcommand)]
    Model(ModelCommand),
}

/// `tailcast demo`.
#[derive(Debug, Args)]
#[command(after_help = examples::DEMO_EXAMPLES)]
pub struct DemoArgs {
    /// Fewer requests, for a first look or for CI (under a minute instead of a minute and a half).
    #[arg(long)]
    pub quick: bool,
    /// Print the summary as JSON on stdout.
    #[arg(long)]
    pub json: bool,
    /// Directory for summary.json, report.html, hero.svg, model.tailcast and log/; must be empty or absent.
    #[arg(long, value_name = "DIR", default_value = "tailcast-out")]
    pub out: PathBuf,
    /// Seed of endpoints, policies and training.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write into --out even if it already holds something.
    #[arg(long)]
    pub force: bool,
}

/// `tailcast run`.
#[derive(Debug, Args)]
#[command(after_help = examples::RUN_EXAMPLES)]
pub struct RunArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Model to serve with, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Registry whose champion to serve with and to follow, instead of the configuration's model.
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub registry: Option<PathBuf>,
    /// Policy for all pools, instead of the configuration's.
    #[arg(long, value_name = "NAME", value_parser = policy)]
    pub policy: Option<PolicyKind>,
}

/// `tailcast check`.
#[derive(Debug, Args)]
#[command(after_help = examples::CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `tailcast train`.
#[derive(Debug, Args)]
#[command(after_help = examples::TRAIN_EXAMPLES)]
pub struct TrainArgs {
    /// Directory of log segments that the proxy wrote (*.parquet, *.arrow); this or --trace is needed.
    #[arg(long, value_name = "DIR", required_unless_present = "trace", conflicts_with = "trace")]
    pub log: Option<PathBuf>,
    /// Imported trace that carries endpoint and latency (see `tailcast replay import`).
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where to write the model; this or --registry is needed.
    #[arg(long, value_name = "MODEL", required_unless_present = "registry")]
    pub out: Option<PathBuf>,
    /// Registry to publish the model in; made where there is none.
    #[arg(long, value_name = "DIR")]
    pub registry: Option<PathBuf>,
    /// Go on for ever: train again on what is new in the log, on a timer and at once on drift, each time going on from
    /// the champion.
    #[arg(long, requires_all = ["log", "registry"], conflicts_with_all = ["out", "report", "trace"])]
    pub follow: bool,
    /// With --follow: the interval, as in 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "follow", value_parser = interval)]
    pub every: Duration,
    /// With --follow: end after so many runs.
    #[arg(long, value_name = "N", requires = "follow")]
    pub runs: Option<u64>,
    /// Write or promote the model even if it loses.
    #[arg(long)]
    pub force: bool,
    /// Seed of sampling and fitting.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Trees at most; training stops earlier where more do not help.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub rounds: usize,
    /// Rows to learn from at most; of more, a sample is taken that keeps rare tenants, endpoints and loads. With
    /// --follow the newest rows.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub max_rows: usize,
    /// Threads; 0 takes as many as there are cores. The model does not depend on it.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// Write an HTML report with plots here.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the training report as JSON on stdout; with --follow one line a run.
    #[arg(long)]
    pub json: bool,
}

/// `tailcast model …`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Print what the file holds: quantiles, training window, metrics, top features.
    Inspect(ModelArgs),
    /// Validate the file in full, as the proxy does before a swap. Exits with 1 if it would be refused.
    Verify(ModelArgs),
    /// Make a model of one that LightGBM or XGBoost trained; it then forecasts what the library predicts.
    ///
    /// The label must have been the natural log of the latency in milliseconds, the features those of the schema (the
    /// columns f_* of the log) under their names in any order, missing values NaN. Levels are read from the files where
    /// they say them.
    Import(ModelImportArgs),
    /// List a registry: its models, what the gate said of each, and which is champion, previous and shadow.
    List(ListArgs),
    /// Make a model of a registry the champion, whatever the gate said; the champion before becomes the previous.
    Promote(PromoteArgs),
    /// Take the champion of a registry back: the previous model serves again, the one taken back becomes the shadow.
    Rollback(RollbackArgs),
}

/// `tailcast model list`.
#[derive(Debug, Args)]
#[command(after_help = examples::REGISTRY_EXAMPLES)]
pub struct ListArgs {
    /// The registry.
    pub registry: PathBuf,
    /// Also print the kept changes of the pointers.
    #[arg(long)]
    pub changes: bool,
    /// Print as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `tailcast model promote`.
#[derive(Debug, Args)]
#[command(after_help = examples::REGISTRY_EXAMPLES)]
pub struct PromoteArgs {
    /// The registry.
    pub registry: PathBuf,
    /// Number of the model.
    pub number: u64,
    /// Make it the shadow instead, which is watched and never used.
    #[arg(long)]
    pub shadow: bool,
    /// Why, for those who read the changes later.
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    pub why: String,
}

/// `tailcast model rollback`.
#[derive(Debug, Args)]
#[command(after_help = examples::REGISTRY_EXAMPLES)]
pub struct RollbackArgs {
    /// The registry.
    pub registry: PathBuf,
    /// Why, for those who read the changes later.
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    pub why: String,
}

/// A model file.
#[derive(Debug, Args)]
#[command(after_help = examples::MODEL_EXAMPLES)]
pub struct ModelArgs {
    /// The file.
    pub file: PathBuf,
    /// Print as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Shortest interval: below that a run would seldom be over when the next begins.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

fn interval(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| "expected a time as in 30s, 5m or 1h".to_owned())?;
    let interval = Duration::try_from(parsed).map_err(|error| error.to_string())?;
    if interval < SHORTEST_INTERVAL { Err("expected at least 1s".to_owned()) } else { Ok(interval) }
}

fn policy(name: &str) -> Result<PolicyKind, String> {
    name.parse().map_err(|error: tailcast_balance::policy::UnknownPolicy| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_policy_names_the_right_ones() {
        let error = Cli::try_parse_from(["tailcast", "run", "--config", "x", "--policy", "magic"]);
        let text = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("round_robin"), "{text}");
    }

    #[test]
    fn an_interval_has_a_unit_and_is_a_second_or_more() {
        assert_eq!(interval("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(interval("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(interval("30").is_err() && interval("10ms").is_err() && interval("-5s").is_err());
        let follow = ["tailcast", "train", "--log", "l", "--registry", "r", "--follow", "--every", "5m"];
        assert!(Cli::try_parse_from(follow).is_ok());
        assert!(Cli::try_parse_from(["tailcast", "train", "--trace", "t", "--registry", "r", "--follow"]).is_err());
        assert!(Cli::try_parse_from(["tailcast", "train", "--log", "l"]).is_err());
    }

    #[test]
    fn replay_needs_a_trace_unless_it_imports() {
        assert!(Cli::try_parse_from(["tailcast", "replay"]).is_err());
        assert!(Cli::try_parse_from(["tailcast", "replay", "--trace", "a", "--to", "http://x"]).is_ok());
        assert!(Cli::try_parse_from(["tailcast", "replay", "import", "--format", "clf", "a", "b"]).is_ok());
    }
}
