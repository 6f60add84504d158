//! From state to features, for one endpoint or sixteen of them with the same code.
//!
//! What a row needs of an endpoint lies in columns over neighbouring endpoints ([`EndpointLanes`]), written when an event
//! changes it. Most features are there as they are. The others are exact functions of `now` and of when something last
//! happened (ages, idle times, what has decayed since); they are computed at the decision, for all candidates of a block at
//! once. A single row is the same function over one lane, so it has the same bits.

use super::PAIR_MEMORY;
use super::PAIR_PRIOR;
use crate::approx::ln_1p;
use crate::columns::{FIRST_OWN, Lane};
use crate::decay::{DecayedRate, shrunk_by};
use crate::each_lane;
use crate::lanes::{LANES, MeanLanes};
use crate::schema::index;
use crate::tick::Tick;

/// Places of the features that are kept as they are.
pub(super) mod kept {
    pub(in super::super) const REPORTED_IN_FLIGHT: usize = 0;
    pub(in super::super) const REPORTED_UTILISATION: usize = 1;
    pub(in super::super) const SINCE_REPORT: usize = 2;
    pub(in super::super) const LATENCY_EWMA: usize = 3;
    pub(in super::super) const LATENCY_P50: usize = 4;
    pub(in super::super) const LATENCY_P95: usize = 5;
    pub(in super::super) const ERROR_RATE: usize = 6;
    pub(in super::super) const WEIGHT: usize = 7;
    pub(in super::super) const ZONE_LOCAL: usize = 8;
    pub(in super::super) const ENDPOINT_RESIDUAL: usize = 9;
    pub(in super::super) const ENDPOINT_RESIDUAL_FAST: usize = 10;
    pub(in super::super) const COUNT: usize = 11;
}

/// The feature of each place in [`kept`].
const KEPT_FEATURES: [usize; kept::COUNT] = [
    index::REPORTED_IN_FLIGHT,
    index::REPORTED_UTILISATION,
    index::SINCE_REPORT,
    index::LATENCY_EWMA,
    index::LATENCY_P50,
    index::LATENCY_P95,
    index::ERROR_RATE,
    index::WEIGHT,
    index::ZONE_LOCAL,
    index::ENDPOINT_RESIDUAL,
    index::ENDPOINT_RESIDUAL_FAST,
];

/// What rows need of neighbouring endpoints.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct EndpointLanes<const N: usize = LANES> {
    pub(super) kept: [[f32; N]; kept::COUNT],
    /// Completions, decayed up to `completed`.
    pub(super) completions: [f32; N],
    pub(super) completed: [Tick; N],
    /// Start of the oldest unfinished request; never where there is none.
    pub(super) oldest: [Tick; N],
    pub(super) reported: [Tick; N],
    pub(super) joined: [Tick; N],
}

impl<const N: usize> Default for EndpointLanes<N> {
    fn default() -> Self {
        Self {
            kept: [[f32::NAN; N]; kept::COUNT],
            completions: [0.0; N],
            completed: [Tick::ZERO; N],
            oldest: [Tick::NEVER; N],
            reported: [Tick::ZERO; N],
            joined: [Tick::NEVER; N],
        }
    }
}

impl<const N: usize> EndpointLanes<N> {
    /// Copies one lane of `other` here.
    #[inline(always)]
    pub(super) fn copy<const M: usize>(&mut self, lane: usize, other: &EndpointLanes<M>, from: usize) {
        if lane >= N || from >= M {
            return;
        }
        for (own, other) in self.kept.iter_mut().zip(&other.kept) {
            own[lane] = other[from];
        }
        self.completions[lane] = other.completions[from];
        self.completed[lane] = other.completed[from];
        self.oldest[lane] = other.oldest[from];
        self.reported[lane] = other.reported[from];
        self.joined[lane] = other.joined[from];
    }

    /// Computes the features that differ between endpoints, `out[feature − FIRST_OWN]`.
    #[inline(always)]
    pub(super) fn derive(
        &self,
        tenant: &MeanLanes<N>,
        route: &MeanLanes<N>,
        in_flight: &[f32; N],
        now: Tick,
        out: &mut Lane<N>,
    ) {
        for (feature, values) in KEPT_FEATURES.into_iter().zip(&self.kept) {
            out[feature - FIRST_OWN] = *values;
        }
        out[index::IN_FLIGHT - FIRST_OWN] = *in_flight;
        // Times are 64 bits and features 32: a loop over both runs at half the width, so ages come first.
        let oldest: [f32; N] = each_lane!(|i| now.millis_since(self.oldest[i]));
        let reported: [f32; N] = each_lane!(|i| now.millis_since(self.reported[i]));
        let joined: [f32; N] = each_lane!(|i| now.secs_since(self.joined[i]));
        let completed: [f32; N] = each_lane!(|i| now.secs_since(self.completed[i]));
        let idle = tenant.idle_ms(now);
        out[index::OLDEST_IN_FLIGHT - FIRST_OWN] = each_lane!(|i| ln_1p(oldest[i]));
        let is_reported = &self.kept[kept::SINCE_REPORT];
        let age: [f32; N] = each_lane!(|i| if is_reported[i].is_nan() { f32::NAN } else { reported[i] });
        out[index::REPORT_AGE - FIRST_OWN] = each_lane!(|i| ln_1p(age[i]));
        out[index::THROUGHPUT - FIRST_OWN] =
            each_lane!(|i| ln_1p(DecayedRate::after(self.completions[i], completed[i])));
        out[index::ENDPOINT_AGE - FIRST_OWN] = each_lane!(|i| ln_1p(joined[i]));
        let endpoint = &self.kept[kept::ENDPOINT_RESIDUAL];
        let weights = tenant.weights(now, PAIR_MEMORY);
        out[index::TENANT_ENDPOINT_RESIDUAL - FIRST_OWN] = pair_residual(tenant, &weights, endpoint);
        out[index::TENANT_ENDPOINT_COUNT - FIRST_OWN] = each_lane!(|i| ln_1p(weights[i]));
        let known = tenant.most_weights();
        out[index::TENANT_ENDPOINT_IDLE - FIRST_OWN] =
            each_lane!(|i| ln_1p(if known[i] > 0.0 { idle[i] } else { f32::NAN }));
        let weights = route.weights(now, PAIR_MEMORY);
        out[index::ROUTE_ENDPOINT_RESIDUAL - FIRST_OWN] = pair_residual(route, &weights, endpoint);
        out[index::ROUTE_ENDPOINT_COUNT - FIRST_OWN] = each_lane!(|i| ln_1p(weights[i]));
    }
}

/// The pairs' residuals with this evidence left, shrunk to their endpoints'.
#[inline(always)]
fn pair_residual<const N: usize>(pairs: &MeanLanes<N>, weights: &[f32; N], endpoint: &[f32; N]) -> [f32; N] {
    let (means, known) = (pairs.stored(), pairs.most_weights());
    each_lane!(|i| {
        let parent = if endpoint[i].is_nan() { 0.0 } else { endpoint[i] };
        let shrunk = shrunk_by(means[i], weights[i], parent, PAIR_PRIOR);
        if known[i] > 0.0 { shrunk } else { f32::NAN }
    })
}
