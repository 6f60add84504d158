//! The page of a simulation: for each cell the marks, the tails of all policies, and the distributions of those that matter.

use super::axis::Axis;
use super::figure::{self, BAR, HALF, line};
use super::page::{card, document, figure};
use super::palette::{CONTROL, GRID, INK, PLAIN, TREATMENT};
use super::tables;
use crate::table::millis;
use maud::{Markup, html};
use plotters::style::RGBColor;
use tailcast_simulator::SimulationReport;
use tailcast_simulator::intervals::Estimate;
use tailcast_simulator::report::{CellReport, PolicyReport};

/// The rule whose distribution is drawn beside the best peer and the oracle.
const OWN: &str = "predictive";
/// Who sees everything.
const ORACLE: &str = "oracle";

/// The whole page.
pub(super) fn render(report: &SimulationReport) -> anyhow::Result<String> {
    let cells = report.cells.iter().map(cell).collect::<anyhow::Result<Vec<_>>>()?;
    let marks = || report.cells.iter().flat_map(|cell| &cell.marks);
    let (met, all) = (marks().filter(|mark| mark.met).count(), marks().count());
    let content = html! {
        p { "Simulated. " (report.about) }
        div.cards {
            @if all > 0 { (card(&format!("{met} of {all}"), "", "marks of the scenario are met")) }
            (card(&report.seeds.to_string(), "", "seeds; intervals are 95 % over them"))
            (card(&format!("{:.0} s", report.wall_secs), "", "of wall clock"))
        }
        @for cell in cells { (cell) }
    };
    Ok(document(&report.scenario, &content))
}

fn cell(cell: &CellReport) -> anyhow::Result<Markup> {
    let (bars, distributions) = (tails(cell)?, distributions(cell)?);
    Ok(html! {
        h2 { (cell.label) }
        (table(cell))
        @if !cell.marks.is_empty() { (marks(cell)) }
        div.grid {
            (figure("The tail", "p99 of each policy, milliseconds.", None, bars))
            (figure(
                "How many requests were answered within a time",
                "The rule, the best peer (dark orange) and the oracle (black) over all others (grey).",
                None, distributions
            ))
        }
    })
}

fn best_peer(cell: &CellReport) -> Option<&PolicyReport> {
    let peers = cell.rows.iter().filter(|row| row.is_peer && row.p99_ms.mean.is_finite());
    peers.min_by(|a, b| a.p99_ms.mean.total_cmp(&b.p99_ms.mean))
}

fn colour(cell: &CellReport, row: &PolicyReport) -> RGBColor {
    match row.policy.as_str() {
        OWN => TREATMENT,
        ORACLE => INK,
        name if best_peer(cell).is_some_and(|best| best.policy == name) => CONTROL,
        _ => PLAIN,
    }
}

fn tails(cell: &CellReport) -> anyhow::Result<String> {
    let mut rows: Vec<_> =
        cell.rows.iter().map(|row| (row.policy.clone(), row.p99_ms.mean, colour(cell, row))).collect();
    rows.retain(|(_, ms, _)| ms.is_finite());
    let highest = rows.iter().map(|(_, ms, _)| *ms).fold(0.0, f64::max);
    figure::bars(&rows, &Axis::from_zero(highest * 1.12, 4.0, "p99, ms"), millis)
}

fn distributions(cell: &CellReport) -> anyhow::Result<String> {
    let points = || cell.rows.iter().flat_map(|row| &row.distribution).filter(|(_, ms)| ms.is_finite() && *ms > 0.0);
    let fastest = points().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min).clamp(1e-3, 1e9);
    let slowest = points().map(|(_, ms)| *ms).fold(fastest * 2.0, f64::max);
    let (x, y) = (Axis::log_ms(fastest * 0.9, slowest * 1.1, "latency, ms"), Axis::nines(4.0, "share of requests"));
    // As high as the bars beside it.
    let size = (HALF.0, (cell.rows.len() as u32 * BAR + 118).max(HALF.1));
    figure::draw(size, &x, &y, |chart| {
        // What matters last, so that it lies on top.
        let mut rows: Vec<_> = cell.rows.iter().map(|row| (colour(cell, row), row)).collect();
        rows.sort_by_key(|(colour, _)| *colour != PLAIN);
        for (colour, row) in rows {
            let curve: Vec<(f64, f64)> = row
                .distribution
                .iter()
                .filter(|(_, ms)| ms.is_finite())
                .map(|(share, ms)| (ms.max(1e-3).log10(), -(1.0 - share).log10()))
                .collect();
            let (colour, width) = if colour == PLAIN { (GRID, 3) } else { (colour, 6) };
            line(chart, &curve, colour, width)?;
        }
        Ok(())
    })
}

fn estimate(one: Estimate) -> String {
    match one.half {
        Some(half) => format!("{} ± {}", millis(one.mean), millis(half)),
        None => millis(one.mean),
    }
}

fn table(cell: &CellReport) -> Markup {
    html! {
        div.panel { table {
            thead { tr {
                th { "latency, ms" } th { "requests" } th { "503 a seed" } th { "timeouts a seed" }
                th { "p50" } th { "p90" } th { "p99" } th { "p99.9" } th { "mean" }
            } }
            tbody { @for row in &cell.rows { tr {
                td class=(if row.policy == OWN { "treatment" } else { "" }) { (row.policy) }
                td { (tables::count(row.requests)) } td { (format!("{:.0}", row.errors)) } td { (format!("{:.0}", row.timeouts)) }
                @for one in [row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms, row.mean_ms] { td { (estimate(one)) } }
            } } }
        } }
    }
}

fn marks(cell: &CellReport) -> Markup {
    html! {
        div.panel { table {
            thead { tr { th { "mark" } th { "of" } th { "found" } th { "at most" } th { "" } } }
            tbody { @for mark in &cell.marks { tr {
                td { (mark.what) } td { (mark.policy) }
                td { (format!("{:.3}", mark.found)) } td { (format!("{}", mark.at_most)) }
                td { @if mark.met { "met" } @else { strong { "missed" } } }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailcast_simulator::{Policy, Scenario, SimulateOptions, simulate};

    #[test]
    fn the_page_names_every_policy_and_fetches_nothing() -> anyhow::Result<()> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scenarios/a6_cpu_bound.toml");
        let scenario = Scenario::load(std::path::Path::new(file))?.with_seconds(1.0, 2.0);
        let policies: Vec<Policy> =
            ["least_request", "oracle"].map(str::parse).into_iter().collect::<Result<_, _>>()?;
        let options = SimulateOptions { policies, seeds: 1, ..SimulateOptions::default() };
        let html = render(&simulate(&scenario, &options, &mut |_| {})?)?;
        for part in ["a6_cpu_bound", "least_request", "oracle", "p99, ms", "99.9 %"] {
            assert!(html.contains(part), "{part} is missing");
        }
        let addresses = html.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http:", "https:", "<script", "<link", "url(", "@import", "src="] {
            assert!(!addresses.contains(foreign), "the page fetches: {foreign}");
        }
        Ok(())
    }
}
