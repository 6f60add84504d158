//! What can be asked of a running proxy and changed in it, by the library's caller and by the admin listener alike.

use crate::config::Config;
use crate::core::Common;
use crate::error::ProxyError;
use crate::lineup::LineupStatus;
use crate::metrics::{EndpointGauge, Metrics, MetricsSnapshot};
use crate::reload::ModelLoader;
use crate::topology::{Build, PoolTopology, Topology, resolve_by_system};
use crate::worker::{Command, Commands};
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tailcast_balance::{Closed, PolicyKind};

/// A worker that does not answer within this is busy with something that should not take so long; its part is left out.
const ANSWER: Duration = Duration::from_secs(1);

/// One running proxy.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) common: Common,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) loader: ModelLoader,
    pub(crate) lineup: Arc<Mutex<LineupStatus>>,
    pub(crate) workers: Vec<Commands>,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) started: Instant,
    pub(crate) reloading: Mutex<()>,
}

/// State of a proxy, as `/status` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Seconds since the start.
    pub uptime_secs: f64,
    /// Worker threads.
    pub workers: usize,
    /// Id of the model in use.
    pub model: Option<String>,
    /// How it and the models beside it do.
    pub lineup: LineupStatus,
    /// The pools.
    pub pools: Vec<PoolStatus>,
    /// Counters.
    pub metrics: MetricsSnapshot,
}

/// State of a pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolStatus {
    /// Name.
    pub name: String,
    /// Policy in force.
    pub policy: PolicyKind,
    /// The endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// State of an endpoint, summed over workers.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointStatus {
    /// Name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Open connections.
    pub connections: u32,
    /// True where it is taken out of service.
    pub draining: bool,
    /// False where its active checks fail.
    pub healthy: bool,
    /// Workers that have ejected it.
    pub ejected_by_workers: usize,
    /// Ejections so far, by all workers.
    pub ejections: u32,
    /// Most failures in a row that a worker saw.
    pub consecutive_failures: u32,
    /// Peak-EWMA latency, mean over the workers that know one.
    pub peak_ewma_ms: Option<f32>,
}

impl Control {
    /// Changes the policy of a pool from the next decision on.
    pub(crate) fn set_policy(&self, pool: &str, policy: PolicyKind) -> Result<(), ProxyError> {
        self.pool(pool)?;
        self.common.shared.change(|new| {
            let index = new.topology.pools.iter().position(|known| known.config.name() == pool);
            if let Some(slot) = index.and_then(|index| new.policies.get_mut(index)) {
                *slot = policy;
            }
        });
        tracing::info!(pool, %policy, "policy changed");
        Ok(())
    }

    /// The topology in force, if it has this pool.
    fn pool(&self, name: &str) -> Result<Arc<Topology>, ProxyError> {
        let topology = self.topology();
        if topology.pool(name).is_some() {
            return Ok(topology);
        }
        let known = topology.pools.iter().map(|known| known.config.name()).collect::<Vec<_>>().join(", ");
        Err(ProxyError::UnknownPool { name: name.to_owned(), known })
    }

    /// Pools and rules in force.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.common.shared.current().topology)
    }

    /// Loads a model, from the configured path where none is given.
    pub(crate) fn load_model(&self, path: Option<&Path>) -> Result<String, ProxyError> {
        let topology = self.topology();
        let configured = topology.config.model().map(|model| model.source.champion());
        self.loader.load(path.or(configured.as_deref()).ok_or(ProxyError::NoModelPath)?)
    }

    pub(crate) fn model_id(&self) -> Option<String> {
        self.common.shared.current().model.as_ref().map(|model| model.id().to_string())
    }

    /// How the models do.
    pub(crate) fn lineup(&self) -> LineupStatus {
        self.lineup.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True while new connections are taken.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_stopping.load(Ordering::Acquire)
    }

    /// Takes up another configuration: pools, endpoints, routes, limits, tenants. Requests in flight end under the one
    /// that they began with.
    pub(crate) fn reload(&self, config: Config) -> Result<(), ProxyError> {
        let reloaded = self.replace_topology(config);
        self.count_reload(&reloaded);
        reloaded
    }

    /// The same with the file that the configuration in force came from.
    pub(crate) fn reread(&self) -> Result<(), ProxyError> {
        let config = self.topology().config.reread().map_err(ProxyError::from);
        let reloaded = config.and_then(|config| self.replace_topology(config));
        self.count_reload(&reloaded);
        reloaded
    }

    fn count_reload(&self, reloaded: &Result<(), ProxyError>) {
        match reloaded {
            Ok(()) => {
                self.metrics.reload.reloads.add(1);
                tracing::info!("configuration taken up");
            }
            Err(error) => {
                self.metrics.reload.refusals.add(1);
                tracing::error!(%error, "configuration refused, the one before stays in use");
            }
        }
    }

    fn replace_topology(&self, config: Config) -> Result<(), ProxyError> {
        // One at a time: each builds on the one before.
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.topology();
        let keys = before.config.restart_keys(&config);
        if !keys.is_empty() {
            return Err(ProxyError::NeedsRestart { keys: keys.join(", ") });
        }
        let topology = Arc::new(Topology::build(config, &self.build(&before))?);
        self.swap(&before, &topology);
        Ok(())
    }

    /// Resolves names and reads files of endpoints again; true where anything changed.
    pub(crate) fn refresh(&self) -> Result<bool, ProxyError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.topology();
        let topology = Arc::new(Topology::build(before.config.clone(), &self.build(&before))?);
        if topology.is_same(&before) {
            return Ok(false);
        }
        self.swap(&before, &topology);
        tracing::info!("endpoints changed");
        Ok(true)
    }

    fn build<'a>(&'a self, before: &'a Topology) -> Build<'a> {
        let now = self.common.clock.now();
        Build { before: Some(before), metrics: &self.metrics, resolve: resolve_by_system, now }
    }

    fn swap(&self, before: &Topology, topology: &Arc<Topology>) {
        self.common.shared.change(|new| {
            // A policy that was set by hand stays, unless the file changed it.
            let of_pool = |pool: &PoolTopology| {
                let name = pool.config.name();
                let known = before.pools.iter().position(|old| old.config.name() == name);
                let same = known.filter(|at| before.pools[*at].config.policy() == pool.config.policy());
                same.and_then(|at| new.policies.get(at).copied()).unwrap_or(pool.config.policy())
            };
            let policies = topology.pools.iter().map(of_pool).collect();
            new.policies = policies;
            new.topology = Arc::clone(topology);
        });
    }

    /// Takes an endpoint out of service, or puts it back: it gets no new requests, those in flight end.
    pub(crate) fn drain(&self, pool: &str, endpoint: &str, is_drained: bool) -> Result<(), ProxyError> {
        let topology = self.pool(pool)?;
        let targets = topology.pool(pool).map_or(&[][..], |pool| &pool.targets);
        let Some(target) = targets.iter().find(|target| target.endpoint.name() == endpoint) else {
            let known = targets.iter().map(|target| target.endpoint.name()).collect::<Vec<_>>().join(", ");
            return Err(ProxyError::UnknownEndpoint { pool: pool.to_owned(), name: endpoint.to_owned(), known });
        };
        if !is_drained && target.endpoint.is_closed(Closed::Draining) {
            target.endpoint.joined(self.common.clock.now());
        }
        target.endpoint.set_closed(Closed::Draining, is_drained);
        tracing::info!(pool, endpoint, is_drained, "drain");
        Ok(())
    }

    /// Asks all workers and collects the answers of those that give one in time.
    pub(crate) fn ask<T>(&self, command: impl Fn(Sender<T>) -> Command) -> Vec<T> {
        let (reply, answers) = mpsc::channel();
        for worker in &self.workers {
            // A worker that has ended has nothing to say.
            let _ = worker.send(command(reply.clone()));
        }
        drop(reply);
        let until = Instant::now() + ANSWER;
        let next = || answers.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect()
    }

    pub(crate) fn status(&self) -> Status {
        let workers = self.ask(Command::Stats);
        let snapshot = self.common.shared.current();
        let pools = snapshot.topology.pools.iter().zip(&snapshot.policies).enumerate();
        let pools = pools.map(|(number, (pool, policy))| {
            let endpoints = pool.targets.iter().map(|target| {
                let name = target.endpoint.name();
                // By name: right after a reload a worker may still have the pool before.
                let seen =
                    || workers.iter().filter_map(|pools| pools.get(number)?.iter().find(|stats| stats.name == name));
                let ewmas: Vec<f32> = seen().filter_map(|stats| stats.peak_ewma_ms).collect();
                EndpointStatus {
                    name: name.to_owned(),
                    address: target.address.to_string(),
                    in_flight: target.endpoint.in_flight(),
                    connections: target.endpoint.connections(),
                    draining: target.endpoint.is_closed(Closed::Draining),
                    healthy: !target.endpoint.is_closed(Closed::Unhealthy),
                    ejected_by_workers: seen().filter(|stats| stats.ejected).count(),
                    ejections: seen().map(|stats| stats.ejections).sum(),
                    consecutive_failures: seen().map(|stats| stats.consecutive_failures).max().unwrap_or(0),
                    peak_ewma_ms: (!ewmas.is_empty()).then(|| ewmas.iter().sum::<f32>() / ewmas.len() as f32),
                }
            });
            PoolStatus { name: pool.config.name().to_owned(), policy: *policy, endpoints: endpoints.collect() }
        });
        Status {
            uptime_secs: self.started.elapsed().as_secs_f64(),
            workers: self.workers.len(),
            model: self.model_id(),
            lineup: self.lineup(),
            pools: pools.collect(),
            metrics: self.metrics.snapshot(),
        }
    }

    /// The page of `/metrics`.
    pub(crate) fn metrics_page(&self) -> String {
        let topology = self.topology();
        let endpoints = topology.pools.iter().flat_map(|pool| {
            pool.targets.iter().map(|target| EndpointGauge {
                pool: pool.config.name(),
                endpoint: target.endpoint.name(),
                in_flight: target.endpoint.in_flight(),
                is_open: target.endpoint.is_open(),
            })
        });
        let endpoints: Vec<EndpointGauge<'_>> = endpoints.collect();
        self.metrics.render(&endpoints, self.model_id().as_deref())
    }
}
