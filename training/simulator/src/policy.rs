//! The policies that are compared, by name.

use crate::error::SimError;
use std::str::FromStr;
use tailcast_balance::PolicyKind;

/// A part of the predictive rule that an ablation row leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The online correction of the forecast's residual.
    Correction,
    /// The bandit weights.
    Bandit,
    /// The error penalty.
    ErrorPenalty,
    /// The slow-down caused to others.
    CausedSlowdown,
    /// The in-flight guard.
    RifGuard,
    /// Near-ties by chance.
    NearTies,
    /// Exploration.
    Exploration,
    /// The tenant's homes among the candidates, and the step of warmth.
    Homes,
    /// Wider ties where others act on the same old reports.
    HerdTies,
    /// Load reports, pushed or on answers.
    Reports,
    /// Probes.
    Probes,
}

impl Part {
    /// All, in the order of the rule.
    pub const ALL: [Self; 11] = [
        Self::Homes,
        Self::RifGuard,
        Self::Correction,
        Self::Bandit,
        Self::ErrorPenalty,
        Self::CausedSlowdown,
        Self::NearTies,
        Self::HerdTies,
        Self::Exploration,
        Self::Reports,
        Self::Probes,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Correction => "correction",
            Self::Bandit => "bandit",
            Self::ErrorPenalty => "error_penalty",
            Self::CausedSlowdown => "caused_slowdown",
            Self::RifGuard => "rif_guard",
            Self::NearTies => "near_ties",
            Self::Exploration => "exploration",
            Self::Homes => "homes",
            Self::HerdTies => "herd_ties",
            Self::Reports => "reports",
            Self::Probes => "probes",
        }
    }
}

/// One row of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// A policy of `tailcast-balance`: the production code.
    Production(PolicyKind),
    /// `predictive` with the request's features hidden: one tenant, one route, no size.
    PredictiveHidden,
    /// `predictive` without one of its parts.
    Without(Part),
    /// Weights from goodput over utilisation.
    WeightedRoundRobin,
    /// C3's cubic ranking over probes.
    C3,
    /// Half latency, half RIF, over probes.
    Linear,
    /// Prequal at its published parameters, or another quantile of RIF.
    Prequal(Option<f32>),
    /// Two choices by a RIF that was polled.
    Yarp,
    /// Sees everything.
    Oracle,
    /// The oracle without the work of the request at hand: it knows the mean of its route. What no router can beat that
    /// sees nothing of a request but its route.
    OracleBlind,
}

/// The rows of a report unless others are asked for.
pub const DEFAULT: [Policy; 14] = [
    Policy::Production(PolicyKind::Random),
    Policy::Production(PolicyKind::RoundRobin),
    Policy::Production(PolicyKind::LeastRequest),
    Policy::Production(PolicyKind::LeastLoaded),
    Policy::WeightedRoundRobin,
    Policy::Production(PolicyKind::PeakEwma),
    Policy::Yarp,
    Policy::Linear,
    Policy::C3,
    Policy::Prequal(None),
    Policy::PredictiveHidden,
    Policy::Production(PolicyKind::Predictive),
    Policy::OracleBlind,
    Policy::Oracle,
];

impl Policy {
    /// The name in reports and on the command line.
    pub fn name(self) -> String {
        match self {
            Self::Production(kind) => kind.name().to_owned(),
            Self::PredictiveHidden => "predictive_hidden".to_owned(),
            Self::Without(part) => format!("predictive-{}", part.name()),
            Self::WeightedRoundRobin => "weighted_round_robin".to_owned(),
            Self::C3 => "c3".to_owned(),
            Self::Linear => "linear".to_owned(),
            Self::Prequal(None) => "prequal".to_owned(),
            Self::Prequal(Some(quantile)) => format!("prequal@{quantile}"),
            Self::Yarp => "yarp".to_owned(),
            Self::Oracle => "oracle".to_owned(),
            Self::OracleBlind => "oracle_blind".to_owned(),
        }
    }

    /// True where a model decides.
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Production(PolicyKind::Predictive) | Self::PredictiveHidden | Self::Without(_))
    }

    /// The row whose own log its model is learned from: a row that lacks a signal learns without it as well, and the
    /// others share the model of `predictive`.
    pub(crate) fn taught_by(self) -> Self {
        match self {
            Self::PredictiveHidden | Self::Without(Part::Reports | Part::Probes) => self,
            _ => Self::Production(PolicyKind::Predictive),
        }
    }

    /// True for what `predictive` is measured against: neither learned nor all-knowing.
    pub fn is_peer(self) -> bool {
        !self.is_learned() && !matches!(self, Self::Oracle | Self::OracleBlind)
    }
}

impl FromStr for Policy {
    type Err = SimError;

    fn from_str(name: &str) -> Result<Self, SimError> {
        let parts = Part::ALL.into_iter().map(Self::Without);
        let known = || DEFAULT.into_iter().chain(parts.clone());
        if let Some(policy) = known().find(|policy| policy.name() == name) {
            return Ok(policy);
        }
        let quantile = name.strip_prefix("prequal@").and_then(|text| text.parse::<f32>().ok());
        match quantile.filter(|quantile| (0.0..=1.0).contains(quantile)) {
            Some(quantile) => Ok(Self::Prequal(Some(quantile))),
            None => {
                let names: Vec<String> = known().map(Self::name).collect();
                Err(SimError::UnknownPolicy {
                    name: name.to_owned(),
                    known: format!("{}, prequal@Q", names.join(", ")),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_an_unknown_one_is_refused_with_the_list() {
        for policy in DEFAULT.into_iter().chain(Part::ALL.map(Policy::Without)).chain([Policy::Prequal(Some(0.5))]) {
            assert_eq!(policy.name().parse::<Policy>().ok(), Some(policy));
        }
        let message = "best".parse::<Policy>().err().map(|error| error.to_string());
        assert!(message.is_some_and(|text| text.contains("best") && text.contains("peak_ewma")));
    }
}
