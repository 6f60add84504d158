//! The part of the page about the model: what it was learned from, and how it did on requests that it never saw.

use super::model_plots as plots;
use super::page::{card, figure};
use super::tables::count;
use crate::training_report::{level, moment};
use maud::{Markup, html};
use tailcast_training::TrainReport;
use tailcast_training::judge::Score;

/// Its headline numbers.
pub(super) fn cards(report: &TrainReport) -> Markup {
    let judgement = &report.judgement;
    let best = judgement.best_baseline().map_or_else(
        || "held-out loss of the model".to_owned(),
        |best| format!("held-out loss; the best baseline, {}, has {:.4}", best.name, best.mean_pinball),
    );
    html! {
        (card(&format!("{:.4}", judgement.champion.mean_pinball), "", &best))
        (card(&percent(report.p99_coverage()), "", "of held-out requests at or below their p99 forecast"))
    }
}

/// Tables and plots.
pub(super) fn section(report: &TrainReport) -> anyhow::Result<Markup> {
    let (losses, reliability) = (plots::losses(report)?, plots::reliability(report)?);
    let (importance, in_flight) = (plots::importance(report)?, plots::in_flight(report)?);
    let rounds = plots::rounds(report)?;
    let residuals = if report.plots.residuals.len() > 1 { Some(plots::residuals(report)?) } else { None };
    Ok(html! {
        h2 { "The model" }
        p {
            "Learned from " (count(report.rows as u64)) " requests and judged on the last "
            (count(report.judgement.rows as u64)) " of them, which neither the model nor a baseline was fitted on. "
            "Losses are in natural log of milliseconds: 0.1 is about ten per cent."
        }
        (judgement(report))
        div.grid {
            (figure("Loss", "Mean pinball loss over the quantiles on held-out requests; less is better.", None, losses))
            (figure("Training", "Loss after each round of boosting.", None, rounds))
            (figure(
                "Reliability",
                "A tenth of the requests a point, by rising forecast; dashed is where the points should lie.",
                None, reliability
            ))
            (figure("Load", "The forecast of the same requests with other requests in flight.", None, in_flight))
            (figure("What the trees look at", "Share of each feature in what the splits gained.", None, importance))
            div { (facts(report)) }
        }
        @if let Some(residuals) = residuals {
            (figure(
                "Residuals over time",
                "What was measured over the median forecast: around zero as long as the world is as it was.",
                None, residuals
            ))
        }
        (rejections(report))
    })
}

fn judgement(report: &TrainReport) -> Markup {
    let row = |score: &Score, class: &str| {
        html! { tr {
            td class=(class) { (score.name) }
            td { (format!("{:.4}", score.mean_pinball)) }
            @for loss in &score.pinball { td { (format!("{loss:.4}")) } }
            @for share in &score.coverage { td { (percent(*share)) } }
        } }
    };
    html! {
        div.panel { table {
            thead { tr {
                th { "forecaster" } th { "loss" }
                @for one in &report.judgement.levels { th { "loss " (level(*one)) } }
                @for one in &report.judgement.levels { th { "at or below " (level(*one)) } }
            } }
            tbody {
                (row(&report.judgement.champion, "treatment"))
                @for baseline in &report.judgement.baselines { (row(baseline, "")) }
            }
        } }
    }
}

fn facts(report: &TrainReport) -> Markup {
    let part = |name: &str, slice: tailcast_training::split::Slice| {
        (
            name.to_owned(),
            format!("{} rows, {} to {}", count(slice.rows as u64), moment(slice.from_us), moment(slice.until_us)),
        )
    };
    let secs: f64 = report.stage_secs.iter().map(|(_, secs)| secs).sum();
    let facts = [
        ("model".to_owned(), report.model_id.clone()),
        ("trees".to_owned(), format!("{} ({})", report.trees, report.setting)),
        part("train", report.split.train),
        part("calibration", report.split.calibration),
        part("held out", report.split.test),
        ("tenant groups".to_owned(), groups(report)),
        ("bandit".to_owned(), report.bandit.verdict.clone()),
        ("error head".to_owned(), report.errors.note.clone()),
        ("training took".to_owned(), format!("{secs:.1} s")),
    ];
    html! { div.panel { dl { @for (name, value) in &facts { dt { (name) } dd { (value) } } } } }
}

fn groups(report: &TrainReport) -> String {
    let one = |group: &tailcast_training::groups::GroupReport| {
        format!(
            "{} tenants, {} rows, {:.1} ms",
            group.tenants,
            count(group.rows as u64),
            group.profile.mean_ln_ms.exp()
        )
    };
    report.groups.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Which rows did not teach, and why.
fn rejections(report: &TrainReport) -> Markup {
    let rejected = report.quality.as_ref().map(|quality| quality.rejected.as_slice()).unwrap_or_default();
    html! {
        @if !rejected.is_empty() {
            h3 { "Rows that did not teach" }
            div.panel { table {
                thead { tr { th { "check" } th { "rows" } th { "why" } th { "such as" } } }
                tbody { @for one in rejected { tr {
                    td { (one.check) } td { (count(one.count as u64)) }
                    td.text { (one.reason) }
                    td.text { (one.samples.first().map_or("", String::as_str)) }
                } } }
            } }
        }
    }
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "–".to_owned() }
}
