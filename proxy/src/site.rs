//! A topology as one worker uses it: routes, and pools with their balancers and connections.
//!
//! A request holds on to the site that it began with, so a reload never changes the rules under it. The next site
//! shares with the one before what was learned (balancers) and what is open (connections) of all that stays.

use crate::admission::Door;
use crate::budget::RetryBudget;
use crate::config::{Config, Connections, Probes, RoutePolicy};
use crate::metrics::PoolMetrics;
use crate::probe::Pace;
use crate::tls::ServerSide;
use crate::topology::{PoolTopology, Topology};
use crate::upstream::Upstream;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tailcast_balance::admission::Admission;
use tailcast_balance::{Balancer, BalancerOptions};
use tailcast_features::Tick;

/// One pool as one worker knows it.
#[derive(Debug)]
pub(crate) struct Pool {
    topology: Arc<Topology>,
    index: usize,
    pub(crate) balancer: Rc<RefCell<Balancer>>,
    upstreams: HashMap<u64, Rc<Upstream>>,
    budget: Rc<Cell<RetryBudget>>,
    door: Option<Rc<Door>>,
    pace: Pace,
    metrics: Arc<PoolMetrics>,
}

/// All pools and rules of one worker.
#[derive(Debug)]
pub(crate) struct Site {
    topology: Arc<Topology>,
    pools: Vec<Rc<Pool>>,
}

impl Site {
    /// The topology for worker `core`, with what stays of the site before.
    pub(crate) fn new(topology: Arc<Topology>, before: Option<&Self>, core: usize, seed: u64, now: Tick) -> Self {
        let pools = (0..topology.pools.len()).map(|index| {
            let name = topology.pools[index].config.name();
            // Other settings make another balancer, which learns anew.
            let known = before
                .filter(|before| before.config().balance() == topology.config.balance())
                .and_then(|before| before.pools.iter().find(|pool| pool.name() == name));
            Rc::new(Pool::new(Arc::clone(&topology), index, known.map(Rc::as_ref), core, seed ^ index as u64, now))
        });
        let pools = pools.collect();
        Self { topology, pools }
    }

    /// True where it was made of this topology.
    pub(crate) fn is_of(&self, topology: &Arc<Topology>) -> bool {
        Arc::ptr_eq(&self.topology, topology)
    }

    /// True where the pool's balancer is one of this site's.
    pub(crate) fn shares_balancer(&self, pool: &Pool) -> bool {
        self.pools.iter().any(|own| Rc::ptr_eq(&own.balancer, &pool.balancer))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.topology.config
    }

    /// How connections of a listener begin.
    pub(crate) fn server(&self, listener: usize) -> Option<&ServerSide> {
        self.topology.servers.get(listener)
    }

    pub(crate) fn pools(&self) -> &[Rc<Pool>] {
        &self.pools
    }

    pub(crate) fn pool(&self, index: usize) -> &Rc<Pool> {
        &self.pools[index]
    }
}

impl Pool {
    fn new(topology: Arc<Topology>, index: usize, before: Option<&Self>, core: usize, seed: u64, now: Tick) -> Self {
        let own = &topology.pools[index];
        let endpoints: Vec<_> = own.targets.iter().map(|target| Arc::clone(&target.endpoint)).collect();
        let balancer = match before {
            Some(before) => {
                let is_same = before.own().targets.len() == endpoints.len()
                    && before.own().targets.iter().zip(&endpoints).all(|(old, new)| Arc::ptr_eq(&old.endpoint, new));
                if !is_same {
                    before.balancer.borrow_mut().set_endpoints(endpoints, now);
                }
                Rc::clone(&before.balancer)
            }
            None => {
                let options: BalancerOptions = topology.config.balance().clone();
                Rc::new(RefCell::new(Balancer::new(endpoints, options, core, seed, now)))
            }
        };
        let mut limits: Connections = own.config.connections();
        if let Some(most) = limits.max_per_endpoint {
            // What one worker keeps idle, another cannot use.
            let share = most as usize / topology.config.workers();
            limits.idle_per_endpoint = limits.idle_per_endpoint.min(share.max(1));
        }
        let upstreams = own.targets.iter().map(|target| {
            let key = target.endpoint.key();
            let known = before.and_then(|before| before.upstreams.get(&key));
            let upstream = match known.filter(|known| known.serves(target, &limits)) {
                Some(known) => Rc::clone(known),
                None => Rc::new(Upstream::new(target.clone(), limits)),
            };
            (key, upstream)
        });
        let upstreams: HashMap<u64, Rc<Upstream>> = upstreams.collect();
        if let Some(before) = before {
            let stays = |old: &Rc<Upstream>| upstreams.values().any(|new| Rc::ptr_eq(new, old));
            before.upstreams.values().filter(|old| !stays(old)).for_each(|old| old.retire());
        }
        let metrics = own.metrics.get(core).cloned().unwrap_or_default();
        let classes = topology.config.tenant_classes().classes();
        // Other settings make another door. Who went through the one before gives his place back there.
        let known = before.filter(|before| {
            before.own().config.admission() == own.config.admission()
                && before.config().tenant_classes().classes() == classes
        });
        let door = match known {
            Some(before) => before.door.clone(),
            None => own.config.admission().map(|options| {
                let admission = Admission::new(options, classes.clone(), Arc::clone(&own.meters));
                Rc::new(Door::new(admission, Arc::clone(&metrics)))
            }),
        };
        Self {
            balancer,
            upstreams,
            door,
            budget: before.map_or_else(Rc::default, |before| Rc::clone(&before.budget)),
            pace: Pace::default(),
            metrics,
            topology,
            index,
        }
    }

    fn own(&self) -> &PoolTopology {
        &self.topology.pools[self.index]
    }

    pub(crate) fn name(&self) -> &str {
        self.own().config.name()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.topology.config
    }

    /// How requests without a rule of their own are treated.
    pub(crate) fn policy(&self) -> RoutePolicy {
        let own = &self.own().config;
        let body_bytes = self.config().limits().body_bytes;
        RoutePolicy { timeouts: own.timeouts(), retries: own.retries(), body_bytes }
    }

    /// What requests go through first, where not all are let in.
    pub(crate) fn door(&self) -> Option<&Rc<Door>> {
        self.door.as_ref()
    }

    /// Its place among the pools.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    pub(crate) fn upstream(&self, endpoint: u64) -> Option<Rc<Upstream>> {
        self.upstreams.get(&endpoint).cloned()
    }

    /// How its endpoints are asked for their load.
    pub(crate) fn probes(&self) -> Option<&Probes> {
        self.own().config.probes()
    }

    /// When the next probe is due.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// An endpoint drawn by a random number, with its connections; none of an empty pool.
    pub(crate) fn upstream_at(&self, chance: u64) -> Option<(u64, Rc<Upstream>)> {
        let targets = &self.own().targets;
        let target = targets.get(usize::try_from(chance % (targets.len() as u64).max(1)).unwrap_or(0))?;
        let key = target.endpoint.key();
        self.upstream(key).map(|upstream| (key, upstream))
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn reap_connections(&self, now: Tick) {
        self.upstreams.values().for_each(|upstream| upstream.reap(now));
    }

    /// A request arrived: its share goes into the retry budget.
    pub(crate) fn deposit_retry(&self) {
        let mut budget = self.budget.get();
        budget.deposit();
        self.budget.set(budget);
    }

    /// Takes a retry from the budget; false where none is left.
    pub(crate) fn withdraw_retry(&self) -> bool {
        let mut budget = self.budget.get();
        let allowed = budget.withdraw();
        self.budget.set(budget);
        allowed
    }
}
