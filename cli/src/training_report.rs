//! What a training run says of itself, as text for the terminal and as a part of a summary.

use crate::summary::ModelSummary;
use crate::table::layout;
use std::fmt::Write;
use std::time::Duration;
use tailcast_training::TrainReport;
use tailcast_training::Trained;
use tailcast_training::judge::{Judgement, Score};
use tailcast_training::split::Slice;

/// Features that are named: enough to see what the model looks at.
const TOP_FEATURES: usize = 8;

/// The report as text: rows, rejections, split, losses, features, bandit.
pub fn text(report: &TrainReport) -> String {
    let mut text = rows(report);
    text.push_str(&split(report));
    text.push('\n');
    text.push_str(&judgement(&report.judgement));
    text.push('\n');
    let line = |text: &mut String, name: &str, value: &str| _ = writeln!(text, "{name:<13} {value}");
    line(&mut text, "model", &format!("{}, {} trees ({})", report.model_id, report.trees, report.setting));
    let features: Vec<String> = report
        .top_features
        .iter()
        .take(TOP_FEATURES)
        .map(|(name, share)| format!("{name} {:.0} %", share * 100.0))
        .collect();
    line(&mut text, "top features", &features.join(", "));
    let groups: Vec<String> =
        report.groups.iter().map(|group| format!("{} tenants / {} rows", group.tenants, group.rows)).collect();
    line(&mut text, "tenant groups", &groups.join(", "));
    line(&mut text, "bandit", &report.bandit.verdict);
    line(&mut text, "error head", &report.errors.note);
    let secs: f64 = report.stage_secs.iter().map(|(_, secs)| secs).sum();
    let slow: Vec<String> = report
        .stage_secs
        .iter()
        .filter(|(_, stage)| *stage >= secs * 0.1)
        .map(|(name, secs)| format!("{name} {secs:.1} s"))
        .collect();
    line(&mut text, "time", &format!("{secs:.1} s ({})", slow.join(", ")));
    text
}

/// The part of a summary that is about the model.
pub fn summary(trained: &Trained, took: Duration) -> ModelSummary {
    let judgement = &trained.report.judgement;
    ModelSummary {
        id: trained.report.model_id.clone(),
        rows: trained.report.rows as u64,
        loss: judgement.champion.mean_pinball,
        coverage: trained.report.p99_coverage(),
        baselines: judgement.baselines.iter().map(|one| (one.name.clone(), one.mean_pinball)).collect(),
        train_secs: took.as_secs_f64(),
    }
}

/// A moment, to the second, UTC.
pub fn moment(unix_us: i64) -> String {
    let secs = jiff::Timestamp::from_second(unix_us.div_euclid(1_000_000));
    secs.map_or_else(|_| format!("{unix_us} µs"), |moment| moment.to_string())
}

/// A quantile level as people say it: `p99`, `p99.9`.
pub fn level(level: f32) -> String {
    format!("p{}", (f64::from(level) * 1e5).round() / 1e3)
}

fn rows(report: &TrainReport) -> String {
    let mut text = String::new();
    if let Some(load) = &report.load {
        let (count, s) = (load.segments.len(), if load.segments.len() == 1 { "" } else { "s" });
        let _ = writeln!(text, "{:<13} {} read from {count} segment{s}", "rows", load.rows());
        for segment in load.segments.iter().filter(|segment| segment.damaged_bytes > 0) {
            let _ = writeln!(
                text,
                "  cut off     {}: {} bytes at its end hold no whole batch",
                segment.name, segment.damaged_bytes
            );
        }
        for file in &load.skipped {
            let _ = writeln!(text, "  skipped     {}: {}", file.name, file.reason);
        }
    }
    if let Some(quality) = &report.quality {
        for rejection in &quality.rejected {
            let _ = writeln!(text, "  rejected    {} by {}: {}", rejection.count, rejection.check, rejection.reason);
            if let Some(sample) = rejection.samples.first() {
                let _ = writeln!(text, "              such as {sample}");
            }
        }
        let _ = writeln!(text, "  kept        {} of {}", quality.kept, quality.rows);
    }
    if let Some(trace) = &report.trace {
        let _ = writeln!(text, "{:<13} {} in the trace", "rows", trace.rows);
        for (count, why) in
            [(trace.without_endpoint, "name no endpoint"), (trace.without_latency, "have no usable latency")]
        {
            if count > 0 {
                let _ = writeln!(text, "  left out    {count} that {why}");
            }
        }
        let _ = writeln!(text, "  kept        {}, {} endpoints in {} pools", trace.used, trace.endpoints, trace.pools);
        if !trace.note.is_empty() {
            let _ = writeln!(text, "  note        {}", trace.note);
        }
    }
    let _ = writeln!(text, "  learned from {}", report.rows);
    text
}

fn split(report: &TrainReport) -> String {
    let parts =
        [("train", report.split.train), ("calibration", report.split.calibration), ("held out", report.split.test)];
    let row = |(name, slice): (&str, Slice)| {
        vec![name.to_owned(), slice.rows.to_string(), moment(slice.from_us), moment(slice.until_us)]
    };
    layout(&["split by time", "rows", "from", "until"], &parts.map(row))
}

/// Losses and coverage of the model and of what it must beat.
pub fn judgement(judgement: &Judgement) -> String {
    let levels: Vec<String> = judgement.levels.iter().map(|one| level(*one)).collect();
    let mut header = vec![format!("on {} held-out rows", judgement.rows), "loss".to_owned()];
    header.extend(levels.iter().map(|level| format!("loss {level}")));
    header.extend(levels.iter().map(|level| format!("at or below {level}")));
    let row = |score: &Score| {
        let mut cells = vec![score.name.clone(), format!("{:.4}", score.mean_pinball)];
        cells.extend(score.pinball.iter().map(|loss| format!("{loss:.4}")));
        cells.extend(score.coverage.iter().map(|share| format!("{:.1} %", share * 100.0)));
        cells
    };
    let rows: Vec<Vec<String>> = std::iter::once(&judgement.champion).chain(&judgement.baselines).map(row).collect();
    layout(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_levels_are_for_people() {
        assert_eq!(moment(1_700_000_000_999_999), "2023-11-14T22:13:20Z");
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!([0.5f32, 0.95, 0.99, 0.999].map(level), ["p50", "p95", "p99", "p99.9"]);
    }
}
