//! The `tailcast` binary: parse, set up logging, run one command, report its error.

use clap::Parser;
use std::process::ExitCode;
use tailcast::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    tailcast::logging::init(cli.verbose, matches!(cli.command, Command::Demo(_)));
    match tailcast::commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", tailcast::failure::text(&error));
            ExitCode::FAILURE
        }
    }
}
