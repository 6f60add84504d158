//! Two policies side by side, as text for the terminal.

use crate::summary::{ArmSummary, Comparison, Ratio};
use crate::table::{layout, millis};

/// What is compared: everything, then in groups.
#[derive(Debug)]
pub struct Comparisons<'a> {
    /// All requests under the control policy.
    pub control: &'a ArmSummary,
    /// All requests under the treatment policy.
    pub treatment: &'a ArmSummary,
    /// Ratio of their p99s.
    pub p99_ratio: Ratio,
    /// Groupings: what they are by, and their comparisons.
    pub groups: &'a [(&'a str, &'a [Comparison])],
}

/// The tables.
pub fn text(control: &str, treatment: &str, all: &Comparisons<'_>) -> String {
    let row = |name: &str, arm: &ArmSummary| {
        let mut cells = vec![name.to_owned(), arm.requests.to_string(), arm.errors.to_string()];
        cells.extend([arm.p50_ms, arm.p90_ms, arm.p99_ms, arm.p999_ms].map(millis));
        cells
    };
    let header = ["latency, ms", "requests", "errors", "p50", "p90", "p99", "p99.9"];
    let mut text = layout(&header, &[row(control, all.control), row(treatment, all.treatment)]);
    text.push_str(&format!("\np99 of {treatment} over {control}: {}\n", ratio(all.p99_ratio)));
    for (name, comparisons) in all.groups {
        let header =
            [*name, "requests", &format!("p99 {control}"), &format!("p99 {treatment}"), "ratio (95 % interval)"];
        let rows: Vec<Vec<String>> = comparisons
            .iter()
            .map(|one| {
                vec![
                    one.name.clone(),
                    (one.control.requests + one.treatment.requests).to_string(),
                    millis(one.control.p99_ms),
                    millis(one.treatment.p99_ms),
                    ratio(one.p99_ratio),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&layout(&header, &rows));
    }
    text
}

/// A ratio with its interval, where it has one: a single block has none.
pub fn ratio(ratio: Ratio) -> String {
    // Small ratios with one digit more, or 0.034 and 0.026 look alike.
    let digits = if ratio.value < 0.1 { 3 } else { 2 };
    let value = format!("{:.digits$}", ratio.value);
    if ratio.low == ratio.high {
        format!("{value} (one block)")
    } else {
        format!("{value} [{:.digits$}, {:.digits$}]", ratio.low, ratio.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_shows_its_interval_where_it_has_one() {
        assert_eq!(ratio(Ratio { value: 0.334, low: 0.3, high: 0.41 }), "0.33 [0.30, 0.41]");
        assert_eq!(ratio(Ratio { value: 0.0334, low: 0.03, high: 0.2 }), "0.033 [0.030, 0.200]");
        assert_eq!(ratio(Ratio { value: 0.5, low: 0.5, high: 0.5 }), "0.50 (one block)");
    }
}
