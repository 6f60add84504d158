//! `tailcast eval ope`: what another way of routing would have given, estimated from a log.

use crate::args::EvalOpeArgs;
use crate::progress::Stage;
use crate::table::{layout, millis};
use anyhow::Context;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use tailcast_model::Model;
use tailcast_training::dataset::{Dataset, Propensities};
use tailcast_training::ope::{self, Estimate, Evaluation, ModelRule, OpeReport, OpeRow, Target};

/// Where `--threshold-ms` is not given: the share of the log's requests that are at or below the threshold.
const DEFAULT_THRESHOLD_SHARE: f64 = 0.99;

pub(super) fn run(args: &EvalOpeArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.model).with_context(|| format!("--model {}", args.model.display()))?;
    let source = super::train::source(args.log.as_deref(), args.trace.as_deref())?;
    let stage = Stage::new("reading and checking rows", 0, "");
    let (dataset, reports) = tailcast_training::dataset(source)?;
    stage.done(reports.summary());

    let threshold_ms = args.threshold_ms.unwrap_or_else(|| threshold(&dataset));
    let stage = Stage::new("estimating", 0, "");
    let targets = [Target::Logging, Target::Uniform, Target::of_model(&model, ModelRule::default())];
    let evaluation = ope::evaluate(&dataset, &targets, threshold_ms)?;
    stage.done(format!("{} decisions", evaluation.targets.first().map_or(0, |target| target.rows)));
    if let (Some(path), [.., target]) = (&args.rows, &targets) {
        write_rows(path, &ope::rows(&dataset, target, threshold_ms)?)
            .with_context(|| format!("--rows {}", path.display()))?;
    }
    if args.json { super::print_json(&evaluation) } else { super::print(&text(&evaluation)) }
}

/// The 99th percentile of the log.
fn threshold(dataset: &Dataset) -> f64 {
    let mut sorted: Vec<f64> = dataset.labels().iter().map(|ln_ms| f64::from(*ln_ms).exp()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    tailcast_testbed::stats::percentile(&sorted, DEFAULT_THRESHOLD_SHARE)
}

fn write_rows(path: &Path, rows: &[OpeRow]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

fn text(found: &Evaluation) -> String {
    let over = format!("% over {} ms", millis(found.threshold_ms));
    let mut text = layout(&["routing", "estimator", "mean ms", &over], &estimates(found));
    text.push('\n');
    let header = ["routing", "rows", "effective rows", "largest weight", "never possible"];
    let row = |one: &OpeReport| {
        vec![
            one.target.clone(),
            one.rows.to_string(),
            format!("{:.0}", one.effective_rows),
            format!("{:.1}", one.max_weight),
            format!("{:.1} %", one.unsupported_ratio * 100.0),
        ]
    };
    text.push_str(&layout(&header, &found.targets.iter().map(row).collect::<Vec<_>>()));
    text.push('\n');
    text.push_str(&weights(found));
    let propensities = match found.propensities {
        Propensities::Logged => "exact, as logged",
        Propensities::Estimated => "estimated from recent shares",
    };
    let decisions = found.targets.first().map_or(0, |target| target.rows);
    let _ = writeln!(
        text,
        "\n{decisions} decisions; left out: {} without the features of all candidates, {} made without chance; \
         propensities {propensities}; intervals at 95 %",
        found.rows_without_candidates, found.rows_deterministic
    );
    if let Some(beside) = &found.beside_live {
        let _ = writeln!(text, "{beside}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = writeln!(text, "\n{}", found.meaning);
    text
}

/// One row for each target and estimator.
fn estimates(found: &Evaluation) -> Vec<Vec<String>> {
    let interval = |one: Estimate, words: &dyn Fn(f64) -> String| {
        format!("{} [{}, {}]", words(one.value), words(one.low), words(one.high))
    };
    let percent = |ratio: f64| format!("{:.2}", ratio * 100.0);
    let mut rows = Vec::new();
    for one in &found.targets {
        for (name, ms, over) in [
            ("doubly robust", one.mean_ms_dr, one.over_ratio_dr),
            ("Switch-DR", one.mean_ms_switch_dr, one.over_ratio_switch_dr),
            ("SNIPS", one.mean_ms_snips, one.over_ratio_snips),
            ("IPS", one.mean_ms_ips, one.over_ratio_ips),
            ("direct method", one.mean_ms_dm, one.over_ratio_dm),
        ] {
            rows.push(vec![one.target.clone(), name.to_owned(), interval(ms, &millis), interval(over, &percent)]);
        }
        for (name, found) in
            [("IPS, Bernstein", one.over_ratio_bernstein), ("IPS, at any time", one.over_ratio_anytime)]
        {
            let over = format!("[{}, {}]", percent(found.low), percent(found.high));
            rows.push(vec![one.target.clone(), name.to_owned(), String::new(), over]);
        }
    }
    for one in &found.routed {
        let (ms, over) = (interval(one.mean_ms, &millis), interval(one.over_ratio, &percent));
        rows.push(vec![format!("log, {}", one.policy), format!("as routed, {} rows", one.rows), ms, over]);
    }
    rows
}

/// The histogram of the weights, of the targets that have more than one weight.
fn weights(found: &Evaluation) -> String {
    let end = |end: f64| if end >= 1.0 || end == 0.0 { format!("{end:.0}") } else { format!("{end:.1}") };
    let bars = found.targets.first().map_or(&[][..], |target| &target.weight_histogram);
    let names: Vec<String> = bars
        .iter()
        .map(|bar| match bar.up_to {
            Some(0.0) => "0".to_owned(),
            Some(up_to) => format!("≤ {}", end(up_to)),
            None => format!("> {}", end(bar.above)),
        })
        .collect();
    let header: Vec<&str> = ["% of rows of weight"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let row = |one: &OpeReport| {
        let share = |rows: usize| match rows {
            0 => "–".to_owned(),
            rows => format!("{:.1}", rows as f64 * 100.0 / one.rows.max(1) as f64),
        };
        [one.target.clone()].into_iter().chain(one.weight_histogram.iter().map(|bar| share(bar.rows))).collect()
    };
    layout(&header, &found.targets.iter().map(row).collect::<Vec<Vec<String>>>())
}
