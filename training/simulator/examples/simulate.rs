//! Runs a scenario: `simulate SCENARIO.toml [--policies a,b] [--seeds N] [--only LABEL] [--ablation] [--json F]
//! [--markdown F] [--set key=value]…`, where a key is a dotted path into the balancer's options.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use tailcast_balance::BalancerOptions;
use tailcast_simulator::{Policy, Progress, Scenario, SimulateOptions, simulate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("a scenario file is needed")?;
    let mut options = SimulateOptions { seeds: 3, ..SimulateOptions::default() };
    let (mut json, mut markdown, mut seconds) = (None, None, None);
    let mut settings: toml::Table = toml::Table::try_from(BalancerOptions::default())?;
    while let Some(flag) = arguments.next() {
        if flag == "--ablation" {
            options.ablation = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--policies" => options.policies = value.split(',').map(str::parse::<Policy>).collect::<Result<_, _>>()?,
            "--seeds" => options.seeds = value.parse()?,
            "--only" => options.only = Some(value),
            "--json" => json = Some(value),
            "--markdown" => markdown = Some(value),
            "--measure-secs" => seconds = Some(value.parse::<f64>()?),
            "--set" => {
                let (key, value) = value.split_once('=').ok_or("--set needs key=value")?;
                set(&mut settings, key, value)?;
            }
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    options.balancer = settings.try_into()?;
    let mut scenario = Scenario::load(Path::new(&file))?;
    if let Some(measure) = seconds {
        let (warmup, _) = scenario.seconds();
        scenario = scenario.with_seconds(warmup, measure);
    }
    let report = simulate(&scenario, &options, &mut |progress| match progress {
        Progress::Learning { cell } => eprintln!("{cell}: learning"),
        Progress::Row { cell, policy, p99_ms } => eprintln!("{cell}: {policy} p99 {p99_ms:.1} ms"),
    })?;
    println!("{}", report.text());
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = markdown {
        std::fs::write(path, report.text())?;
    }
    Ok(())
}

/// Sets a dotted key, as the type that it has.
fn set(settings: &mut toml::Table, key: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let mut table = settings;
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().ok_or("an empty key")?;
    for part in parts {
        table = table.get_mut(part).and_then(|value| value.as_table_mut()).ok_or_else(|| format!("no table {part}"))?;
    }
    let value = match table.get(last) {
        Some(toml::Value::Float(_)) => toml::Value::Float(text.parse()?),
        Some(toml::Value::Integer(_)) => toml::Value::Integer(text.parse()?),
        Some(toml::Value::Boolean(_)) => toml::Value::Boolean(text.parse()?),
        Some(_) => toml::Value::String(text.to_owned()),
        None => return Err(format!("no option {key}").into()),
    };
    table.insert(last.to_owned(), value);
    Ok(())
}
