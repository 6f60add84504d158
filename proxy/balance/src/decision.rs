//! A decision: the endpoint, the candidates it was chosen from, the exact propensity of each, and why.
//!
//! A decision is a reusable buffer: the proxy keeps a free list and the hot path allocates nothing.

use crate::endpoint::{Endpoint, InFlightToken};
use crate::policy::PolicyKind;
use std::sync::Arc;
use tailcast_features::log::LoggedCandidate;
use tailcast_features::{FEATURE_COUNT, RequestView, Row, Tick};

/// Why this endpoint was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its turn in the rotation.
    Rotation,
    /// Uniform chance.
    Chance,
    /// The lower load of two random endpoints, or the lowest of all.
    LeastLoad,
    /// The lowest peak-EWMA cost.
    PeakEwma,
    /// The lowest forecast score (or within the near-ties of it).
    Forecast,
    /// Uniform exploration.
    Explore,
    /// No usable model: the predictive rule with peak-EWMA as scorer.
    Fallback,
    /// The only eligible endpoint.
    OnlyOne,
}

impl Reason {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Chance => "chance",
            Self::LeastLoad => "least_load",
            Self::PeakEwma => "peak_ewma",
            Self::Forecast => "forecast",
            Self::Explore => "explore",
            Self::Fallback => "fallback",
            Self::OnlyOne => "only_one",
        }
    }
}

/// No endpoint can take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    EmptyPool,
    /// Every endpoint was tried already.
    #[error("every endpoint of the pool was tried already")]
    AllExcluded,
}

/// The decision and everything that is logged of it.
#[derive(Debug)]
pub struct Decision {
    pub(crate) token: Option<InFlightToken>,
    pub(crate) view: Option<RequestView>,
    pub(crate) dispatched_at: Tick,
    pub(crate) policy: PolicyKind,
    pub(crate) reason: Reason,
    pub(crate) epsilon: f32,
    pub(crate) panic: bool,
    pub(crate) chosen: usize,
    pub(crate) candidates: Vec<LoggedCandidate>,
    /// Pool slots of the candidates.
    pub(crate) slots: Vec<usize>,
    pub(crate) rows: Vec<Row>,
    pub(crate) has_all_rows: bool,
    pub(crate) has_features: bool,
    pub(crate) features: Row,
    pub(crate) forecast_p50: f32,
    pub(crate) forecast_tail: f32,
    pub(crate) model_id: Option<Arc<str>>,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            token: None,
            view: None,
            dispatched_at: Tick::ZERO,
            policy: PolicyKind::RoundRobin,
            reason: Reason::Rotation,
            epsilon: 0.0,
            panic: false,
            chosen: 0,
            candidates: Vec::new(),
            slots: Vec::new(),
            rows: Vec::new(),
            has_all_rows: false,
            has_features: false,
            features: [f32::NAN; FEATURE_COUNT],
            forecast_p50: f32::NAN,
            forecast_tail: f32::NAN,
            model_id: None,
        }
    }
}

impl Decision {
    /// The chosen endpoint; `None` before the first `decide` and after `finish`.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.token.as_ref().map(InFlightToken::endpoint)
    }

    /// Propensity of the chosen endpoint.
    pub fn propensity(&self) -> f32 {
        self.candidates.get(self.chosen).map_or(f32::NAN, |candidate| candidate.propensity)
    }

    /// The candidates with propensities and scores.
    pub fn candidates(&self) -> &[LoggedCandidate] {
        &self.candidates
    }

    /// Features of the chosen endpoint as the policy saw them.
    pub fn features(&self) -> &Row {
        &self.features
    }

    /// Features of all candidates, where they were all computed.
    pub fn candidate_features(&self) -> Option<&[Row]> {
        self.has_all_rows.then_some(self.rows.as_slice())
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The policy that decided.
    pub fn policy(&self) -> PolicyKind {
        self.policy
    }

    /// Exploration share of this decision.
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }

    /// True where too few endpoints were healthy and all were taken.
    pub fn is_panic(&self) -> bool {
        self.panic
    }

    /// When the request was dispatched.
    pub fn dispatched_at(&self) -> Tick {
        self.dispatched_at
    }

    /// Forecast of the chosen endpoint, natural log of milliseconds: (median, tail); NaN without a model.
    pub fn forecast_ln_ms(&self) -> (f32, f32) {
        (self.forecast_p50, self.forecast_tail)
    }

    /// Id of the model that was loaded.
    pub fn model(&self) -> Option<&Arc<str>> {
        self.model_id.as_ref()
    }

    /// The same as text, empty where there was none.
    pub fn model_id(&self) -> &str {
        self.model_id.as_deref().unwrap_or("")
    }

    pub(crate) fn reset(&mut self, policy: PolicyKind, now: Tick) {
        self.token = None;
        self.view = None;
        self.dispatched_at = now;
        self.policy = policy;
        self.epsilon = 0.0;
        self.panic = false;
        self.chosen = 0;
        self.candidates.clear();
        self.slots.clear();
        self.rows.clear();
        self.has_all_rows = false;
        self.has_features = false;
        self.forecast_p50 = f32::NAN;
        self.forecast_tail = f32::NAN;
        self.model_id = None;
    }
}
