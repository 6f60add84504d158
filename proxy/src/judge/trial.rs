//! One pool's requests by the model beside those of its control.
//!
//! Time is cut into blocks of at least a tenth of a second in which both arms have requests enough; in each block two shares are
//! compared: of requests that were *slow* (beyond the 95th percentile of the control's newest), and of those that *missed*
//! the champion's highest quantile. What hits both arms at once, a spike or a brown-out, falls out of the difference. A
//! request that failed is slow and missed. Which requests are in the control is drawn by chance, so nothing but the routing
//! tells the arms apart.

use super::detector::Detector;
use super::sample::Sample;
use serde::Serialize;
use std::collections::VecDeque;
use tailcast_features::{OutcomeKind, Tick};

/// Seconds of a block at least. It bounds how often one looks, not what one sees: where the control is thin a block takes
/// as long as its ten requests take to come.
const BLOCK_SECS: f32 = 0.1;

/// Requests of each arm in a block at least; with fewer the block goes on.
const MIN_ARM_ROWS: u32 = 10;

/// Requests of the control that say what slow is.
const RECENT: usize = 400;

/// As many there must be before the first block.
const MIN_RECENT: usize = 100;

/// Share of the control that is not slow.
const SLOW_LEVEL: f64 = 0.95;

/// Why a model is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// More of its requests are slow than of the control's.
    Slow,
    /// More of its requests are beyond its own forecast of the tail than of the control's.
    Coverage,
}

impl Harm {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Slow, Self::Coverage];

    /// As in labels of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Coverage => "coverage",
        }
    }
}

/// Both arms of a pool since the champion was taken up; shares are over all of that time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Arms {
    /// Requests that the model routed and that were sampled.
    pub treated: u64,
    /// Requests of the control.
    pub control: u64,
    /// Blocks that were compared.
    pub blocks: u64,
    /// Share of slow or failed requests by the model, mean over the blocks.
    pub treated_slow_ratio: f64,
    /// The same of the control.
    pub control_slow_ratio: f64,
    /// Share of requests by the model beyond its highest quantile, mean over the blocks.
    pub treated_missed_ratio: f64,
    /// The same of the control.
    pub control_missed_ratio: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Arm {
    rows: u32,
    slow: u32,
    missed: u32,
}

impl Arm {
    fn share(self, of: u32) -> f64 {
        f64::from(of) / f64::from(self.rows.max(1))
    }
}

/// One pool under one champion.
#[derive(Debug)]
pub(super) struct Trial {
    since: Tick,
    /// Newest log-latencies of the control.
    recent: VecDeque<f32>,
    /// What is slow in the block at hand; none before it is known.
    slow: Option<f32>,
    treated: Arm,
    control: Arm,
    slower: Detector,
    misses: Detector,
    arms: Arms,
}

impl Trial {
    pub(super) fn new(worse_by: f64, now: Tick) -> Self {
        Self {
            since: now,
            recent: VecDeque::with_capacity(RECENT),
            slow: None,
            treated: Arm::default(),
            control: Arm::default(),
            slower: Detector::new(worse_by),
            misses: Detector::new(worse_by),
            arms: Arms::default(),
        }
    }

    /// Takes in a request for which the champion forecast `tail`; the harm that is certain by it, if any.
    pub(super) fn add(&mut self, sample: &Sample, tail: f32) -> Option<Harm> {
        // A client that went away says nothing.
        if sample.kind == OutcomeKind::ClientAbort {
            return None;
        }
        let failed = sample.kind.is_endpoint_failure();
        if let Some(slow) = self.slow {
            let arm = if sample.is_treated { &mut self.treated } else { &mut self.control };
            arm.rows += 1;
            arm.slow += u32::from(failed || sample.ln_ms > slow);
            arm.missed += u32::from(failed || sample.ln_ms > tail);
        }
        if sample.is_treated {
            self.arms.treated += 1;
        } else {
            self.arms.control += 1;
            if sample.is_answered() {
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(sample.ln_ms);
            }
        }
        let is_full = self.slow.is_none() || self.treated.rows.min(self.control.rows) >= MIN_ARM_ROWS;
        if is_full && sample.at.secs_since(self.since) >= BLOCK_SECS {
            return self.close(sample.at);
        }
        None
    }

    pub(super) fn arms(&self) -> Arms {
        self.arms
    }

    /// Ends a block and begins the next. What is slow there is known before it begins, so that no arm's requests decide
    /// what they are judged by.
    fn close(&mut self, now: Tick) -> Option<Harm> {
        let harm = self.slow.is_some().then(|| self.compare()).flatten();
        self.since = now;
        (self.treated, self.control) = (Arm::default(), Arm::default());
        if self.recent.len() >= MIN_RECENT {
            let mut sorted: Vec<f32> = self.recent.iter().copied().collect();
            let rank = ((sorted.len() as f64 * SLOW_LEVEL).ceil() as usize).clamp(1, sorted.len()) - 1;
            let (_, slow, _) = sorted.select_nth_unstable_by(rank, f32::total_cmp);
            self.slow = Some(*slow);
        }
        harm
    }

    fn compare(&mut self) -> Option<Harm> {
        let (treated, control) = (self.treated, self.control);
        let slow = (treated.share(treated.slow), control.share(control.slow));
        let missed = (treated.share(treated.missed), control.share(control.missed));
        let arms = &mut self.arms;
        arms.blocks += 1;
        let mean = |mean: &mut f64, value: f64| *mean += (value - *mean) / arms.blocks as f64;
        mean(&mut arms.treated_slow_ratio, slow.0);
        mean(&mut arms.control_slow_ratio, slow.1);
        mean(&mut arms.treated_missed_ratio, missed.0);
        mean(&mut arms.control_missed_ratio, missed.1);
        // Both are always fed, whichever alarms first.
        let is_slower = self.slower.observe(slow.0 - slow.1);
        let misses = self.misses.observe(missed.0 - missed.1);
        match (is_slower, misses) {
            (true, _) => Some(Harm::Slow),
            (false, true) => Some(Harm::Coverage),
            (false, false) => None,
        }
    }
}
