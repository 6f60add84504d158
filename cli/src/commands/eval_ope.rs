//! `tailcast eval ope`: what another way of routing would have given, estimated from a log.

use crate::args::EvalOpeArgs;
use crate::progress::Stage;
use crate::table::{layout, millis};
use anyhow::Context;
use std::fmt::Write;
use tailcast_model::Model;
use tailcast_training::dataset::{Dataset, Propensities};
use tailcast_training::ope::{self, Estimate, Evaluation, ModelRule, Target};

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
    if args.json { super::print_json(&evaluation) } else { super::print(&text(&evaluation)) }
}

/// The 99th percentile of the log.
fn threshold(dataset: &Dataset) -> f64 {
    let mut sorted: Vec<f64> = dataset.labels().iter().map(|ln_ms| f64::from(*ln_ms).exp()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    tailcast_testbed::stats::percentile(&sorted, DEFAULT_THRESHOLD_SHARE)
}

fn text(found: &Evaluation) -> String {
    let interval = |one: Estimate, words: &dyn Fn(f64) -> String| {
        format!("{} [{}, {}]", words(one.value), words(one.low), words(one.high))
    };
    let percent = |ratio: f64| format!("{:.2}", ratio * 100.0);
    let rows: Vec<Vec<String>> = found
        .targets
        .iter()
        .map(|one| {
            vec![
                one.target.clone(),
                interval(one.mean_ms_snips, &millis),
                interval(one.mean_ms_ips, &millis),
                interval(one.over_ratio_snips, &percent),
                interval(one.over_ratio_ips, &percent),
                format!("{:.0}", one.effective_rows),
                format!("{:.1}", one.max_weight),
            ]
        })
        .collect();
    let over = format!("% over {} ms, SNIPS", millis(found.threshold_ms));
    let header = ["routing", "mean ms, SNIPS", "mean ms, IPS", &over, "the same, IPS", "effective rows", "max weight"];
    let mut text = layout(&header, &rows);
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
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = writeln!(text, "\n{}", found.meaning);
    text
}
