//! The control: a small share of requests that `predictive` does not route, for ever.
//!
//! Whether a learned rule still pays is only known beside requests that it did not touch, at the same time, on the same
//! endpoints. Which request is in the control is drawn anew for each, so both arms see the same traffic; the log names the
//! policy of each row, and `tailcast eval live --from-log` compares them. A retry stays in its request's arm: it is another
//! decision of the same request and is drawn by the same number.

use crate::policy::PolicyKind;
use serde::{Deserialize, Serialize};
use tailcast_features::RequestFacts;
use tailcast_features::hash::mix;

/// Settings of the control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlOptions {
    /// Share of requests that are in the control, 0 to 0.5; 0 is none.
    pub share: f64,
    /// Who routes them.
    pub policy: PolicyKind,
}

impl Default for ControlOptions {
    /// One in a hundred: at a thousand requests a second ten a second show within minutes whether the forecast still pays,
    /// and a model that does harm is taken back by it. Peak-EWMA, since the question is what the forecast adds to the
    /// best rule without one.
    fn default() -> Self {
        Self { share: 0.01, policy: PolicyKind::PeakEwma }
    }
}

impl ControlOptions {
    /// The policy of a request under `policy`. Drawn by what makes it this request: who, where to, and the microsecond.
    pub(crate) fn policy_of(&self, policy: PolicyKind, request: &RequestFacts) -> PolicyKind {
        if self.share <= 0.0 || policy != PolicyKind::Predictive {
            return policy;
        }
        let number = mix(mix(request.tenant, request.route), request.unix_us.cast_unsigned());
        // 53 bits make a uniform number of [0, 1).
        let uniform = (number >> 11) as f64 / (1u64 << 53) as f64;
        if uniform < self.share { self.policy } else { policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_drawn_anew_for_each_request_and_again_for_none() {
        let options = ControlOptions { share: 0.1, policy: PolicyKind::RoundRobin };
        let request = |at| RequestFacts::new("acme", "/r", "GET", None, at);
        let policy_of = |at| options.policy_of(PolicyKind::Predictive, &request(at));
        let control = (0..10_000).filter(|at| policy_of(*at) == PolicyKind::RoundRobin).count();
        assert!((850..1_150).contains(&control), "{control} of 10000");
        assert!((0..1_000).all(|at| policy_of(at) == policy_of(at)), "a retry stays in its request's arm");
        for other in PolicyKind::ALL.into_iter().filter(|kind| *kind != PolicyKind::Predictive) {
            assert!((0..100).all(|at| options.policy_of(other, &request(at)) == other));
        }
        let none = ControlOptions { share: 0.0, ..ControlOptions::default() };
        assert!((0..1_000).all(|at| none.policy_of(PolicyKind::Predictive, &request(at)) == PolicyKind::Predictive));
    }
}
