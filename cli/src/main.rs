//! The `tailcast` binary: parse, set up logging, run one command, report its error.

use clap::Parser;
use std::process::ExitCode;
use tailcast::args::{Cli, Command};

/// Some thirty allocations a request are hyper's; this allocator makes each a few instructions. See docs/decisions/005.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
