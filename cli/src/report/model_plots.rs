//! The plots of a trained model.

use super::axis::Axis;
use super::figure::{self, Drawn, HALF, WIDE, dashed, label, line, text};
use super::palette::{EVENT, INK, MUTED, PLAIN, TREATMENT};
use crate::training_report::level;
use plotters::element::Circle;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor};
use tailcast_training::TrainReport;

/// Colours of the quantiles, the lowest first.
const LEVELS: [RGBColor; 3] = [MUTED, TREATMENT, INK];

/// Features that are drawn.
const TOP_FEATURES: usize = 12;

/// Nines at which coverage ends.
const MAX_NINES: f64 = 3.0;

/// Room on the right of curves for their names, as a share of the axis.
const NAME_ROOM: f64 = 0.12;

fn colour(level: usize) -> RGBColor {
    LEVELS[level.min(LEVELS.len() - 1)]
}

/// Losses of the model and of the baselines.
pub(super) fn losses(report: &TrainReport) -> anyhow::Result<String> {
    let judgement = &report.judgement;
    let mut rows = vec![(judgement.champion.name.clone(), judgement.champion.mean_pinball, TREATMENT)];
    rows.extend(judgement.baselines.iter().map(|one| (one.name.clone(), one.mean_pinball, PLAIN)));
    let highest = rows.iter().map(|(_, loss, _)| *loss).filter(|loss| loss.is_finite()).fold(0.0, f64::max);
    let x = Axis::from_zero(highest * 1.12, 4.0, "mean pinball loss");
    figure::bars(&rows, &x, |loss| format!("{loss:.4}"))
}

/// What the trees gained from.
pub(super) fn importance(report: &TrainReport) -> anyhow::Result<String> {
    let top = report.top_features.iter().take(TOP_FEATURES);
    let rows: Vec<(String, f64, RGBColor)> =
        top.map(|(name, share)| (name.clone(), f64::from(*share), TREATMENT)).collect();
    let highest = rows.iter().map(|(_, share, _)| *share).fold(0.0, f64::max);
    let x = Axis::from_zero(highest * 1.12, 3.0, "share of the gain").percent();
    figure::bars(&rows, &x, |share| format!("{:.1} %", share * 100.0))
}

/// Share of requests at or below their forecast, by the forecast.
pub(super) fn reliability(report: &TrainReport) -> anyhow::Result<String> {
    let curves = &report.plots.reliability;
    let forecasts = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.forecast_ms);
    let (least, most) = (forecasts().fold(f64::INFINITY, f64::min), forecasts().fold(0.0, f64::max));
    let x = with_name_room(Axis::log_ms(least * 0.9, most * 1.1, "forecast, ms"));
    let fewest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.rows).min().unwrap_or(1);
    // Of n rows a share above 1 − 1/n is all of them: that is the top.
    let top = (fewest.max(10) as f64).log10().min(MAX_NINES) + 0.3;
    let mut y = Axis::nines(top - 0.2, "share at or below it");
    y.high = top + 0.08;
    y.ticks.push((top, "all".to_owned()));
    let nines = |share: f64| (-f64::log10((1.0 - share).max(1e-9))).min(top);
    figure::draw(HALF, &x, &y, |chart| {
        for (number, curve) in curves.iter().enumerate() {
            let right = nines(f64::from(curve.level));
            dashed(chart, (x.low, right), (x.high, right), EVENT)?;
            let points: Vec<(f64, f64)> = curve
                .points
                .iter()
                .map(|point| (point.forecast_ms.max(1e-3).log10(), nines(point.coverage_ratio)))
                .collect();
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 9, colour(number).filled())))?;
            let at = (x.high - (x.high - x.low) * 0.01, right + 0.06);
            label(chart, at, &level(curve.level), text(EVENT, HPos::Right, VPos::Bottom))?;
        }
        Ok(())
    })
}

/// The forecast against the requests in flight on the endpoint, all else as it was.
pub(super) fn in_flight(report: &TrainReport) -> anyhow::Result<String> {
    let points = &report.plots.in_flight;
    let most = points.iter().flat_map(|point| &point.forecast_ms).copied().fold(0.0, f64::max);
    let last = points.last().map_or(1.0, |point| f64::from(point.in_flight));
    let mut x = Axis::linear(0.0, last.max(1.0), 6.0, "requests in flight on the endpoint");
    x = with_name_room(x);
    let y = Axis::from_zero(most, 5.0, "forecast, ms");
    figure::draw(HALF, &x, &y, |chart| {
        for (number, quantile) in report.judgement.levels.iter().enumerate() {
            let curve: Vec<(f64, f64)> = points
                .iter()
                .filter_map(|point| Some((f64::from(point.in_flight), *point.forecast_ms.get(number)?)))
                .collect();
            named_curve(chart, &curve, &level(*quantile), number, &x)?;
        }
        Ok(())
    })
}

/// Residuals of the median forecast over the held-out time.
pub(super) fn residuals(report: &TrainReport) -> anyhow::Result<String> {
    let points = &report.plots.residuals;
    let values = || points.iter().flat_map(|point| [point.median, point.p95]);
    let low = values().fold(0.0, f64::min);
    let high = values().fold(0.0, f64::max);
    let from = points.first().map_or(0.0, |point| point.t_secs);
    let until = points.last().map_or(1.0, |point| point.t_secs);
    let x = with_name_room(Axis::linear(from, until, 8.0, "seconds since the first held-out request"));
    let y = Axis::linear(low - 0.1, high + 0.1, 5.0, "ln(actual / forecast)");
    figure::draw(WIDE, &x, &y, |chart| {
        dashed(chart, (x.low, 0.0), (x.high, 0.0), EVENT)?;
        let curve = |of: fn(&(f64, f64, f64)) -> f64, all: &[(f64, f64, f64)]| {
            all.iter().map(|one| (one.0, of(one))).collect::<Vec<_>>()
        };
        let all: Vec<(f64, f64, f64)> = points.iter().map(|point| (point.t_secs, point.median, point.p95)).collect();
        named_curve(chart, &curve(|one| one.1, &all), "median", 1, &x)?;
        named_curve(chart, &curve(|one| one.2, &all), "p95", 0, &x)
    })
}

/// Loss by round of boosting.
pub(super) fn rounds(report: &TrainReport) -> anyhow::Result<String> {
    let points = &report.plots.rounds;
    let train: Vec<(f64, f64)> = points.iter().map(|point| (point.round as f64, point.train_loss)).collect();
    let later: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((point.round as f64, point.validation_loss?))).collect();
    let losses = || train.iter().chain(&later).map(|(_, loss)| *loss).filter(|loss| loss.is_finite());
    let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(0.0, f64::max));
    let x = Axis::linear(0.0, points.len().max(1) as f64, 5.0, "round");
    let y = Axis::linear(low * 0.95, high * 1.02, 5.0, "mean pinball loss");
    figure::draw(HALF, &x, &y, |chart| {
        line(chart, &train, MUTED, 5)?;
        line(chart, &later, TREATMENT, 5)?;
        for (row, (name, colour)) in [("rows fitted on", MUTED), ("later rows", TREATMENT)].into_iter().enumerate() {
            // Losses fall: the upper right is free.
            let at = (x.high - (x.high - x.low) * 0.02, y.high - (y.high - y.low) * (0.03 + 0.08 * row as f64));
            if row == 0 || !later.is_empty() {
                label(chart, at, name, text(colour, HPos::Right, VPos::Top))?;
            }
        }
        Ok(())
    })
}

/// The axis with room on its right, without new ticks.
fn with_name_room(mut axis: Axis) -> Axis {
    axis.high += (axis.high - axis.low) * NAME_ROOM;
    axis
}

/// A curve with its name at its end.
fn named_curve<'a>(chart: &mut figure::Chart<'a>, curve: &[(f64, f64)], name: &str, number: usize, x: &Axis) -> Drawn {
    line(chart, curve, colour(number), 5)?;
    let Some((at, value)) = curve.last() else { return Ok(()) };
    // A curve of one point has no line to see.
    if curve.len() == 1 {
        chart.draw_series([Circle::new((*at, *value), 8, colour(number).filled())])?;
    }
    label(chart, (at + (x.high - x.low) * 0.012, *value), name, text(colour(number), HPos::Left, VPos::Center))
}
