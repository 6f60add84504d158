//! The report as Markdown, for a terminal and for a file.

use super::{CellReport, ContestReport, PolicyReport, SimulationReport};
use crate::intervals::Estimate;
use std::fmt::Write;

pub(super) fn text(report: &SimulationReport) -> String {
    let mut out = format!("# {}\n\n{}\n\n", report.scenario, report.about.trim());
    let _ = writeln!(
        out,
        "{} seeds, {:.0} s of wall clock. Latencies in milliseconds ± 95 % interval.\n",
        report.seeds, report.wall_secs
    );
    for cell in &report.cells {
        write_cell(&mut out, cell);
    }
    if let Some(credibility) = report.credibility() {
        let _ = writeln!(out, "## Credibility: published and simulated, over Prequal\n");
        let _ = writeln!(
            out,
            "| policy | load | quantile | published | simulated | within 25 % |\n| --- | --- | --- | --- | --- | --- |"
        );
        let ratio = |value: Option<f64>| value.map_or("timeout".to_owned(), |value| format!("{value:.2}"));
        for row in &credibility.rows {
            let held = row.held.map_or("", |held| if held { "yes" } else { "**no**" });
            let (published, simulated) = (ratio(row.published_ratio), ratio(row.simulated_ratio));
            let _ = writeln!(
                out,
                "| {} | {:.0} % | {} | {published} | {simulated} | {held} |",
                row.policy,
                row.load * 100.0,
                row.quantile
            );
        }
        let (kept, all) = credibility.ordered_pairs;
        let _ = writeln!(out, "\n{kept} of {all} pairs stand in the published order.\n");
    }
    out
}

fn write_cell(out: &mut String, cell: &CellReport) {
    let _ = writeln!(out, "## {}\n", cell.label);
    let windows: Vec<&str> =
        cell.rows.first().map_or(Vec::new(), |row| row.windows.iter().map(|w| w.name.as_str()).collect());
    let _ = write!(out, "| policy | p50 | p90 | p99 | p99.9 | mean | errors | timeouts | class shares |");
    for window in &windows {
        let _ = write!(out, " p99 {window} | failed |");
        if cell.has_admission {
            let _ = write!(out, " goodput | worst share |");
        }
    }
    let newcomers = cell.rows.iter().any(|row| row.newcomers_ms.is_some());
    let recovery = cell.rows.iter().any(|row| row.recovery_secs.is_some());
    let _ = write!(
        out,
        "{}{}",
        if newcomers { " newcomers p99 first / later |" } else { "" },
        if recovery { " recovery s |" } else { "" }
    );
    let columns =
        9 + windows.len() * if cell.has_admission { 4 } else { 2 } + usize::from(newcomers) + usize::from(recovery) + 1;
    let _ = writeln!(out, " M req/s |\n|{}", " --- |".repeat(columns));
    for row in &cell.rows {
        let shares: Vec<String> = row.class_shares.iter().map(|share| format!("{:.0}", share * 100.0)).collect();
        let _ = write!(
            out,
            "| {} | {} | {} | {} | {} | {:.1} | {:.0} | {:.0} | {} |",
            row.policy,
            figure(row.p50_ms),
            figure(row.p90_ms),
            figure(row.p99_ms),
            figure(row.p999_ms),
            row.mean_ms.mean,
            row.errors,
            row.timeouts,
            shares.join(" / ")
        );
        for window in &row.windows {
            let _ = write!(out, " {} | {:.0} |", figure(window.p99_ms), window.failed);
            if cell.has_admission {
                let (goodput, share) = (window.goodput_ratio.mean, 1.0 - window.shortfall.mean);
                let _ = write!(out, " {:.1} % | {share:.3} |", 100.0 * goodput);
            }
        }
        if newcomers {
            let pair = row
                .newcomers_ms
                .map_or(String::new(), |(first, later)| format!("{} / {}", figure(first), figure(later)));
            let _ = write!(out, " {pair} |");
        }
        if recovery {
            let _ = write!(out, " {} |", row.recovery_secs.map_or(String::new(), figure));
        }
        let _ = writeln!(out, " {:.2} |", row.speed_rps / 1e6);
    }
    let _ = writeln!(out);
    for training in &cell.training {
        let top: Vec<String> =
            training.top_features.iter().map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
        let _ = writeln!(
            out,
            "Model of `{}`: {} rows, {} trees, {:.1} s; gains: {}.\n",
            training.policy,
            training.rows,
            training.trees,
            training.secs,
            top.join(", ")
        );
    }
    for row in &cell.rows {
        write_contests(out, row);
    }
    if !cell.marks.is_empty() {
        let _ = writeln!(out, "| mark | row | found | at most | |\n| --- | --- | --- | --- | --- |");
        for mark in &cell.marks {
            let verdict = if mark.met { "met" } else { "**missed**" };
            let _ =
                writeln!(out, "| {} | {} | {:.3} | {} | {verdict} |", mark.what, mark.policy, mark.found, mark.at_most);
        }
        let _ = writeln!(out);
    }
}

/// The gate's verdicts: a line for each time of a refit, over all seeds.
fn write_contests(out: &mut String, row: &PolicyReport) {
    let most = row.contests.iter().map(Vec::len).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let _ = writeln!(out, "Challengers of `{}`:\n", row.policy);
    let _ = writeln!(out, "| at s | swapped in | loss over the champion's | rows | why not |\n|{}", " --- |".repeat(5));
    for number in 0..most {
        let contests: Vec<&ContestReport> = row.contests.iter().filter_map(|seed| seed.get(number)).collect();
        let ratios: Vec<f64> = contests.iter().filter_map(|contest| contest.loss_ratio).collect();
        let ratio = if ratios.is_empty() { String::new() } else { format!("{:.3}", Estimate::of(&ratios).mean) };
        let reasons: Vec<&str> = contests.iter().flat_map(|contest| &contest.reasons).map(String::as_str).collect();
        let _ = writeln!(
            out,
            "| {:.0} | {} of {} | {ratio} | {:.0} | {} |",
            contests.first().map_or(0.0, |contest| contest.at_secs),
            contests.iter().filter(|contest| contest.passed).count(),
            contests.len(),
            contests.iter().map(|contest| contest.rows).sum::<usize>() as f64 / contests.len().max(1) as f64,
            reasons.join("; ")
        );
    }
    let _ = writeln!(out);
}

fn figure(estimate: Estimate) -> String {
    match estimate.half {
        Some(half) if estimate.mean < 10.0 => format!("{:.2} ± {half:.2}", estimate.mean),
        Some(half) => format!("{:.1} ± {half:.1}", estimate.mean),
        None => format!("{:.1}", estimate.mean),
    }
}
