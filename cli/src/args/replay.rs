//! The command line of `tailcast replay`.

use super::examples::{IMPORT_EXAMPLES, REPLAY_EXAMPLES};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tailcast_datasets::import::Format;

/// `tailcast replay`, with or without `import`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayCommand {
    /// `import`, where given.
    #[command(subcommand)]
    pub import: Option<ReplaySubcommand>,
    /// Options of the replay itself.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

/// `tailcast replay --trace F --to URL`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Trace to replay: a Parquet file that `tailcast replay import` wrote, or `demo` for the built-in one.
    #[arg(long, value_name = "FILE", required = true)]
    pub trace: Option<String>,
    /// Where to send it: http://host:port[/base].
    #[arg(long, value_name = "URL", required = true)]
    pub to: Option<String>,
    /// Time runs this many times faster.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub speed: f64,
    /// Skip this many seconds of the trace.
    #[arg(long, default_value_t = 0.0, value_name = "SECS")]
    pub from: f64,
    /// Replay this many seconds of the trace (trace time, before --speed).
    #[arg(long, value_name = "SECS")]
    pub duration: Option<f64>,
    /// A request without an answer after this long is an error.
    #[arg(long, default_value_t = 10.0, value_name = "SECS")]
    pub timeout: f64,
    /// Request header that carries the tenant.
    #[arg(long, default_value = "x-tenant", value_name = "NAME")]
    pub tenant_header: String,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Subcommands of `tailcast replay`.
#[derive(Debug, Subcommand)]
pub enum ReplaySubcommand {
    /// Import another recorder's log into the trace schema.
    Import(ImportArgs),
}

/// `tailcast replay import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// Format of the input: csv, jsonl, clf, nginx, haproxy, elb, heroku or envoy.
    #[arg(long, value_name = "NAME", value_parser = format)]
    pub format: Format,
    /// Log to read, plain or gzip; `-` reads stdin.
    pub input: PathBuf,
    /// Trace to write (Parquet).
    pub output: PathBuf,
    /// csv and jsonl: which column is which, e.g. `arrival=TIMESTAMP,tenant==shop,latency=duration:s`.
    #[arg(long, value_name = "MAP")]
    pub map: Option<String>,
    /// nginx: the `log_format` string of the server.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Tenant of rows whose log names none.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Where to put a sample of the lines that could not be read (default: OUTPUT with .rejects appended).
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Print the import report as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

fn format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|error: tailcast_datasets::import::UnknownFormat| error.to_string())
}
