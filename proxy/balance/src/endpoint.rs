//! An endpoint: an address in a pool, and its in-flight counters.
//!
//! Identity is the name alone. Weight, zone and address may change without resetting what was learned; a
//! balancer whose identity includes mutable attributes forgets an endpoint's health whenever its weight changes.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tailcast_features::hash::hash_name;

/// What is configured of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// Unique within the pool; the address by default.
    pub name: String,
    /// Relative share of traffic under weighted policies.
    pub weight: f32,
    /// Zone label, if zones are configured.
    pub zone: Option<String>,
}

/// In-flight requests of one core, alone on its cache line so that cores do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CoreCount(AtomicU32);

/// One endpoint, shared by all cores.
#[derive(Debug)]
pub struct Endpoint {
    name: String,
    key: u64,
    weight: f32,
    zone: Option<String>,
    in_flight: Box<[CoreCount]>,
}

impl Endpoint {
    /// An endpoint counted by `cores` cores.
    pub fn new(spec: &EndpointSpec, cores: usize) -> Self {
        Self {
            name: spec.name.clone(),
            key: hash_name(&spec.name),
            weight: spec.weight,
            zone: spec.zone.clone(),
            in_flight: (0..cores.max(1)).map(|_| CoreCount::default()).collect(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stable hash of the name.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The configured weight.
    pub fn weight(&self) -> f32 {
        self.weight
    }

    /// The configured zone.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Requests in flight from all cores of this proxy.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }

    /// Counts one request in flight from `core` until the token is dropped.
    pub fn start(self: &Arc<Self>, core: usize) -> InFlightToken {
        let core = core % self.in_flight.len();
        self.in_flight[core].0.fetch_add(1, Ordering::Relaxed);
        InFlightToken { endpoint: Arc::clone(self), core }
    }
}

/// One request in flight. Dropping it, however the request ends, is the only way to count it down, so a
/// cancelled or failed request cannot leave the counter up.
#[derive(Debug)]
pub struct InFlightToken {
    endpoint: Arc<Endpoint>,
    core: usize,
}

impl InFlightToken {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlightToken {
    fn drop(&mut self) {
        self.endpoint.in_flight[self.core].0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(cores: usize) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(&EndpointSpec { name: "a:1".into(), weight: 1.0, zone: None }, cores))
    }

    proptest! {
        #[test]
        fn in_flight_returns_to_zero_whatever_the_order_of_ends(
            cores in 1usize..5, starts in prop::collection::vec((0usize..8, any::<prop::sample::Index>()), 1..50)
        ) {
            let endpoint = endpoint(cores);
            let mut tokens = Vec::new();
            for (core, _) in &starts {
                tokens.push(endpoint.start(*core));
            }
            prop_assert_eq!(endpoint.in_flight() as usize, starts.len());
            for (_, index) in &starts {
                let position = index.index(tokens.len());
                drop(tokens.swap_remove(position));
                prop_assert_eq!(endpoint.in_flight() as usize, tokens.len());
            }
        }
    }
}
