//! An endpoint: an address in a pool, and its in-flight counters.
//!
//! Identity is the name alone. Weight, zone and address may change without resetting what was learned; a
//! balancer whose identity includes mutable attributes forgets an endpoint's health whenever its weight changes.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tailcast_features::Tick;
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

/// Why an endpoint takes no new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// An operator takes it out: it gets nothing, not even in panic mode.
    Draining = 1,
    /// Its active checks fail: it gets nothing while enough others are left.
    Unhealthy = 2,
}

/// What changes while requests flow. Rarely written, so reading it costs no cache miss.
#[derive(Debug, Default)]
struct State {
    /// [`Closed`] as bits.
    closed: AtomicU8,
    connections: AtomicU32,
    /// Nanoseconds at which it joined or came back; 0 where it was always there.
    joined: AtomicU64,
}

/// One endpoint, shared by all cores.
#[derive(Debug)]
pub struct Endpoint {
    name: String,
    key: u64,
    weight: f32,
    zone: Option<String>,
    limit: Option<u32>,
    in_flight: Arc<[CoreCount]>,
    state: Arc<State>,
}

impl Endpoint {
    /// An endpoint counted by `cores` cores.
    pub fn new(spec: &EndpointSpec, cores: usize) -> Self {
        Self {
            name: spec.name.clone(),
            key: hash_name(&spec.name),
            weight: spec.weight,
            zone: spec.zone.clone(),
            limit: None,
            in_flight: (0..cores.max(1)).map(|_| CoreCount::default()).collect(),
            state: Arc::default(),
        }
    }

    /// The same endpoint with another weight and zone; requests in flight and its state are shared with this one.
    #[must_use]
    pub fn respecified(&self, spec: &EndpointSpec) -> Self {
        Self {
            name: self.name.clone(),
            key: self.key,
            weight: spec.weight,
            zone: spec.zone.clone(),
            limit: self.limit,
            in_flight: Arc::clone(&self.in_flight),
            state: Arc::clone(&self.state),
        }
    }

    /// The same with a bound on requests in flight and on open connections, from all cores.
    #[must_use]
    pub fn limited(mut self, limit: Option<u32>) -> Self {
        self.limit = limit;
        self
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

    /// The bound on requests in flight and on open connections.
    pub fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Requests in flight from all cores of this proxy.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }

    /// Open connections from all cores of this proxy.
    pub fn connections(&self) -> u32 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// True where as many requests are in flight as are allowed.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.in_flight() >= limit)
    }

    /// Opens or closes it for one reason; the other is untouched.
    pub fn set_closed(&self, why: Closed, is_closed: bool) {
        if is_closed {
            self.state.closed.fetch_or(why as u8, Ordering::Relaxed);
        } else {
            self.state.closed.fetch_and(!(why as u8), Ordering::Relaxed);
        }
    }

    /// True where it is closed for this reason.
    pub fn is_closed(&self, why: Closed) -> bool {
        self.state.closed.load(Ordering::Relaxed) & (why as u8) != 0
    }

    /// True where nothing keeps it from taking requests.
    pub fn is_open(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed) == 0
    }

    /// It joined a running pool, or came back: slow start counts from here.
    pub fn joined(&self, now: Tick) {
        self.state.joined.store(now.nanos().max(1), Ordering::Relaxed);
    }

    /// When it joined or came back; `None` where it was always there.
    pub fn joined_at(&self) -> Option<Tick> {
        let nanos = self.state.joined.load(Ordering::Relaxed);
        (nanos > 0).then(|| Tick::ZERO.after(Duration::from_nanos(nanos)))
    }

    /// Counts one request in flight from `core` until the token is dropped.
    pub fn start(self: &Arc<Self>, core: usize) -> InFlightToken {
        let core = core % self.in_flight.len();
        self.in_flight[core].0.fetch_add(1, Ordering::Relaxed);
        InFlightToken { endpoint: Arc::clone(self), core }
    }

    /// Counts one open connection until the token is dropped; `None` where there are as many as are allowed.
    pub fn connect(self: &Arc<Self>) -> Option<ConnectionToken> {
        let before = self.state.connections.fetch_add(1, Ordering::Relaxed);
        let token = ConnectionToken { endpoint: Arc::clone(self) };
        // Over the bound the token goes at once and takes its count along.
        self.limit.is_none_or(|limit| before < limit).then_some(token)
    }
}

/// One open connection. Dropping it is the only way to count it down.
#[derive(Debug)]
pub struct ConnectionToken {
    endpoint: Arc<Endpoint>,
}

impl Drop for ConnectionToken {
    fn drop(&mut self) {
        self.endpoint.state.connections.fetch_sub(1, Ordering::Relaxed);
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

    #[test]
    fn connections_stop_at_the_limit_and_come_back_with_their_tokens() {
        let spec = EndpointSpec { name: "a:1".into(), weight: 1.0, zone: None };
        let endpoint = Arc::new(Endpoint::new(&spec, 1).limited(Some(2)));
        let (first, second) = (endpoint.connect(), endpoint.connect());
        assert!(first.is_some() && second.is_some() && endpoint.connect().is_none());
        assert_eq!(endpoint.connections(), 2);
        drop(first);
        assert!(endpoint.connect().is_some());
        let token = endpoint.start(0);
        assert!(!endpoint.is_full());
        let _other = endpoint.start(0);
        assert!(endpoint.is_full());
        drop(token);
        assert!(!endpoint.is_full());
    }

    #[test]
    fn another_weight_keeps_state_and_requests_in_flight() {
        let endpoint = endpoint(2);
        let _token = endpoint.start(1);
        endpoint.set_closed(Closed::Draining, true);
        let spec = EndpointSpec { name: "a:1".into(), weight: 2.0, zone: Some("z".into()) };
        let other = endpoint.respecified(&spec);
        assert_eq!((other.key(), other.in_flight(), other.weight()), (endpoint.key(), 1, 2.0));
        assert!(other.is_closed(Closed::Draining) && !other.is_closed(Closed::Unhealthy));
        other.set_closed(Closed::Draining, false);
        assert!(endpoint.is_open());
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
