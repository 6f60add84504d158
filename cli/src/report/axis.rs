//! Axes: where they begin and end, and which ticks they have.
//!
//! plotters' own ticks of a logarithmic axis are powers of ten only, and those of a share are decimals. Here every
//! axis is linear in what is drawn, and carries its ticks with their labels.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) title: String,
    /// Grid lines at the ticks.
    pub(super) grid: bool,
}

impl Axis {
    /// From `low` to `high` with about `count` round ticks.
    pub(super) fn linear(low: f64, high: f64, count: f64, title: &str) -> Self {
        let (low, high) = widened(low, high);
        let step = round_step((high - low) / count);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|tick| (tick as f64 * step, number(tick as f64 * step, step))).collect();
        Self { low, high, ticks, title: title.to_owned(), grid: true }
    }

    /// From zero to a little above `high`.
    pub(super) fn from_zero(high: f64, count: f64, title: &str) -> Self {
        Self::linear(0.0, if high > 0.0 { high * 1.08 } else { 1.0 }, count, title)
    }

    /// Milliseconds on a logarithmic scale; positions are their `log10`.
    pub(super) fn log_ms(low_ms: f64, high_ms: f64, title: &str) -> Self {
        let (low, high) = (low_ms.max(1e-3).log10(), high_ms.max(1e-3).log10());
        let (low, high) = widened(low, high);
        let decades = low.floor() as i32..=high.ceil() as i32;
        let ticks = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
            .filter(|ms| (low..=high).contains(&ms.log10()))
            .map(|ms| (ms.log10(), number(ms, ms)))
            .collect();
        Self { low, high, ticks, title: title.to_owned(), grid: true }
    }

    /// Shares of requests on the scale of nines, `−log10(1 − share)`, up to `nines`.
    pub(super) fn nines(nines: f64, title: &str) -> Self {
        let ticks =
            [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
        let ticks = ticks
            .iter()
            .map(|(share, label)| (-f64::log10(1.0 - share), (*label).to_owned()))
            .filter(|(position, _)| *position <= nines + 1e-9)
            .collect();
        Self { low: 0.0, high: nines.max(1.0), ticks, title: title.to_owned(), grid: true }
    }

    /// One place for each name, at 0.5, 1.5, …; the first name is at the high end, so that it is on top.
    pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>, title: &str) -> Self {
        let names: Vec<&str> = names.collect();
        let count = names.len() as f64;
        let ticks = names.iter().enumerate().map(|(i, name)| (count - i as f64 - 0.5, (*name).to_owned())).collect();
        Self { low: 0.0, high: count.max(1.0), ticks, title: title.to_owned(), grid: false }
    }

    /// The same, the first name at the low end.
    pub(super) fn columns<'a>(names: impl Iterator<Item = &'a str>, title: &str) -> Self {
        let mut axis = Self::names(names, title);
        for (position, _) in &mut axis.ticks {
            *position = axis.high - *position;
        }
        axis
    }

    /// Ticks labelled as percentages.
    #[must_use]
    pub(super) fn percent(mut self) -> Self {
        for (position, label) in &mut self.ticks {
            let percent = (*position * 1e4).round() / 1e2;
            *label = format!("{percent} %");
        }
        self
    }

    /// The label of a position.
    pub(super) fn label(&self, at: f64) -> String {
        let near = |(position, _): &&(f64, String)| (position - at).abs() < 1e-9;
        self.ticks.iter().find(near).map(|(_, label)| label.clone()).unwrap_or_default()
    }

    /// Characters of the longest label.
    pub(super) fn longest_label(&self) -> usize {
        self.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(position, _)| *position).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// A range that is finite and not empty.
fn widened(low: f64, high: f64) -> (f64, f64) {
    match (low.is_finite(), high.is_finite()) {
        (true, true) if high - low > 1e-9 => (low, high),
        (true, _) => (low - 0.5, low + 0.5),
        _ => (0.0, 1.0),
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= step * 0.999).unwrap_or(10.0);
    digit * power
}

/// A number with the digits that a step needs.
fn number(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    // Without the sign of a zero that was rounded.
    format!("{:.digits$}", if value.abs() < step * 1e-6 { 0.0 } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(&Axis::linear(0.0, 0.35, 5.0, "")), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&Axis::linear(-3.0, 11.0, 5.0, "")), ["0", "5", "10"]);
        assert_eq!(labels(&Axis::log_ms(3.0, 300.0, "")), ["5", "10", "20", "50", "100", "200"]);
        assert_eq!(labels(&Axis::nines(3.0, "")), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        assert_eq!(labels(&Axis::linear(0.0, 1.0, 2.0, "").percent()), ["0 %", "50 %", "100 %"]);
    }

    #[test]
    fn nothing_measured_is_still_an_axis() {
        for axis in
            [Axis::linear(0.0, 0.0, 5.0, ""), Axis::log_ms(f64::NAN, f64::NAN, ""), Axis::from_zero(f64::NAN, 5.0, "")]
        {
            assert!(axis.low.is_finite() && axis.high > axis.low, "{axis:?}");
        }
        assert_eq!(Axis::names([].into_iter(), "").high, 1.0);
    }

    #[test]
    fn the_first_name_is_on_top() {
        let axis = Axis::names(["a", "b"].into_iter(), "");
        assert_eq!(axis.label(1.5), "a");
        assert_eq!(Axis::columns(["a", "b"].into_iter(), "").label(0.5), "a");
    }
}
