//! What a report shows: the numbers behind every plot and table, taken once from the observations.

use crate::ab::{Observation, Played, Side};
use crate::summary::{Comparison, Ratio};
use std::collections::{BTreeMap, BTreeSet};
use tailcast_testbed::stats::{percentile, percentile_ratio};
use tailcast_training::TrainReport;

/// Something that happened during the A/B.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Seconds from the start of the A/B.
    pub t_secs: f64,
    /// What.
    pub label: String,
}

/// Everything in one report.
#[derive(Debug)]
pub struct ReportData<'a> {
    pub(super) title: String,
    pub(super) facts: Vec<(String, String)>,
    pub(super) ab: Option<AbData>,
    pub(super) model: Option<&'a TrainReport>,
}

/// Two policies on the same traffic.
#[derive(Debug)]
pub(super) struct AbData {
    pub(super) arms: [Arm; 2],
    pub(super) all: Comparison,
    pub(super) blocks: Vec<BlockTail>,
    pub(super) shares: Vec<EndpointShare>,
    pub(super) events: Vec<Event>,
    pub(super) phases: Vec<Comparison>,
    pub(super) routes: Vec<Comparison>,
    pub(super) tenant_groups: Vec<Comparison>,
}

/// One policy.
#[derive(Debug)]
pub(super) struct Arm {
    pub(super) name: String,
    /// Points of the distribution: latency in milliseconds, and "nines", `−log10(1 − share)`.
    pub(super) distribution: Vec<(f64, f64)>,
    /// Percentiles with their intervals, in the order of [`TAIL`].
    pub(super) tail: Vec<Ratio>,
}

/// The percentiles that are drawn as bars.
pub(super) const TAIL: [(f64, &str); 3] = [(0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// The tail of one block.
#[derive(Debug, PartialEq)]
pub(super) struct BlockTail {
    pub(super) side: Side,
    pub(super) from_secs: f64,
    pub(super) until_secs: f64,
    pub(super) p99_ms: f64,
}

/// How much of each arm's traffic an endpoint answered.
#[derive(Debug, PartialEq)]
pub(super) struct EndpointShare {
    pub(super) name: String,
    pub(super) ratio: [f64; 2],
}

/// Points of a distribution: one every hundredth of a nine is finer than a pixel.
const POINTS_PER_NINE: f64 = 100.0;

/// Nines at which a distribution ends: beyond 99.95 % a demo has a handful of requests.
const MAX_NINES: f64 = 3.3;

/// Seed of the bootstrap: the same samples always give the same picture.
const SEED: u64 = 1;

impl<'a> ReportData<'a> {
    /// A report of an A/B between `names`, control first.
    pub fn of_ab(title: &str, names: [&str; 2], all: &Comparison, played: &Played) -> Self {
        let observations = &played.observations;
        let arm = |side: Side, name: &str| Arm {
            name: name.to_owned(),
            distribution: distribution(observations, side),
            tail: TAIL.iter().map(|(share, _)| percentile_interval(observations, side, *share)).collect(),
        };
        let ab = AbData {
            arms: [arm(Side::Control, names[0]), arm(Side::Treatment, names[1])],
            all: all.clone(),
            blocks: blocks(observations),
            shares: shares(observations),
            events: Vec::new(),
            phases: Vec::new(),
            routes: Vec::new(),
            tenant_groups: Vec::new(),
        };
        let data = Self { title: title.to_owned(), facts: Vec::new(), ab: Some(ab), model: None };
        data.with_fact(
            "load generator late by at most",
            format!("{} ms at its p99", crate::table::millis(played.lag_p99_ms)),
        )
    }

    /// A report of a training run alone.
    pub fn of_training(title: &str, report: &'a TrainReport) -> Self {
        Self { title: title.to_owned(), facts: Vec::new(), ab: None, model: Some(report) }
    }

    /// Adds the comparisons by route and by tenant group.
    #[must_use]
    pub fn with_groups(mut self, routes: &[Comparison], tenant_groups: &[Comparison]) -> Self {
        if let Some(ab) = &mut self.ab {
            (ab.routes, ab.tenant_groups) = (routes.to_vec(), tenant_groups.to_vec());
        }
        self
    }

    /// Adds what happened during the A/B, and the comparisons before and after it.
    #[must_use]
    pub fn with_events(mut self, events: &[Event], phases: &[Comparison]) -> Self {
        if let Some(ab) = &mut self.ab {
            (ab.events, ab.phases) = (events.to_vec(), phases.to_vec());
        }
        self
    }

    /// Adds the model that routed.
    #[must_use]
    pub fn with_model(mut self, report: &'a TrainReport) -> Self {
        self.model = Some(report);
        self
    }

    /// Adds a line to "how this was measured".
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.push((name.to_owned(), value.into()));
        self
    }
}

/// The latencies of one arm, ascending.
fn latencies(observations: &[Observation], side: Side) -> Vec<f64> {
    let mut sorted: Vec<f64> = observations.iter().filter(|one| one.side == side).map(|one| one.latency_ms).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn distribution(observations: &[Observation], side: Side) -> Vec<(f64, f64)> {
    let sorted = latencies(observations, side);
    if sorted.is_empty() {
        return Vec::new();
    }
    // The last point still has one request above it.
    let nines = (sorted.len() as f64).log10().min(MAX_NINES);
    let points = (nines * POINTS_PER_NINE) as usize;
    (0..=points)
        .map(|point| point as f64 / POINTS_PER_NINE)
        .map(|nines| (percentile(&sorted, 1.0 - 10f64.powf(-nines)), nines))
        .collect()
}

/// A percentile of one arm with the 95 % interval of the block bootstrap, in milliseconds: its ratio to one that is
/// 1 ms in every block.
fn percentile_interval(observations: &[Observation], side: Side, share: f64) -> Ratio {
    let arm: Vec<(usize, f64)> =
        observations.iter().filter(|one| one.side == side).map(|one| (one.slice, one.latency_ms)).collect();
    let slices: BTreeSet<usize> = arm.iter().map(|(slice, _)| *slice).collect();
    let one: Vec<(usize, f64)> = slices.into_iter().map(|slice| (slice, 1.0)).collect();
    let ms = percentile_ratio(&one, &arm, share, SEED);
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    Ratio { value: finite(ms.value), low: finite(ms.low), high: finite(ms.high) }
}

fn blocks(observations: &[Observation]) -> Vec<BlockTail> {
    let mut blocks: BTreeMap<(usize, Side), Vec<&Observation>> = BTreeMap::new();
    for one in observations {
        blocks.entry((one.slice, one.side)).or_default().push(one);
    }
    let mut tails: Vec<BlockTail> = blocks
        .into_iter()
        .map(|((_, side), block)| {
            let mut sorted: Vec<f64> = block.iter().map(|one| one.latency_ms).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let times = || block.iter().map(|one| one.at.as_secs_f64());
            BlockTail {
                side,
                from_secs: times().fold(f64::INFINITY, f64::min),
                until_secs: times().fold(0.0, f64::max),
                p99_ms: percentile(&sorted, 0.99),
            }
        })
        .collect();
    tails.sort_by(|a, b| a.from_secs.total_cmp(&b.from_secs));
    tails
}

fn shares(observations: &[Observation]) -> Vec<EndpointShare> {
    let mut counts: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let mut totals = [0.0; 2];
    for one in observations {
        let Some(endpoint) = one.endpoint.as_deref() else { continue };
        counts.entry(endpoint).or_default()[one.side as usize] += 1.0;
        totals[one.side as usize] += 1.0;
    }
    counts
        .into_iter()
        .map(|(name, count)| EndpointShare {
            name: name.to_owned(),
            ratio: [0, 1].map(|side| count[side] / f64::max(totals[side], 1.0)),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    /// An A/B of four slices in which the treatment takes half as long.
    pub(in crate::report) fn played() -> Played {
        let mut observations = Vec::new();
        for slice in 0..4usize {
            for (side, factor) in [(Side::Control, 1.0), (Side::Treatment, 0.5)] {
                observations.extend((0..500u32).map(|i| Observation {
                    side,
                    slice,
                    at: Duration::from_millis(u64::from(i) * 2 + slice as u64 * 2_000 + 1_000 * side as u64),
                    tenant: Arc::from("acme"),
                    route: Arc::from("/r"),
                    latency_ms: f64::from(i + 1) * factor,
                    is_error: false,
                    endpoint: Some(Arc::from(if i % 4 == 0 { "a" } else { "b" })),
                }));
            }
        }
        Played { observations, ..Played::default() }
    }

    #[test]
    fn the_distribution_runs_from_the_fastest_to_the_tail() {
        let points = distribution(&played().observations, Side::Control);
        assert_eq!(points.first(), Some(&(1.0, 0.0)));
        let p99 = points.iter().find(|(_, nines)| (nines - 2.0).abs() < 1e-9);
        assert_eq!(p99.map(|(ms, _)| *ms), Some(495.0));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1));
    }

    #[test]
    fn blocks_are_in_order_and_shares_sum_to_one() {
        let data = ReportData::of_ab("t", ["x", "y"], &Comparison::default(), &played());
        let ab = data.ab.as_ref();
        let sides: Vec<Side> = ab.map(|ab| ab.blocks.iter().map(|block| block.side).collect()).unwrap_or_default();
        assert_eq!(sides[..4], [Side::Control, Side::Treatment, Side::Control, Side::Treatment]);
        let shares: f64 = ab.map(|ab| ab.shares.iter().map(|share| share.ratio[1]).sum()).unwrap_or_default();
        assert!((shares - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_percentile_lies_in_its_interval() {
        let p99 = percentile_interval(&played().observations, Side::Treatment, 0.99);
        assert_eq!(p99.value, 247.5);
        assert!(p99.low <= p99.value && p99.value <= p99.high);
        assert_eq!(percentile_interval(&[], Side::Control, 0.99), Ratio::default());
    }
}
