//! How much a decision explores: per tenant, decaying with evidence, under a budget for all.
//!
//! A new tenant has no history on any endpoint, so some of its first requests are spent on finding out. The
//! cost falls on real users: at a floor of 1 % the 99th percentile *is* the exploration. So the floor is well
//! below that, and the budget caps the share of all requests that a flood of new tenants may spend.

use serde::{Deserialize, Serialize};
use tailcast_features::Tick;
use tailcast_features::decay::{DecayedMean, Memory};

/// Settings of exploration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExplorationOptions {
    /// Share of a brand-new tenant's requests, 0 to 1.
    pub start: f32,
    /// Share that remains for ever, 0 to 1.
    pub floor: f32,
    /// Requests of a tenant after which its share has halved.
    pub half_after_requests: f32,
    /// Largest share of all requests, 0 to 1.
    pub budget: f32,
}

impl Default for ExplorationOptions {
    fn default() -> Self {
        Self { start: 0.05, floor: 0.002, half_after_requests: 20.0, budget: 0.01 }
    }
}

/// The budget is measured over about this many requests.
const BUDGET_MEMORY: Memory = Memory { half_life_secs: 60.0, max_requests: 5_000.0 };

/// Requests before the budget is enforced: a share of one in three is no evidence.
const BUDGET_GRACE_REQUESTS: f32 = 100.0;

/// Exploration so far.
#[derive(Debug, Default)]
pub struct Exploration {
    spent: DecayedMean,
}

impl Exploration {
    /// Exploration share for a tenant with this much evidence.
    pub fn epsilon(&self, tenant_requests: f32, options: &ExplorationOptions, now: Tick) -> f32 {
        let over = self.spent.is_known()
            && self.spent.mean() >= options.budget
            && self.spent.weight(now, BUDGET_MEMORY) >= BUDGET_GRACE_REQUESTS;
        if over {
            return 0.0;
        }
        let young = options.start / (1.0 + tenant_requests.max(0.0) / options.half_after_requests.max(1e-3));
        young.max(options.floor).clamp(0.0, 1.0)
    }

    /// Notes whether a decision explored.
    pub fn spend(&mut self, explored: bool, now: Tick) {
        self.spent.observe(f32::from(u8::from(explored)), now, BUDGET_MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tenant_explores_more_than_an_old_one() {
        let exploration = Exploration::default();
        let options = ExplorationOptions::default();
        let epsilon = |requests| exploration.epsilon(requests, &options, Tick::ZERO);
        assert_eq!(epsilon(0.0), options.start);
        assert!((epsilon(20.0) - options.start / 2.0).abs() < 1e-6);
        assert_eq!(epsilon(1e9), options.floor);
    }

    #[test]
    fn the_budget_stops_a_flood_of_new_tenants_and_time_reopens_it() {
        let mut exploration = Exploration::default();
        let options = ExplorationOptions::default();
        for _ in 0..200 {
            exploration.spend(true, Tick::ZERO);
        }
        assert_eq!(exploration.epsilon(0.0, &options, Tick::ZERO), 0.0);
        assert!(exploration.epsilon(0.0, &options, Tick::from_secs_f64(120.0)) > 0.0);
    }
}
