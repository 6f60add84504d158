//! What one worker owns: its site, route table and recorder. Nothing of it is shared.
//!
//! Cells instead of locks: a worker is one thread, and no borrow is held across an await. Shared with other
//! threads are only atomics (in-flight, metrics) and the snapshot.

use crate::address_limit::AddressCounts;
use crate::clock::Clock;
use crate::judge::Sampler;
use crate::metrics::CoreMetrics;
use crate::recorder::CoreRecorder;
use crate::site::{Pool, Site};
use crate::snapshot::Shared;
use crate::upstream::Fields;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tailcast_balance::balancer::EndpointStats;
use tailcast_balance::{Decision, Endpoint, NoEndpoint};
use tailcast_features::hash::mix;
use tailcast_features::log::LogRow;
use tailcast_features::route::RouteTable;
use tailcast_features::store::LoadReport;
use tailcast_features::{Outcome, RequestFacts, Tick};
use tailcast_model::Model;
use tokio::sync::Notify;

/// Decisions kept for reuse: as many requests in flight allocate nothing for theirs.
const SPARE_DECISIONS: usize = 1_024;

/// Routes told apart by one worker: as many as the feature store keeps state for.
const MAX_ROUTES: usize = 1_024;

/// What all workers of a proxy have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    /// Start of all random choices of this proxy.
    pub(crate) seed: u64,
    /// Connections by address, where they are limited.
    pub(crate) addresses: Arc<AddressCounts>,
}

/// One worker's state.
#[derive(Debug)]
pub(crate) struct Core {
    common: Common,
    metrics: Arc<CoreMetrics>,
    site: RefCell<Rc<Site>>,
    routes: RefCell<RouteTable>,
    recorder: RefCell<CoreRecorder>,
    sampler: Sampler,
    #[expect(clippy::vec_box, reason = "a spare is handed on as a box: a pointer moves, not half a kilobyte")]
    spares: RefCell<Vec<Box<Decision>>>,
    spare_fields: RefCell<Vec<Fields>>,
    generation: Cell<u64>,
    model: RefCell<Option<Arc<Model>>>,
    requests: Cell<u64>,
    recent: Cell<Tick>,
    index: usize,
    open: Cell<usize>,
    none_open: Notify,
}

/// Counts an open connection of a client, or a tunnel, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Rc<Core>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let core = &self.0;
        core.open.set(core.open.get() - 1);
        core.metrics.clients.take(1);
        if core.open.get() == 0 {
            core.none_open.notify_waiters();
        }
    }
}

impl Core {
    pub(crate) fn new(
        index: usize,
        common: Common,
        metrics: Arc<CoreMetrics>,
        recorder: CoreRecorder,
        sampler: Sampler,
    ) -> Self {
        let now = common.clock.now();
        let snapshot = common.shared.current();
        let seed = mix(common.seed, index as u64);
        let site = Site::new(Arc::clone(&snapshot.topology), None, index, seed, now);
        let core = Self {
            metrics,
            site: RefCell::new(Rc::new(site)),
            routes: RefCell::new(RouteTable::new(MAX_ROUTES)),
            recorder: RefCell::new(recorder),
            sampler,
            spares: RefCell::default(),
            spare_fields: RefCell::default(),
            // Never a generation, so that what changed since is taken up.
            generation: Cell::new(u64::MAX),
            model: RefCell::default(),
            requests: Cell::new(0),
            recent: Cell::new(now),
            index,
            common,
            open: Cell::new(0),
            none_open: Notify::new(),
        };
        core.take_up_changes();
        core
    }

    /// The rules and pools in force; a request keeps them until its end.
    pub(crate) fn site(&self) -> Rc<Site> {
        if self.generation.get() != self.common.shared.generation() {
            self.take_up_changes();
        }
        Rc::clone(&self.site.borrow())
    }

    /// Reads the clock.
    pub(crate) fn now(&self) -> Tick {
        let now = self.common.clock.now();
        self.recent.set(now);
        now
    }

    /// The last reading of the clock: good where what happened just before was timed.
    pub(crate) fn recent(&self) -> Tick {
        self.recent.get()
    }

    /// A tick as timers want it.
    pub(crate) fn instant(&self, tick: Tick) -> tokio::time::Instant {
        self.common.clock.instant(tick)
    }

    pub(crate) fn unix_us(&self, tick: Tick) -> i64 {
        self.common.clock.unix_us(tick)
    }

    /// Connections by address.
    pub(crate) fn addresses(&self) -> &Arc<AddressCounts> {
        &self.common.addresses
    }

    pub(crate) fn metrics(&self) -> &CoreMetrics {
        &self.metrics
    }

    /// Counts a connection of a client.
    pub(crate) fn open_connection(self: &Rc<Self>) -> OpenConnection {
        self.open.set(self.open.get() + 1);
        self.metrics.clients.add(1);
        OpenConnection(Rc::clone(self))
    }

    /// Connections of clients and tunnels that are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.get()
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let none_open = self.none_open.notified();
            if self.open.get() == 0 {
                return;
            }
            none_open.await;
        }
    }

    /// Number of a new request, unique within the proxy's life and unlikely to repeat in another.
    pub(crate) fn next_request_id(&self) -> u64 {
        let count = self.requests.get() + 1;
        self.requests.set(count);
        // For a fixed seed `mix` is a bijection, so different inputs give different numbers.
        mix(self.common.seed, ((self.index as u64) << 48) | count)
    }

    /// The template of a raw path, from a bounded table.
    pub(crate) fn route(&self, path: &str) -> Arc<str> {
        self.routes.borrow_mut().route(path)
    }

    /// Chooses an endpoint and counts it in flight.
    pub(crate) fn decide(
        &self,
        pool: &Pool,
        facts: &RequestFacts,
        exclude: &[u64],
        now: Tick,
        decision: &mut Decision,
    ) -> Result<Arc<Endpoint>, NoEndpoint> {
        pool.balancer.borrow_mut().decide(facts, exclude, now, decision)?;
        pool.metrics().decided(decision.reason(), decision.is_panic());
        decision.endpoint().cloned().ok_or(NoEndpoint::EmptyPool)
    }

    /// Teaches the balancer how an attempt ended, and releases its endpoint.
    pub(crate) fn finish(&self, pool: &Pool, decision: &mut Decision, outcome: &Outcome, now: Tick) {
        pool.balancer.borrow_mut().finish(decision, outcome, now);
    }

    /// Takes in a load report of an endpoint.
    pub(crate) fn report(&self, pool: &Pool, endpoint: u64, report: LoadReport) {
        pool.balancer.borrow_mut().report(endpoint, report, self.now());
    }

    pub(crate) fn record(&self, row: &LogRow<'_>) {
        self.recorder.borrow_mut().record(row);
    }

    /// The way to the judge of models.
    pub(crate) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Sends the rows so far to the writer.
    pub(crate) fn flush_log(&self) {
        self.recorder.borrow_mut().flush();
    }

    pub(crate) fn spare_decision(&self) -> Box<Decision> {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn keep_decision(&self, decision: Box<Decision>) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARE_DECISIONS {
            spares.push(decision);
        }
    }

    /// An empty list of fields.
    pub(crate) fn spare_fields(&self) -> Fields {
        self.spare_fields.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn keep_fields(&self, fields: Fields) {
        let mut spares = self.spare_fields.borrow_mut();
        if spares.len() < SPARE_DECISIONS {
            spares.push(fields);
        }
    }

    /// Closes connections that were idle for too long, and those of endpoints that are gone.
    pub(crate) fn reap_connections(&self) {
        let now = self.now();
        self.site().pools().iter().for_each(|pool| pool.reap_connections(now));
    }

    /// State of the endpoints of each pool, as this worker sees it.
    pub(crate) fn stats(&self) -> Vec<Vec<EndpointStats>> {
        let now = self.now();
        self.site().pools().iter().map(|pool| pool.balancer.borrow().stats(now)).collect()
    }

    fn take_up_changes(&self) {
        // The count before the snapshot: a change in between is taken up again, never missed.
        self.generation.set(self.common.shared.generation());
        let snapshot = self.common.shared.current();
        let before = Rc::clone(&self.site.borrow());
        let is_new = !before.is_of(&snapshot.topology);
        if is_new {
            let topology = Arc::clone(&snapshot.topology);
            let seed = mix(self.common.seed, self.index as u64);
            let site = Site::new(topology, Some(&before), self.index, seed, self.now());
            self.site.replace(Rc::new(site));
        }
        let site = Rc::clone(&self.site.borrow());
        for (pool, policy) in site.pools().iter().zip(&snapshot.policies) {
            pool.balancer.borrow_mut().set_policy(*policy);
        }
        // A balancer forgets its corrections with the model that they belong to: only when it is another one.
        let mut model = self.model.borrow_mut();
        let is_other = model.as_ref().map(Arc::as_ptr) != snapshot.model.as_ref().map(Arc::as_ptr);
        model.clone_from(&snapshot.model);
        for pool in site.pools() {
            if is_other || !before.shares_balancer(pool) {
                pool.balancer.borrow_mut().set_model(snapshot.model.clone());
            }
        }
    }
}
