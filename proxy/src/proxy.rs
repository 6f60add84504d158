//! Starting and stopping: one configuration becomes threads, and a handle that ends them in the right order.

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Control, Status};
use crate::core::{Common, Core};
use crate::error::ProxyError;
use crate::health_check::HealthChecker;
use crate::inherited::Inherited;
use crate::judge::Sampler;
use crate::lineup::Lineup;
use crate::listener::{listen, listen_alone};
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::recorder::{CoreRecorder, Recorder};
use crate::reload::ModelLoader;
use crate::snapshot::{Shared, Snapshot};
use crate::topology::{Build, Topology, resolve_by_system};
use crate::watch::FileWatcher;
use crate::worker::{self, Command};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use tailcast_balance::PolicyKind;
use tailcast_features::Tick;

/// Samples that wait for the judge of models: a burst of some tenths of a second, half a megabyte.
const SAMPLES: usize = 2_048;

/// The proxy, before it runs.
#[derive(Debug)]
pub struct Proxy;

/// A proxy that serves. Dropping it without [`RunningProxy::shutdown`] cuts requests in flight and does not wait.
#[derive(Debug)]
pub struct RunningProxy {
    control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    workers: Vec<JoinHandle<()>>,
    recorder: Option<Recorder>,
    lineup: Lineup,
    files: FileWatcher,
    checker: HealthChecker,
    admin: Option<Admin>,
}

impl Proxy {
    /// Binds, starts all threads, and serves from the moment it returns.
    ///
    /// # Errors
    /// Where an address cannot be listened on, an endpoint's name has no address, or a thread cannot be started. A
    /// model or log directory that cannot be used is no error: the proxy serves without.
    pub fn start(config: Config) -> Result<RunningProxy, ProxyError> {
        let workers = config.workers();
        let clock = Clock::start();
        let metrics = Arc::new(Metrics::new(workers));
        let build = Build { before: None, metrics: &metrics, resolve: resolve_by_system, now: Tick::ZERO };
        let topology = Arc::new(Topology::build(config, &build)?);
        let config = &topology.config;
        let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        let mut inherited = Inherited::from_environment();
        for address in config.listeners() {
            let shared = match inherited.take(*address, workers)? {
                Some(sockets) => sockets,
                None => listen(*address, workers)?,
            };
            addresses.extend(shared.first().and_then(|socket| socket.local_addr().ok()));
            sockets.iter_mut().zip(shared).for_each(|(own, socket)| own.push(socket));
        }
        let admin_socket = match config.admin() {
            Some(address) => Some(match inherited.take(address, 1)?.and_then(|mut sockets| sockets.pop()) {
                Some(socket) => socket,
                None => listen_alone(address)?,
            }),
            None => None,
        };
        inherited.complain();
        let admin_address = admin_socket.as_ref().and_then(|socket| socket.local_addr().ok());

        let policies = config.pools().iter().map(|pool| pool.policy()).collect();
        let shared = Arc::new(Shared::new(Snapshot { topology: Arc::clone(&topology), policies, model: None }));
        let loader = ModelLoader::new(Arc::clone(&shared), Arc::clone(&metrics));
        let start_us = clock.unix_us(Tick::ZERO);
        let common = Common { shared, clock, seed: seed(), addresses: Arc::default() };
        // The model before the first request, the log before the first row.
        let judged = config.model().map(|model| model.judge).unwrap_or_default();
        let (samples, sampled) = std::sync::mpsc::sync_channel(SAMPLES);
        let sampler = Sampler::new(samples, judged.share, Arc::clone(&metrics.model.lost_samples));
        let lineup =
            Lineup::start(config.model(), Arc::clone(&common.shared), loader.clone(), Arc::clone(&metrics), sampled)?;
        let log = config.log();
        let recorder = log.map(|log| Recorder::start(log, start_us, Arc::clone(&metrics.log))).transpose()?;

        let mut threads = Vec::with_capacity(workers);
        let mut commands = Vec::with_capacity(workers);
        for (index, (own, core_metrics)) in sockets.into_iter().zip(&metrics.cores).enumerate() {
            let failed = |source| ProxyError::Start { what: "a worker", source };
            let rows = recorder.as_ref().map(|recorder| recorder.core(Arc::clone(core_metrics)));
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            let (began, started) = std::sync::mpsc::channel();
            let (common, core_metrics, sampler) = (common.clone(), Arc::clone(core_metrics), sampler.clone());
            let thread = std::thread::Builder::new().name(format!("tailcast-{index}")).spawn(move || {
                let rows = rows.unwrap_or_else(CoreRecorder::disabled);
                worker::run(|| Core::new(index, common, core_metrics, rows, sampler), own, receiver, &began)
            });
            threads.push(thread.map_err(failed)?);
            commands.push(sender);
            // A worker that cannot begin has hung up without a word, or with one.
            started.recv().unwrap_or_else(|_| Err(std::io::Error::other("it ended at once"))).map_err(failed)?;
        }
        let control = Arc::new(Control {
            common,
            metrics,
            loader,
            lineup: lineup.status(),
            workers: commands,
            is_stopping: AtomicBool::new(false),
            started: Instant::now(),
            reloading: Mutex::default(),
        });
        let files = FileWatcher::start(Arc::clone(&control))?;
        let checker = HealthChecker::start(Arc::clone(&control))?;
        let admin = admin_socket.map(|socket| Admin::start(socket, Arc::clone(&control))).transpose()?;
        tracing::info!(?addresses, ?admin_address, workers, "serving");
        Ok(RunningProxy {
            control,
            addresses,
            admin_address,
            workers: threads,
            recorder,
            lineup,
            files,
            checker,
            admin,
        })
    }
}

impl RunningProxy {
    /// Where it listens, in the order of the configuration, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Changes the policy of a pool; every worker follows at its next decision.
    ///
    /// # Errors
    /// Where there is no such pool.
    pub fn set_policy(&self, pool: &str, policy: PolicyKind) -> Result<(), ProxyError> {
        self.control.set_policy(pool, policy)
    }

    /// Takes up another configuration: pools, endpoints, routes, limits and tenants. No connection is lost, and
    /// requests in flight end under the rules that they began with.
    ///
    /// # Errors
    /// Where an endpoint's name has no address, or something changed that a running proxy cannot change (workers,
    /// listeners, admin, model and log); the configuration before is then still in force, and the refusal is counted.
    pub fn reload(&self, config: Config) -> Result<(), ProxyError> {
        self.control.reload(config)
    }

    /// The same with the file that the configuration in force came from, as SIGHUP asks for.
    ///
    /// # Errors
    /// As [`RunningProxy::reload`], and where the file is wrong.
    pub fn reread(&self) -> Result<(), ProxyError> {
        self.control.reread()
    }

    /// Takes an endpoint out of service, or puts it back. It gets no new requests; those in flight end.
    ///
    /// # Errors
    /// Where there is no such pool or endpoint.
    pub fn drain(&self, pool: &str, endpoint: &str, is_drained: bool) -> Result<(), ProxyError> {
        self.control.drain(pool, endpoint, is_drained)
    }

    /// Loads a model; every worker follows at its next decision. Gives its id.
    ///
    /// # Errors
    /// Where the file was refused; the model before is still in use.
    pub fn load_model(&self, path: &Path) -> Result<String, ProxyError> {
        self.control.load_model(Some(path))
    }

    /// Id of the model in use.
    pub fn model_id(&self) -> Option<String> {
        self.control.model_id()
    }

    /// Sums of all counters.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.control.metrics.snapshot()
    }

    /// Pools, endpoints and their health.
    pub fn status(&self) -> Status {
        self.control.status()
    }

    /// Closes the open log segment: when this returns, all requests that had ended are in Parquet files.
    pub fn rotate_log(&self) {
        if let Some(recorder) = &self.recorder {
            self.control.ask(Command::FlushLog);
            recorder.rotate();
        }
    }

    /// Stops: no new connections, requests in flight end (or are cut after the drain time), the log is closed.
    pub fn shutdown(self) {
        self.control.is_stopping.store(true, Ordering::Release);
        let drain = self.control.topology().config.drain();
        for worker in &self.control.workers {
            // A worker that has ended needs no stop.
            let _ = worker.send(Command::Stop(drain));
        }
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        self.files.finish();
        self.checker.finish();
        // After the workers: their last rows are queued by now.
        self.recorder.into_iter().for_each(Recorder::finish);
        self.lineup.finish();
        self.admin.into_iter().for_each(Admin::finish);
        tracing::info!("stopped");
    }
}

/// A number that differs between two starts: the standard library's randomly keyed hasher, of nothing.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
