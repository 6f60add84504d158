//! One file a subcommand: resolves the arguments, calls the library, prints what came of it.

mod check;
mod demo;
mod eval_live;
mod eval_ope;
mod eval_simulate;
mod import;
mod model;
mod model_import;
mod registry;
mod registry_follow;
mod replay;
mod run;
mod train;

use crate::args::{Command, EvalCommand, ModelCommand, ReplayCommand, ReplaySubcommand};
use anyhow::Context;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tailcast_datasets::Trace;

/// Runs one subcommand.
///
/// # Errors
/// Whatever went wrong, with its context.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args)?,
        Command::Run(args) => run::run(&args)?,
        Command::Check(args) => check::run(&args)?,
        Command::Train(args) => return train::run(&args),
        Command::Replay(ReplayCommand { import: Some(ReplaySubcommand::Import(args)), .. }) => import::run(&args)?,
        Command::Replay(ReplayCommand { import: None, replay }) => replay::run(&replay)?,
        Command::Eval(EvalCommand::Live(args)) => eval_live::run(&args)?,
        Command::Eval(EvalCommand::Ope(args)) => eval_ope::run(&args)?,
        Command::Eval(EvalCommand::Simulate(args)) => eval_simulate::run(&args)?,
        Command::Model(ModelCommand::Inspect(args)) => model::inspect(&args)?,
        Command::Model(ModelCommand::Verify(args)) => return model::verify(&args),
        Command::Model(ModelCommand::Import(args)) => return model_import::run(&args),
        Command::Model(ModelCommand::List(args)) => registry::list(&args)?,
        Command::Model(ModelCommand::Promote(args)) => registry::promote(&args)?,
        Command::Model(ModelCommand::Rollback(args)) => registry::rollback(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints to stdout; a reader that went away (`| head`) is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON with a final newline.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Reads a trace by file name, or the built-in one by the name `demo`.
fn read_trace(name: &str) -> anyhow::Result<Trace> {
    if name == "demo" {
        return Ok(tailcast_datasets::demo_trace()?);
    }
    Ok(Trace::read(Path::new(name))?)
}
