//! One plot: a frame with two axes, and what is drawn into it.
//!
//! plotters counts in whole pixels, so plots are drawn at twice the size at which they are shown: lines are then
//! smooth.

use super::axis::Axis;
use super::palette::{GRID, INK, MUTED};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A frame to draw into.
pub(super) type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;
/// Whether it could be drawn.
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Size of a plot that takes the whole width.
pub(super) const WIDE: (u32, u32) = (2_000, 760);
/// Size of a plot that shares the width with another.
pub(super) const HALF: (u32, u32) = (1_000, 640);
/// Height of one bar of a bar chart with names.
pub(super) const BAR: u32 = 52;

/// Size of labels: 13 px as shown.
const LABEL: f64 = 32.0;
/// Width of a character of a label.
const CHARACTER: u32 = 16;
/// Room for a line of text.
const LINE: u32 = 44;

/// Draws a plot.
pub(super) fn draw(
    size: (u32, u32),
    x: &Axis,
    y: &Axis,
    body: impl for<'a> FnOnce(&mut Chart<'a>) -> Drawn,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        frame(&area, x, y, body)?;
        area.present()?;
    }
    Ok(svg)
}

/// Draws frame and body into a part of a picture.
pub(super) fn frame<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    x: &Axis,
    y: &Axis,
    body: impl FnOnce(&mut Chart<'a>) -> Drawn,
) -> Drawn {
    let y_title = if y.title.is_empty() { 0 } else { LINE };
    let x_title = if x.title.is_empty() { 0 } else { LINE };
    let mut chart = ChartBuilder::on(area)
        .margin_top(18)
        // The last label of the x axis is centred on its tick and may stick out.
        .margin_right(44)
        .x_label_area_size(LINE + 8 + x_title)
        .y_label_area_size(y.longest_label() as u32 * CHARACTER + 24 + y_title)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let (x_label, y_label) = (|at: &f64| x.label(*at), |at: &f64| y.label(*at));
    let mut mesh = chart.configure_mesh();
    mesh.axis_style(GRID.stroke_width(2))
        .bold_line_style(GRID.stroke_width(2))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", LABEL).into_font().color(&MUTED))
        .axis_desc_style(("sans-serif", LABEL).into_font().color(&MUTED))
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .set_all_tick_mark_size(8);
    if !x.grid {
        mesh.disable_x_mesh();
    }
    if !y.grid {
        mesh.disable_y_mesh();
    }
    if !x.title.is_empty() {
        mesh.x_desc(&x.title);
    }
    if !y.title.is_empty() {
        mesh.y_desc(&y.title);
    }
    mesh.draw()?;
    body(&mut chart)
}

/// Text inside a plot.
pub(super) fn text(colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    ("sans-serif", LABEL).into_font().color(&colour).pos(Pos::new(h, v))
}

/// A line.
pub(super) fn line<'a>(chart: &mut Chart<'a>, points: &[(f64, f64)], colour: RGBColor, width: u32) -> Drawn {
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(width)))?;
    Ok(())
}

/// A dashed line.
pub(super) fn dashed<'a>(chart: &mut Chart<'a>, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
    chart.draw_series(DashedLineSeries::new([from, to], 10, 10, colour.stroke_width(3)))?;
    Ok(())
}

/// A filled rectangle between two corners.
pub(super) fn bar<'a>(chart: &mut Chart<'a>, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
    chart.draw_series([Rectangle::new([from, to], colour.filled())])?;
    Ok(())
}

/// A label at a point.
pub(super) fn label<'a>(chart: &mut Chart<'a>, at: (f64, f64), words: &str, style: TextStyle<'static>) -> Drawn {
    chart.draw_series([Text::new(words.to_owned(), at, style)])?;
    Ok(())
}

/// Horizontal bars with names on the left and values behind each bar.
pub(super) fn bars(
    rows: &[(String, f64, RGBColor)],
    x: &Axis,
    value: impl Fn(f64) -> String,
) -> anyhow::Result<String> {
    let y = Axis::names(rows.iter().map(|(name, ..)| name.as_str()), "");
    let height = (rows.len() as u32 * BAR + LINE * 2 + 30).max(HALF.1);
    // Few bars in a high plot would be as high as a hand.
    let half = f64::min(0.32, rows.len() as f64 * 0.05);
    draw((HALF.0, height), x, &y, |chart| {
        for ((_, length, colour), (at, _)) in rows.iter().zip(&y.ticks) {
            bar(chart, (0.0, at - half), (*length, at + half), *colour)?;
            let behind = *length + (x.high - x.low) * 0.008;
            label(chart, (behind, *at), &value(*length), text(INK, HPos::Left, VPos::Center))?;
        }
        Ok(())
    })
}
