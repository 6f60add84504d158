//! The score of a candidate: what a request would cost there, milliseconds.
//!
//! Its own latency by the forecast, what it would add to those in service, the chance of failure times its price; all
//! candidates side by side, since a score is some forty operations without a branch.

use tailcast_features::Columns;
use tailcast_features::approx::exp2;
use tailcast_features::columns::FIRST_OWN;
use tailcast_features::each_lane;
use tailcast_features::index;
use tailcast_features::lanes::{LANES, Loop, run};

/// e to the power of a log-latency, by the features' own power of two: a third of the C library's cost.
#[inline(always)]
fn exp(ln: f32) -> f32 {
    exp2(ln * std::f32::consts::LOG2_E)
}

/// What of a score is the same for all candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pricing {
    /// The most requests in flight that the trees tell apart.
    pub(crate) most_in_flight: f32,
    pub(crate) caused_slowdown_weight: f32,
    pub(crate) error_penalty_ms: f32,
    /// Share that each place in the order of homes adds.
    pub(crate) step: f32,
}

/// The parts of the scores of one decision, by candidate; as many of each.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// Forecasts, natural log of milliseconds: what is minimised, the median, the median with one request more.
    pub(crate) objective: Vec<f32>,
    pub(crate) median: Vec<f32>,
    pub(crate) busier: Vec<f32>,
    /// Probability of failure.
    pub(crate) failing: Vec<[f32; LANES]>,
    corrections: Vec<f32>,
    loads: Vec<f32>,
    ranks: Vec<f32>,
    scores: Vec<f32>,
}

impl Scores {
    /// The scores.
    pub(crate) fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Scores that come from elsewhere.
    pub(crate) fn set(&mut self, scores: impl Iterator<Item = f32>) {
        self.scores.clear();
        self.scores.extend(scores);
    }

    /// What is added to the forecasts: the online correction, where there are any, and the bandit's.
    pub(crate) fn correct(&mut self, online: &[f32], bandit: impl Fn(usize) -> f32) {
        let count = self.objective.len();
        self.corrections.clear();
        self.corrections.extend((0..count).map(|i| online.get(i).copied().unwrap_or(0.0) + bandit(i)));
    }

    /// Requests in service, and places in the order of homes where they count.
    pub(crate) fn load(&mut self, loads: impl Iterator<Item = u32>, ranks: &[u32]) {
        self.loads.clear();
        self.loads.extend(loads.map(|load| load as f32));
        self.ranks.clear();
        self.ranks.extend(ranks.iter().map(|rank| *rank as f32));
        self.ranks.resize(self.loads.len(), 0.0);
    }

    /// Computes the scores. False where any is not finite.
    pub(crate) fn price(&mut self, candidates: &Columns, pricing: Pricing) -> bool {
        self.scores.clear();
        self.scores.resize(candidates.len(), 0.0);
        let mut finite = true;
        run(Price { parts: self, candidates, pricing, finite: &mut finite });
        finite
    }
}

struct Price<'a> {
    parts: &'a mut Scores,
    candidates: &'a Columns,
    pricing: Pricing,
    finite: &'a mut bool,
}

impl Loop for Price<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { parts, candidates, pricing, finite } = self;
        let count = candidates.len();
        for (block, lanes) in candidates.blocks().enumerate() {
            let places = block * LANES..count.min((block + 1) * LANES);
            let part = |values: &[f32]| lanes_of(&values[places.clone()]);
            let correction = part(&parts.corrections);
            let (objective, median, busier) = (part(&parts.objective), part(&parts.median), part(&parts.busier));
            let (load, rank) = (part(&parts.loads), part(&parts.ranks));
            let in_flight = &lanes[index::IN_FLIGHT - FIRST_OWN];
            let failing = &parts.failing[block];
            let score: [f32; LANES] = each_lane!(|i| {
                // Trees are flat beyond the most in flight that they have seen; a queue is not. From there on latency grows
                // with the number in service, as it does where a server shares itself or serves in turn.
                let beyond = ((in_flight[i] + 1.0) / (pricing.most_in_flight + 1.0)).max(1.0);
                let own_ms = exp(objective[i] + correction[i]) * beyond;
                // What this request would add to those in service: their number times the median's growth by one more.
                let (median, busier) = (exp(median[i] + correction[i]), exp(busier[i] + correction[i]));
                let growth = if beyond > 1.0 { own_ms / (in_flight[i] + 1.0) } else { (busier - median).max(0.0) };
                let caused_ms = pricing.caused_slowdown_weight * load[i] * growth;
                let error_ms = failing[i] * pricing.error_penalty_ms;
                (own_ms + caused_ms) * (1.0 + pricing.step * rank[i]) + error_ms
            });
            let out = &mut parts.scores[places.clone()];
            out.copy_from_slice(&score[..out.len()]);
            *finite &= out.iter().all(|score| score.is_finite());
        }
    }
}

/// Up to [`LANES`] values; zeros beyond.
#[inline(always)]
fn lanes_of(values: &[f32]) -> [f32; LANES] {
    if let Some(all) = values.first_chunk() {
        return *all;
    }
    let mut lanes = [0.0; LANES];
    lanes[..values.len()].copy_from_slice(values);
    lanes
}
