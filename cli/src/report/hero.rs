//! The picture of the result, small enough for the top of a README: both distributions and their p99.
//!
//! It paints its own paper: a picture in a README cannot ask whether the page around it is light or dark.

use super::data::AbData;
use super::figure;
use super::palette::{GRID, INK, MUTED, PAPER};
use super::plots::{distribution_axes, draw_distribution, label_p99};
use super::tables::count;
use crate::comparison::ratio;
use crate::table::millis;
use plotters::prelude::*;
use plotters::style::FontStyle;

/// Shown at half of it.
const SIZE: (u32, u32) = (1_680, 860);

/// Room for the words above the plot.
const HEADING: u32 = 150;

/// Draws it.
pub(super) fn render(ab: &AbData) -> anyhow::Result<String> {
    let (x, y) = distribution_axes(ab);
    let (control, treatment) = (&ab.all.control, &ab.all.treatment);
    let heading = format!("p99 {} ms → {} ms on the same traffic", millis(control.p99_ms), millis(treatment.p99_ms));
    // The whole run first; a phase without trouble says what is won on a quiet day.
    let calm = ab.phases.first().map_or_else(String::new, |one| format!(", {:.2} {}", one.p99_ratio.value, one.name));
    let requests = count(control.requests + treatment.requests);
    let below = format!("ratio {} (95 % interval){calm}; {requests} requests on real sockets", ratio(ab.all.p99_ratio));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&PAPER)?;
        area.draw(&Rectangle::new([(1, 1), (SIZE.0 as i32 - 2, SIZE.1 as i32 - 2)], GRID.stroke_width(2)))?;
        let bold = ("sans-serif", 56).into_font().style(FontStyle::Bold).color(&INK);
        area.draw(&Text::new(heading, (48, 36), bold))?;
        area.draw(&Text::new(below, (48, 100), ("sans-serif", 34).into_font().color(&MUTED)))?;
        let plot = area.margin(HEADING, 16, 24, 8);
        figure::frame(&plot, &x, &y, |chart| {
            draw_distribution(chart, ab, y.low)?;
            label_p99(chart, ab, &x, &y, |name, ms| format!("{name} p99 {} ms", millis(ms)))
        })?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::super::ReportData;
    use super::super::data::tests::played;
    use super::*;

    #[test]
    fn the_picture_says_both_tails_and_paints_its_paper() -> anyhow::Result<()> {
        let all = crate::ab::compare("all", &played().observations, 1, |_| true);
        let data = ReportData::of_ab("t", ["round_robin", "predictive"], &all, &played());
        let Some(ab) = &data.ab else { anyhow::bail!("no A/B") };
        let svg = render(ab)?;
        assert!(svg.contains("p99 495 ms → 248 ms") && svg.contains("predictive p99 248 ms"), "{svg}");
        assert!(svg.to_lowercase().contains(&super::super::palette::hex(PAPER)));
        Ok(())
    }
}
