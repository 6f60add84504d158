//! The plots of an A/B.

use super::axis::Axis;
use super::data::{AbData, Arm, EndpointShare, TAIL};
use super::figure::{self, BAR, Chart, Drawn, HALF, WIDE, bar, dashed, label, line, text};
use super::palette::{CONTROL, EVENT, INK, TREATMENT};
use crate::ab::Side;
use crate::table::millis;
use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};

/// The colours of the arms, control first.
pub(super) const ARMS: [RGBColor; 2] = [CONTROL, TREATMENT];

/// Share of the slowest requests that p99 leaves out, in nines.
const P99_NINES: f64 = 2.0;

/// Share of the width from which on words are written to the left of a mark.
const NEAR_THE_EDGE: f64 = 0.72;

/// The axes of a distribution of latencies.
pub(super) fn distribution_axes(ab: &AbData) -> (Axis, Axis) {
    let points = || ab.arms.iter().flat_map(|arm| &arm.distribution);
    let fastest = points().map(|(ms, _)| *ms).fold(f64::INFINITY, f64::min);
    let slowest = points().map(|(ms, _)| *ms).fold(0.0, f64::max);
    let nines = points().map(|(_, nines)| *nines).fold(1.0, f64::max);
    (Axis::log_ms(fastest * 0.9, slowest * 1.15, "latency, ms"), Axis::nines(nines, "share of requests"))
}

/// Both distributions into a frame: curves, and a mark where each has its 99th percentile.
pub(super) fn draw_distribution<'a>(chart: &mut Chart<'a>, ab: &AbData, floor: f64) -> Drawn {
    for (arm, colour) in ab.arms.iter().zip(ARMS) {
        let points: Vec<(f64, f64)> =
            arm.distribution.iter().map(|(ms, nines)| (ms.max(1e-3).log10(), *nines)).collect();
        line(chart, &points, colour, 6)?;
        let at_p99 = arm.distribution.iter().find(|(_, nines)| *nines >= P99_NINES - 1e-9);
        if let Some((ms, _)) = at_p99 {
            let at = ms.max(1e-3).log10();
            dashed(chart, (at, floor), (at, P99_NINES), colour)?;
            chart.draw_series([plotters::element::Circle::new(
                (at, P99_NINES),
                11,
                plotters::style::Color::filled(&colour),
            )])?;
        }
    }
    Ok(())
}

/// Names both 99th percentiles: the faster one on the left above its mark, the slower one on the right below, where
/// no curve runs.
pub(super) fn label_p99<'a>(
    chart: &mut Chart<'a>,
    ab: &AbData,
    x: &Axis,
    y: &Axis,
    words: impl Fn(&str, f64) -> String,
) -> Drawn {
    let p99 = |arm: &Arm| arm.distribution.iter().find(|(_, nines)| *nines >= P99_NINES - 1e-9).map(|(ms, _)| *ms);
    let tails = ab.arms.each_ref().map(p99);
    for (side, (arm, colour)) in ab.arms.iter().zip(ARMS).enumerate() {
        let Some(ms) = tails[side] else { continue };
        let is_faster = tails[1 - side].is_some_and(|other| ms < other || (ms == other && side == 1));
        let mark = ms.max(1e-3).log10();
        // Near the right edge there is no room for words on that side.
        let is_last = mark > x.low + (x.high - x.low) * NEAR_THE_EDGE;
        let (sign, h) = if is_faster || is_last { (-1.0, HPos::Right) } else { (1.0, HPos::Left) };
        let at = mark + sign * (x.high - x.low) * 0.012;
        let height = P99_NINES - sign * (y.high - y.low) * 0.055;
        label(chart, (at, height), &words(&arm.name, ms), text(colour, h, VPos::Center))?;
    }
    Ok(())
}

/// Latency distributions of both arms.
pub(super) fn distributions(ab: &AbData) -> anyhow::Result<String> {
    let (x, y) = distribution_axes(ab);
    figure::draw(WIDE, &x, &y, |chart| {
        draw_distribution(chart, ab, y.low)?;
        label_p99(chart, ab, &x, &y, |_, ms| format!("p99 {} ms", millis(ms)))
    })
}

/// Percentiles of both arms with their intervals.
pub(super) fn tail_bars(ab: &AbData) -> anyhow::Result<String> {
    let highest = ab.arms.iter().flat_map(|arm| &arm.tail).map(|one| one.high).fold(0.0, f64::max);
    let x = Axis::columns(TAIL.iter().map(|(_, name)| *name), "");
    let y = Axis::from_zero(highest * 1.04, 5.0, "latency, ms");
    figure::draw(HALF, &x, &y, |chart| {
        for (side, (arm, colour)) in ab.arms.iter().zip(ARMS).enumerate() {
            for (column, one) in arm.tail.iter().enumerate() {
                let left = column as f64 + 0.14 + 0.37 * side as f64;
                let middle = left + 0.175;
                bar(chart, (left, 0.0), (left + 0.35, one.value), colour)?;
                line(chart, &[(middle, one.low), (middle, one.high)], INK, 3)?;
                for end in [one.low, one.high] {
                    line(chart, &[(middle - 0.04, end), (middle + 0.04, end)], INK, 3)?;
                }
                label(
                    chart,
                    (middle, one.high + y.high * 0.012),
                    &millis(one.value),
                    text(INK, HPos::Center, VPos::Bottom),
                )?;
            }
        }
        Ok(())
    })
}

/// p99 of each block over time, with what happened.
pub(super) fn timeline(ab: &AbData) -> anyhow::Result<String> {
    let until = ab.blocks.iter().map(|block| block.until_secs).fold(0.0, f64::max);
    let highest = ab.blocks.iter().map(|block| block.p99_ms).fold(0.0, f64::max);
    let x = Axis::linear(0.0, until, 8.0, "seconds since the start of the A/B");
    let y = Axis::from_zero(highest * 1.12, 5.0, "p99 of a block, ms");
    figure::draw(WIDE, &x, &y, |chart| {
        for event in &ab.events {
            dashed(chart, (event.t_secs, 0.0), (event.t_secs, y.high), EVENT)?;
            // On the side where there is more room.
            let (h, shift) = if event.t_secs > until * 0.6 { (HPos::Right, -0.006) } else { (HPos::Left, 0.006) };
            let at = (event.t_secs + until * shift, y.high * 0.985);
            label(chart, at, &event.label, text(EVENT, h, VPos::Top))?;
        }
        for block in &ab.blocks {
            let colour = if block.side == Side::Control { ARMS[0] } else { ARMS[1] };
            line(chart, &[(block.from_secs, block.p99_ms), (block.until_secs, block.p99_ms)], colour, 9)?;
            let at = ((block.from_secs + block.until_secs) / 2.0, block.p99_ms + y.high * 0.018);
            label(chart, at, &millis(block.p99_ms), text(colour, HPos::Center, VPos::Bottom))?;
        }
        Ok(())
    })
}

/// How much of the traffic each endpoint got.
pub(super) fn shares(endpoints: &[EndpointShare]) -> anyhow::Result<String> {
    let highest = endpoints.iter().flat_map(|one| one.ratio).fold(0.0, f64::max);
    let x = Axis::from_zero(highest, 4.0, "share of the arm's requests").percent();
    let y = Axis::names(endpoints.iter().map(|one| one.name.as_str()), "");
    let size = (HALF.0, endpoints.len().max(1) as u32 * BAR + 120);
    figure::draw(size, &x, &y, |chart| {
        for (endpoint, (at, _)) in endpoints.iter().zip(&y.ticks) {
            for (side, ratio) in endpoint.ratio.iter().enumerate() {
                let top = at + 0.4 - 0.4 * side as f64;
                bar(chart, (0.0, top - 0.36), (*ratio, top), ARMS[side])?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::ReportData;
    use super::super::data::tests::played;
    use super::*;
    use crate::report::Event;
    use crate::summary::Comparison;

    #[test]
    fn every_plot_names_its_axes_and_marks_the_events() -> anyhow::Result<()> {
        let events = [Event { t_secs: 3.0, label: "a browns out".to_owned() }];
        let data = ReportData::of_ab("t", ["x", "y"], &Comparison::default(), &played()).with_events(&events, &[]);
        let Some(ab) = &data.ab else { anyhow::bail!("no A/B") };
        let (cdf, bars, time, shares) = (distributions(ab)?, tail_bars(ab)?, timeline(ab)?, shares(&ab.shares)?);
        assert!(cdf.contains("latency, ms") && cdf.contains("99.9 %") && cdf.contains("p99 495 ms"), "{cdf}");
        assert!(bars.contains("p99.9") && bars.contains("248"));
        assert!(time.contains("a browns out"));
        assert!(shares.contains("share of the arm"));
        Ok(())
    }

    #[test]
    fn an_empty_run_is_drawn_without_a_panic() -> anyhow::Result<()> {
        let data = ReportData::of_ab("t", ["x", "y"], &Comparison::default(), &crate::ab::Played::default());
        let Some(ab) = &data.ab else { anyhow::bail!("no A/B") };
        for svg in [distributions(ab)?, tail_bars(ab)?, timeline(ab)?, shares(&ab.shares)?] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        }
        Ok(())
    }
}
