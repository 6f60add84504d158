//! How the simulated peers compare with the published rows of Prequal's testbed.
//!
//! Source: Wydrowski et al., NSDI'24, the comparison of selection rules at 70 % and 90 % load. A simulator that does not
//! keep the published order and ratios says nothing about a new policy, so this table is printed with every result.

use super::SimulationReport;
use serde::Serialize;

/// The published figures in milliseconds; `None` is a timeout. (rule, load %, p90, p99)
const PUBLISHED: [(&str, f64, Option<f64>, Option<f64>); 18] = [
    ("round_robin", 0.7, Some(4984.0), None),
    ("random", 0.7, Some(294.0), None),
    ("weighted_round_robin", 0.7, Some(173.0), Some(314.0)),
    ("least_loaded", 0.7, Some(343.0), Some(1804.0)),
    ("least_request", 0.7, Some(224.0), Some(569.0)),
    ("yarp", 0.7, Some(210.0), Some(2642.0)),
    ("linear", 0.7, Some(206.0), Some(698.0)),
    ("c3", 0.7, Some(161.0), Some(299.0)),
    ("prequal", 0.7, Some(149.0), Some(281.0)),
    ("round_robin", 0.9, None, None),
    ("random", 0.9, None, None),
    ("weighted_round_robin", 0.9, Some(1667.0), None),
    ("least_loaded", 0.9, Some(940.0), Some(2654.0)),
    ("least_request", 0.9, Some(623.0), Some(1918.0)),
    ("yarp", 0.9, Some(213.0), Some(1169.0)),
    ("linear", 0.9, Some(245.0), Some(1036.0)),
    ("c3", 0.9, Some(164.0), Some(304.0)),
    ("prequal", 0.9, Some(152.0), Some(286.0)),
];

/// Rows whose ratio to Prequal must be near the published one, and how near.
const HELD: [&str; 3] = ["c3", "linear", "least_request"];
/// See [`HELD`].
const TOLERANCE: f64 = 0.25;

/// A latency from which on a row counts as timed out, milliseconds.
const TIMED_OUT_MS: f64 = 4_900.0;

/// One published figure beside the simulated one.
#[derive(Debug, Clone, Serialize)]
pub struct CredibilityRow {
    /// Policy.
    pub policy: String,
    /// Load over allocation.
    pub load: f64,
    /// `p90` or `p99`.
    pub quantile: &'static str,
    /// Published over Prequal's; `None` for a timeout.
    pub published_ratio: Option<f64>,
    /// Simulated over Prequal's; `None` for a timeout.
    pub simulated_ratio: Option<f64>,
    /// Whether the ratio must lie within 25 %, and if so whether it does.
    pub held: Option<bool>,
}

/// The table.
#[derive(Debug, Clone, Serialize)]
pub struct Credibility {
    /// Rows.
    pub rows: Vec<CredibilityRow>,
    /// Pairs of rows in the published order, and all pairs.
    pub ordered_pairs: (usize, usize),
}

impl Credibility {
    pub(super) fn of(report: &SimulationReport) -> Option<Self> {
        if !report.scenario.starts_with("a1_") {
            return None;
        }
        let mut rows = Vec::new();
        let mut ordered = (0, 0);
        for cell in &report.cells {
            let load = cell.cell.utilisation?;
            for quantile in ["p90", "p99"] {
                let figures: Vec<(&str, Option<f64>, Option<f64>)> = PUBLISHED
                    .iter()
                    .filter(|published| (published.1 - load).abs() < 1e-6)
                    .filter_map(|(policy, _, p90, p99)| {
                        let row = cell.row(policy)?;
                        let (published, found) =
                            if quantile == "p90" { (*p90, row.p90_ms) } else { (*p99, row.p99_ms) };
                        Some((*policy, published, Some(found.mean).filter(|ms| *ms < TIMED_OUT_MS)))
                    })
                    .collect();
                let Some((_, Some(published_base), Some(found_base))) =
                    figures.iter().find(|figure| figure.0 == "prequal").copied()
                else {
                    continue;
                };
                count_order(&figures, &mut ordered);
                rows.extend(figures.iter().map(|(policy, published, found)| {
                    let published_ratio = published.map(|ms| ms / published_base);
                    let simulated_ratio = found.map(|ms| ms / found_base);
                    let near = |(a, b): (f64, f64)| (b / a - 1.0).abs() <= TOLERANCE;
                    let both = published_ratio.zip(simulated_ratio);
                    let held = HELD.contains(policy).then(|| both.is_some_and(near));
                    CredibilityRow {
                        policy: (*policy).to_owned(),
                        load,
                        quantile,
                        published_ratio,
                        simulated_ratio,
                        held,
                    }
                }));
            }
        }
        (!rows.is_empty()).then_some(Self { rows, ordered_pairs: ordered })
    }
}

/// Counts pairs that stand in the published order; a timeout is above everything, two timeouts are equal.
fn count_order(figures: &[(&str, Option<f64>, Option<f64>)], ordered: &mut (usize, usize)) {
    let value = |ms: Option<f64>| ms.unwrap_or(f64::MAX);
    for (i, a) in figures.iter().enumerate() {
        for b in &figures[i + 1..] {
            let (published, found) = (value(a.1).total_cmp(&value(b.1)), value(a.2).total_cmp(&value(b.2)));
            if published.is_eq() {
                continue;
            }
            ordered.1 += 1;
            ordered.0 += usize::from(published == found);
        }
    }
}
