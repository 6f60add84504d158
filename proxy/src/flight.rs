//! One request from its decision to its one outcome.
//!
//! A [`Flight`] ends exactly once: when the last byte was handed on, when something broke, or when it is dropped
//! because the client went away. Ending it teaches the balancer, releases the endpoint, writes the log row and
//! counts. Whatever path a request takes, the guard ends it; there is no place where that can be forgotten.

use crate::admission::Place;
use crate::core::Core;
use crate::error::RequestError;
use crate::judge::Sample;
use crate::site::Pool;
use crate::tenant::Tenant;
use crate::upstream::{BodyWatch, Upstream};
use http::Method;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tailcast_balance::{Decision, Endpoint, NoEndpoint, PolicyKind};
use tailcast_features::hash::hash_name;
use tailcast_features::log::LogRow;
use tailcast_features::{Outcome, OutcomeKind, RequestFacts, Tick};

/// What is known of a request when it arrives.
pub(crate) struct Arrival {
    pub(crate) pool: Rc<Pool>,
    pub(crate) tenant: Tenant,
    pub(crate) route: Arc<str>,
    pub(crate) method: Method,
    pub(crate) facts: RequestFacts,
    pub(crate) request_id: u64,
    pub(crate) at: Tick,
    pub(crate) body: Option<Rc<BodyWatch>>,
}

/// A request that is on its way to an endpoint.
pub(crate) struct Flight {
    core: Rc<Core>,
    arrival: Arrival,
    /// Present until the flight has ended.
    decision: Option<Box<Decision>>,
    endpoint: Arc<Endpoint>,
    upstream: Option<Rc<Upstream>>,
    attempts: u8,
    /// Endpoints that were tried before this one.
    tried: [u64; MAX_ATTEMPTS],
    status: u16,
    first_byte: Option<Tick>,
    response_bytes: u64,
    /// Its place among those that were let in, where not all are.
    place: Option<Place>,
    /// Set where the connection was upgraded: bytes from the client.
    tunnelled: Option<u64>,
}

/// As many tries as the configuration allows at most.
const MAX_ATTEMPTS: usize = 5;

impl Flight {
    /// Decides; from here on the request is in flight.
    pub(crate) fn start(
        core: Rc<Core>,
        arrival: Arrival,
        place: Option<Place>,
        now: Tick,
    ) -> Result<Box<Self>, NoEndpoint> {
        let mut decision = core.spare_decision();
        let endpoint = match core.decide(&arrival.pool, &arrival.facts, &[], now, &mut decision) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                core.keep_decision(decision);
                return Err(error);
            }
        };
        // Boxed at once: it goes from hand to hand until the last byte.
        Ok(Box::new(Self {
            upstream: arrival.pool.upstream(endpoint.key()),
            core,
            arrival,
            decision: Some(decision),
            endpoint,
            attempts: 1,
            tried: [0; MAX_ATTEMPTS],
            status: 0,
            first_byte: None,
            response_bytes: 0,
            place,
            tunnelled: None,
        }))
    }

    /// Connections of the endpoint that was chosen.
    pub(crate) fn upstream(&self) -> Option<&Rc<Upstream>> {
        self.upstream.as_ref()
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// When the decision in force was made.
    pub(crate) fn dispatched_at(&self) -> Tick {
        self.decision.as_ref().map_or(self.arrival.at, |decision| decision.dispatched_at())
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.arrival.pool
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn body(&self) -> Option<&BodyWatch> {
        self.arrival.body.as_deref()
    }

    /// Decides again, without the endpoints that failed. False where there is no other, no budget, or no try left:
    /// then the flight still has its decision and is ended by the caller. `status` is the failed try's answer, if any.
    pub(crate) fn retry(&mut self, kind: OutcomeKind, status: u16, attempts: u8) -> bool {
        let pool = &self.arrival.pool;
        let metrics = pool.metrics();
        if self.attempts >= attempts {
            return false;
        }
        let Some(place) = self.tried.get_mut(usize::from(self.attempts) - 1) else { return false };
        *place = self.endpoint.key();
        if !pool.withdraw_retry() {
            metrics.retries_denied.add(1);
            return false;
        }
        let mut second = self.core.spare_decision();
        let tried = &self.tried[..usize::from(self.attempts)];
        let now = self.core.now();
        let decided = self.core.decide(pool, &self.arrival.facts, tried, now, &mut second);
        let Ok(endpoint) = decided else {
            self.core.keep_decision(second);
            return false;
        };
        metrics.retries.add(1);
        if let Some(mut first) = self.decision.replace(second) {
            let outcome = self.outcome(&first, kind, status, now);
            self.core.finish(&self.arrival.pool, &mut first, &outcome, now);
            self.core.keep_decision(first);
        }
        self.upstream = self.arrival.pool.upstream(endpoint.key());
        self.endpoint = endpoint;
        self.attempts += 1;
        true
    }

    /// The head of the answer came.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
        self.first_byte = Some(self.core.now());
    }

    /// Bytes of the answer's body were handed on.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// The connection was upgraded: from here on time and bytes are the peers' affair.
    pub(crate) fn upgraded(&mut self) {
        self.tunnelled = Some(0);
        // However long it lives, it is not work that others wait for.
        self.place = None;
    }

    /// Bytes that went through the upgraded connection.
    pub(crate) fn carried(&mut self, from_client: u64, from_endpoint: u64) {
        self.tunnelled = Some(from_client);
        self.response_bytes = from_endpoint;
    }

    /// An upgraded connection ended in this way.
    pub(crate) fn ended(&mut self, kind: OutcomeKind) {
        self.end(kind, self.status);
    }

    /// The last byte was handed on.
    pub(crate) fn complete(&mut self) {
        self.end(OutcomeKind::of_status(self.status), self.status);
    }

    /// Something broke. The status is what the client saw: that of the endpoint where its head was handed on.
    pub(crate) fn fail(&mut self, error: &RequestError) {
        self.core.metrics().failed(error.reason());
        let status = if self.first_byte.is_some() { self.status } else { error.status().as_u16() };
        self.end(error.outcome(), status);
    }

    fn outcome(&self, decision: &Decision, kind: OutcomeKind, status: u16, until: Tick) -> Outcome {
        Outcome { kind, status, latency: until.since(decision.dispatched_at()) }
    }

    fn end(&mut self, kind: OutcomeKind, status: u16) {
        let Some(mut decision) = self.decision.take() else { return };
        let now = self.core.now();
        // How long a tunnel lives says nothing about how fast the endpoint is; how long the handshake took does.
        let until = self.first_byte.filter(|_| self.tunnelled.is_some()).unwrap_or(now);
        let outcome = self.outcome(&decision, kind, status, until);
        self.core.finish(&self.arrival.pool, &mut decision, &outcome, now);
        let request_bytes = self.tunnelled.unwrap_or_else(|| self.arrival.body.as_ref().map_or(0, |body| body.bytes()));
        self.record(&decision, &outcome, request_bytes);
        self.sample(&decision, &outcome, now);
        self.core.keep_decision(decision);
        if let Some(place) = self.place.take() {
            place.release(matches!(kind, OutcomeKind::Success | OutcomeKind::Timeout), now);
        }
        let metrics = self.arrival.pool.metrics();
        metrics.ended(kind, until.since(self.arrival.at));
        metrics.request_bytes.add(request_bytes);
        metrics.response_bytes.add(self.response_bytes);
    }

    /// Leaves a sample for the judge of models, where a model was loaded.
    fn sample(&self, decision: &Decision, outcome: &Outcome, now: Tick) {
        let Some(model) = decision.model() else { return };
        let is_treated = decision.policy() == PolicyKind::Predictive;
        let sampler = self.core.sampler();
        if sampler.wants(self.arrival.request_id, is_treated) {
            sampler.send(Sample {
                at: now,
                pool: hash_name(self.arrival.pool.name()),
                tenant: self.arrival.facts.tenant,
                is_treated,
                model: Arc::clone(model),
                kind: outcome.kind,
                ln_ms: outcome.ln_ms(),
                row: *decision.features(),
            });
        }
    }

    fn record(&self, decision: &Decision, outcome: &Outcome, request_bytes: u64) {
        let dispatched = decision.dispatched_at();
        self.core.record(&LogRow {
            arrival_us: self.core.unix_us(self.arrival.at),
            request_id: self.arrival.request_id,
            pool: self.arrival.pool.name(),
            tenant: self.arrival.tenant.as_str(),
            route: &self.arrival.route,
            method: method_name(&self.arrival.method),
            policy: decision.policy().name(),
            reason: decision.reason().name(),
            model: decision.model_id(),
            endpoint: self.endpoint.name(),
            propensity: decision.propensity(),
            epsilon: decision.epsilon(),
            candidates: decision.candidates(),
            features: decision.features(),
            candidate_features: decision.candidate_features(),
            outcome: outcome.kind,
            status: outcome.status,
            latency_us: micros(outcome.latency),
            first_byte_us: self.first_byte.map_or(0, |at| micros(at.since(dispatched)).max(1)),
            request_bytes,
            response_bytes: self.response_bytes,
            attempts: self.attempts,
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Nobody ended it: the client went away, and with it the task that served it.
        let status = self.status;
        self.end(OutcomeKind::ClientAbort, status);
    }
}

/// Methods are a closed set in the log: an invented one must not become a column's new value.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::OPTIONS
        | Method::TRACE
        | Method::PATCH => method.as_str(),
        _ => "OTHER",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
