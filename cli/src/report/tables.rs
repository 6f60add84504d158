//! The tables of the report.

use super::data::AbData;
use crate::comparison::ratio;
use crate::summary::{ArmSummary, Comparison};
use crate::table::millis;
use maud::{Markup, html};

/// Both arms, all percentiles.
pub(super) fn arms(ab: &AbData) -> Markup {
    let row = |name: &str, class: &str, arm: &ArmSummary| {
        html! {
            tr {
                td class=(class) { (name) }
                td { (count(arm.requests)) } td { (count(arm.errors)) }
                @for ms in [arm.mean_ms, arm.p50_ms, arm.p90_ms, arm.p99_ms, arm.p999_ms] { td { (millis(ms)) } }
            }
        }
    };
    html! {
        div.panel {
            table {
                thead { tr {
                    th { "latency, ms" } th { "requests" } th { "errors" }
                    th { "mean" } th { "p50" } th { "p90" } th { "p99" } th { "p99.9" }
                } }
                tbody {
                    (row(&ab.arms[0].name, "control", &ab.all.control))
                    (row(&ab.arms[1].name, "treatment", &ab.all.treatment))
                }
            }
        }
    }
}

/// One row for each group.
pub(super) fn comparisons(by: &str, names: [&str; 2], rows: &[Comparison]) -> Markup {
    html! {
        div.panel {
            table {
                thead { tr {
                    th { (by) } th { "requests" } th { "errors" }
                    th { "p99 " (names[0]) } th { "p99 " (names[1]) } th { "ratio [95 % interval]" }
                } }
                tbody { @for one in rows { tr {
                    td { (one.name) }
                    td { (count(one.control.requests + one.treatment.requests)) }
                    td { (count(one.control.errors + one.treatment.errors)) }
                    td { (millis(one.control.p99_ms)) } td { (millis(one.treatment.p99_ms)) }
                    td { (ratio(one.p99_ratio)) }
                } } }
            }
        }
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let row = Comparison { name: "<script>".to_owned(), ..Comparison::default() };
        let html = comparisons("route", ["a", "b"], &[row]).into_string();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
    }
}
