//! The HTML report: one file with its plots inside, which needs no network, no script and no other file.
//!
//! | file | is |
//! | --- | --- |
//! | `data` | what is shown: a comparison, a model, or both |
//! | `page`, `tables`, `model_page`, `simulation_page` | the HTML |
//! | `style`, `palette` | CSS for light, dark and print, and the colours that plots and page share |
//! | `figure`, `axis` | one plot: its frame and its axes |
//! | `plots`, `model_plots` | every plot |
//! | `hero` | the small picture of the result for a README |
//!
//! Plots are SVG by plotters, inlined. Rejected: a script library that draws in the browser. A report is opened
//! years later, from an archive, on a machine without network.

mod axis;
mod data;
mod figure;
mod hero;
mod model_page;
mod model_plots;
mod page;
mod palette;
mod plots;
mod simulation_page;
mod style;
mod tables;

pub use data::{Event, ReportData};

use anyhow::Context;
use std::path::Path;

/// Writes the report.
///
/// # Errors
/// Where a plot cannot be drawn or the file cannot be written.
pub fn write(path: &Path, data: &ReportData<'_>) -> anyhow::Result<()> {
    let html = page::render(data).context("cannot draw the report")?;
    std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the report of a simulation.
///
/// # Errors
/// As [`write()`].
pub fn write_simulation(path: &Path, report: &tailcast_simulator::SimulationReport) -> anyhow::Result<()> {
    let html = simulation_page::render(report).context("cannot draw the report")?;
    std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the picture of the result, an SVG on a background of its own. A report without an A/B has none.
///
/// # Errors
/// Where it cannot be drawn or written.
pub fn write_hero(path: &Path, data: &ReportData<'_>) -> anyhow::Result<()> {
    let Some(svg) = data.ab.as_ref().map(hero::render).transpose().context("cannot draw the picture")? else {
        return Ok(());
    };
    std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
}
