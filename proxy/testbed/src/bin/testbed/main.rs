//! Emulated endpoints and open-loop load as processes, for benchmarks of any proxy.
//!
//! ```text
//! testbed endpoint --name a --workers 4 --route /=20 [--sigma 0.5] [--cache 24 --miss-factor 6] [--report-load] [--seed 1]
//! testbed load --to http://127.0.0.1:8080 --rate 1000 --seconds 60 --route /=1 --out samples.csv [--tenants 20 --zipf 1]
//!              [--seed 1] [--timeout 10]
//! ```
//!
//! `endpoint` prints its address, serves until its standard input ends (so it cannot outlive who started it), and then
//! prints its counters. `load` writes one line a request and prints a summary. Counters and summary are one line of JSON.
//!
//! Flags are read by hand: a parser of command lines would be built with everything that tests a proxy.

mod endpoint;
mod flags;
mod load;

use flags::{FlagError, Flags};
use std::process::ExitCode;

const USAGE: &str = "usage: testbed endpoint --name NAME --workers N --route PREFIX=MEAN_MS ...\n       \
                     testbed load --to URL --rate RPS --seconds S --route ROUTE=SHARE ... --out FILE";

/// What stops the program.
type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let done = match command.as_str() {
        "endpoint" => Flags::parse(arguments, &["report-load"]).map_err(Problem::from).and_then(endpoint::run),
        "load" => Flags::parse(arguments, &[]).map_err(Problem::from).and_then(load::run),
        _ => Err(Problem::from(FlagError::Command(command))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            if problem.is::<FlagError>() {
                eprintln!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}
