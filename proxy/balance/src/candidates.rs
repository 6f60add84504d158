//! Which eligible endpoints are scored: all where they are few, else a uniform sample plus the tenant's homes.
//!
//! A uniform sample keeps many proxies from all finding the same favourite; the homes (highest rendezvous
//! hashes, Thaler & Ravishankar 1998) keep cache affinity alive at a hundred endpoints, where a sample of a few
//! would rarely contain the endpoint that has the tenant's data.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tailcast_features::hash::mix;

use crate::endpoint::Endpoint;

/// Settings of candidate selection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateOptions {
    /// Up to this many eligible endpoints all are candidates.
    pub all_up_to: usize,
    /// Size of the uniform sample beyond.
    pub sample: usize,
    /// Homes of the tenant that are always candidates beyond.
    pub homes: usize,
}

impl Default for CandidateOptions {
    /// 16: scoring them costs little and a pool of a dozen is the common case; herding is held by the in-flight
    /// guard, near-ties and the monotone forecast. 6 + 3 beyond keeps the decision as cheap.
    fn default() -> Self {
        Self { all_up_to: 16, sample: 6, homes: 3 }
    }
}

/// Reduces `slots` to the candidates, in ascending order.
pub(crate) fn select(
    slots: &mut Vec<usize>,
    endpoints: &[Arc<Endpoint>],
    tenant: u64,
    options: &CandidateOptions,
    rng: &mut Pcg64Mcg,
) {
    if slots.len() <= options.all_up_to {
        return;
    }
    // The homes go to the front, then a partial Fisher-Yates draws the sample behind them.
    let homes = options.homes.min(slots.len());
    for place in 0..homes {
        let weight = |slot: &usize| mix(tenant, endpoints[*slot].key());
        if let Some((offset, _)) = slots[place..].iter().enumerate().max_by_key(|(_, slot)| weight(slot)) {
            slots.swap(place, place + offset);
        }
    }
    let wanted = (homes + options.sample).min(slots.len());
    for place in homes..wanted {
        let other = rng.random_range(place..slots.len());
        slots.swap(place, other);
    }
    slots.truncate(wanted);
    slots.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointSpec;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn pool(count: usize) -> Vec<Arc<Endpoint>> {
        (0..count)
            .map(|i| {
                let spec = EndpointSpec { name: format!("e{i}"), weight: 1.0, zone: None };
                Arc::new(Endpoint::new(&spec, 1))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn candidates_are_distinct_bounded_and_hold_the_homes(count in 1usize..120, tenant in any::<u64>(), seed in any::<u64>()) {
            let pool = pool(count);
            let options = CandidateOptions::default();
            let choose = |seed| {
                let mut slots: Vec<usize> = (0..count).collect();
                select(&mut slots, &pool, tenant, &options, &mut Pcg64Mcg::seed_from_u64(seed));
                slots
            };
            let slots = choose(seed);
            prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]));
            if count <= options.all_up_to {
                prop_assert_eq!(slots.len(), count);
            } else {
                prop_assert_eq!(slots.len(), options.sample + options.homes);
                let home = (0..count).max_by_key(|slot| mix(tenant, pool[*slot].key())).unwrap_or(0);
                prop_assert!(slots.contains(&home));
                prop_assert!(choose(seed ^ 1).contains(&home));
            }
        }
    }
}
