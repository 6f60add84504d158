//! A/B on sockets: the same traffic under two policies, in alternating blocks of one run.
//!
//! Each slice of the trace is played twice, once under each policy, and the order alternates (A B, B A, …), so
//! that a drift of the machine falls on both arms alike. A slice is the unit of the bootstrap: requests within one
//! share queues and are not independent, slices nearly are.

use crate::summary::{ArmSummary, Comparison, Ratio};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailcast_datasets::{Trace, TraceRow};
use tailcast_testbed::load::{self, LoadOptions, Target};
use tailcast_testbed::stats::{percentile, percentile_ratio};

/// Which policy a block ran under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The policy in use today.
    Control,
    /// The policy on trial.
    Treatment,
}

/// One block of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number of the slice of the trace.
    pub slice: usize,
    /// Policy.
    pub side: Side,
}

/// Alternating blocks: slice 0 as A B, slice 1 as B A, and so on.
pub fn schedule(pairs: usize) -> Vec<Block> {
    (0..pairs)
        .flat_map(|slice| {
            let order = [Side::Control, Side::Treatment];
            let order = if slice % 2 == 0 { order } else { [order[1], order[0]] };
            order.map(|side| Block { slice, side })
        })
        .collect()
}

/// One request of one block.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The block's policy.
    pub side: Side,
    /// The block's slice.
    pub slice: usize,
    /// When it was due, from the start of the A/B.
    pub at: Duration,
    /// Tenant.
    pub tenant: Arc<str>,
    /// Route.
    pub route: Arc<str>,
    /// Latency from the intended send time, milliseconds.
    pub latency_ms: f64,
    /// Whether it failed.
    pub is_error: bool,
    /// Who answered, where known.
    pub endpoint: Option<Arc<str>>,
}

/// What to play.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Traffic; slices are taken one after the other and start anew at its end.
    pub trace: &'a Trace,
    /// Length of a slice, in time of the trace.
    pub slice: Duration,
    /// Slices, each played twice.
    pub pairs: usize,
    /// Time runs this many times faster.
    pub speed: f64,
    /// Where to.
    pub target: &'a Target,
    /// How.
    pub options: &'a LoadOptions,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Played {
    /// One a request.
    pub observations: Vec<Observation>,
    /// Largest 99th percentile of the generator's own lateness over the blocks, milliseconds.
    pub lag_p99_ms: f64,
    /// Requests that the generator could not send.
    pub dropped: u64,
}

/// Rows of slice `number`, cyclic over the trace.
pub fn slice_rows(trace: &Trace, length: Duration, number: usize) -> Vec<TraceRow> {
    let whole = trace.duration();
    let slices = (whole.as_secs_f64() / length.as_secs_f64()).floor().max(1.0) as usize;
    let from = length * (number % slices) as u32;
    trace.slice(from, from + length).into_rows()
}

/// Plays the plan. `switch` changes the policy before each block and may do whatever else the block needs.
///
/// # Errors
/// Where the policy cannot be switched or the load cannot be sent.
pub fn play(
    plan: &Plan<'_>,
    switch: &mut dyn FnMut(usize, Block) -> anyhow::Result<()>,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Played> {
    let mut played = Played::default();
    let start = Instant::now();
    let mut done = 0;
    for (number, block) in schedule(plan.pairs).into_iter().enumerate() {
        switch(number, block)?;
        let rows = slice_rows(plan.trace, plan.slice, block.slice);
        let offset = start.elapsed();
        let shots = load::shots(&rows, plan.speed);
        let result = load::run(&shots, plan.target, plan.options, &mut |ended| progress(done + ended))?;
        done += result.samples.len() as u64;
        played.lag_p99_ms = played.lag_p99_ms.max(result.lag_p99().as_secs_f64() * 1e3);
        played.dropped += result.dropped;
        played.observations.extend(result.samples.into_iter().map(|sample| Observation {
            side: block.side,
            slice: block.slice,
            at: offset + sample.at,
            tenant: Arc::clone(&rows[sample.index].tenant),
            route: Arc::clone(&rows[sample.index].route),
            latency_ms: sample.latency.as_secs_f64() * 1e3,
            is_error: sample.is_error(),
            endpoint: sample.endpoint,
        }));
    }
    Ok(played)
}

/// Latencies and errors of some requests.
pub fn arm<'a>(observations: impl Iterator<Item = &'a Observation>) -> ArmSummary {
    let (mut errors, mut latencies) = (0, Vec::new());
    for observation in observations {
        errors += u64::from(observation.is_error);
        latencies.push(observation.latency_ms);
    }
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |share| if latencies.is_empty() { 0.0 } else { percentile(&latencies, share) };
    ArmSummary {
        requests: latencies.len() as u64,
        errors,
        mean_ms: latencies.iter().sum::<f64>() / latencies.len().max(1) as f64,
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
    }
}

/// Control and treatment side by side over the requests that `belongs` accepts.
pub fn compare(
    name: &str,
    observations: &[Observation],
    seed: u64,
    belongs: impl Fn(&Observation) -> bool,
) -> Comparison {
    let of = |side| observations.iter().filter(move |observation| observation.side == side);
    let blocked = |side| -> Vec<(usize, f64)> {
        of(side).filter(|one| belongs(one)).map(|one| (one.slice, one.latency_ms)).collect()
    };
    let ratio = percentile_ratio(&blocked(Side::Control), &blocked(Side::Treatment), 0.99, seed);
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    Comparison {
        name: name.to_owned(),
        control: arm(of(Side::Control).filter(|one| belongs(one))),
        treatment: arm(of(Side::Treatment).filter(|one| belongs(one))),
        p99_ratio: Ratio { value: finite(ratio.value), low: finite(ratio.low), high: finite(ratio.high) },
    }
}

/// One comparison for each value of `key`, in the order of the keys.
pub fn compare_by(observations: &[Observation], seed: u64, key: impl Fn(&Observation) -> String) -> Vec<Comparison> {
    let mut names: BTreeMap<String, ()> = BTreeMap::new();
    observations.iter().for_each(|observation| {
        names.insert(key(observation), ());
    });
    names.keys().map(|name| compare(name, observations, seed, |observation| key(observation) == *name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(side: Side, slice: usize, latency_ms: f64) -> Observation {
        Observation {
            side,
            slice,
            at: Duration::ZERO,
            tenant: Arc::from("acme"),
            route: Arc::from("/r"),
            latency_ms,
            is_error: latency_ms > 90.0,
            endpoint: None,
        }
    }

    #[test]
    fn each_slice_is_played_under_both_and_the_order_alternates() {
        let sides: Vec<Side> = schedule(3).iter().map(|block| block.side).collect();
        assert_eq!(
            sides,
            [Side::Control, Side::Treatment, Side::Treatment, Side::Control, Side::Control, Side::Treatment]
        );
        for slice in 0..3 {
            assert_eq!(schedule(3).iter().filter(|block| block.slice == slice).count(), 2);
        }
    }

    #[test]
    fn a_comparison_counts_its_own_requests_only() {
        let mut all: Vec<Observation> = (0..100).map(|i| observation(Side::Control, i % 4, i as f64 + 1.0)).collect();
        all.extend((0..100).map(|i| observation(Side::Treatment, i % 4, (i as f64 + 1.0) / 2.0)));
        let comparison = compare("all", &all, 1, |_| true);
        assert_eq!((comparison.control.requests, comparison.control.errors, comparison.treatment.errors), (100, 10, 0));
        assert_eq!((comparison.control.p99_ms, comparison.treatment.p99_ms), (99.0, 49.5));
        assert!((comparison.p99_ratio.value - 0.5).abs() < 1e-12);
        let nobody = compare("none", &all, 1, |_| false);
        assert_eq!((nobody.control.requests, nobody.p99_ratio.value), (0, 0.0));
    }
}
