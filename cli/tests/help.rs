//! What the binary says of itself: a help for every command, and honest refusals.

#![allow(clippy::unwrap_used)]

mod support;

use clap::{Command, CommandFactory};
use support::tailcast as run;

/// Every subcommand, as the words that lead to it.
fn paths(command: &Command, above: &[String]) -> Vec<Vec<String>> {
    let mut all = vec![above.to_vec()];
    for below in command.get_subcommands() {
        let path: Vec<String> = above.iter().cloned().chain([below.get_name().to_owned()]).collect();
        all.extend(paths(below, &path));
    }
    all
}

#[test]
fn every_subcommand_has_a_help_that_says_how_it_is_used() {
    let all = paths(&tailcast::args::Cli::command(), &[]);
    assert!(all.len() > 12, "{all:?}");
    for path in all {
        let ran = run(path.iter().map(String::as_str).chain(["--help"])).expect_code(0);
        let help = ran.stdout();
        assert!(help.contains("Usage: tailcast"), "{path:?}:\n{help}");
        assert!(ran.stderr().is_empty(), "{path:?}: {}", ran.stderr());
        assert!(!help.contains('\u{1b}'), "{path:?}: colours where there is no terminal");
    }
}

#[test]
fn the_main_commands_show_examples_that_parse() {
    use clap::Parser;
    for command in ["demo", "run", "check", "train", "replay"] {
        let help = run([command, "--help"]).stdout();
        let is_example = |line: &&str| line.starts_with(&format!("tailcast {command}")) && !line.contains(['<', '[']);
        let example = help.lines().map(str::trim).find(is_example);
        let example = example.unwrap_or_else(|| panic!("no example of {command}:\n{help}"));
        let words = example.split('>').next().unwrap_or_default().split_whitespace();
        assert!(tailcast::args::Cli::try_parse_from(words).is_ok(), "{example}");
    }
}

#[test]
fn a_scenario_that_is_missing_or_wrong_is_named() {
    let ran = run(["eval", "simulate", "no-such-scenario.toml"]).expect_code(1);
    assert!(ran.stderr().contains("no-such-scenario.toml"), "{}", ran.stderr());
    assert!(ran.stdout().is_empty());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scenario.toml");
    std::fs::write(&file, "name = \"x\"\nno_such_key = 1\n").unwrap();
    let ran = run(["eval", "simulate", file.to_str().unwrap()]).expect_code(1);
    assert!(ran.stderr().contains("no_such_key"), "{}", ran.stderr());
}

#[test]
fn a_wrong_command_line_exits_with_2_and_names_what_is_allowed() {
    let ran = run(["run", "--config", "x", "--policy", "magic"]).expect_code(2);
    assert!(ran.stderr().contains("round_robin") && ran.stderr().contains("predictive"), "{}", ran.stderr());
    let ran = run(["replay", "import", "--format", "parquet", "a", "b"]).expect_code(2);
    assert!(ran.stderr().contains("haproxy"), "{}", ran.stderr());
    let ran = run(["train", "--out", "m"]).expect_code(2);
    assert!(ran.stderr().contains("--log") || ran.stderr().contains("--trace"), "{}", ran.stderr());
}
