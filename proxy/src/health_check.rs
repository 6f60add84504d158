//! Active checks: every endpoint of a pool that asks for it is tried at an interval, from one thread for all workers.
//!
//! What a check finds is one atomic of the endpoint, which every balancer reads at its decisions. Endpoints begin as
//! well: at a start nobody waits for checks, and a dead one is out after a few of them. Rejected: checks by each worker,
//! which multiply the checks by the cores and give as many opinions.

use crate::config::{CheckKind, HealthCheck};
use crate::control::Control;
use crate::error::{ProxyError, RequestError};
use crate::topology::{Target, Topology};
use crate::upstream::{RequestBody, dial};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tailcast_balance::Closed;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// How soon a change of the configuration is followed.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The thread.
#[derive(Debug)]
pub(crate) struct HealthChecker {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl HealthChecker {
    /// Starts to check.
    pub(crate) fn start(control: Arc<Control>) -> Result<Self, ProxyError> {
        let failed = |source| ProxyError::Start { what: "health checks", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("tailcast-health".into()).spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                let mut checks = Checks::default();
                loop {
                    checks.follow(&control);
                    tokio::select! {
                        () = tokio::time::sleep(FOLLOW_EVERY) => {}
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        Ok(Self { stop, thread: thread.map_err(failed)? })
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("health checks panicked");
        }
    }
}

/// What is checked now.
#[derive(Default)]
struct Checks {
    topology: Option<Arc<Topology>>,
    running: HashMap<(String, u64), Running>,
}

struct Running {
    target: Target,
    check: HealthCheck,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    /// Starts, keeps and ends checks so that they are those of the topology in force.
    fn follow(&mut self, control: &Arc<Control>) {
        let topology = control.topology();
        if self.topology.as_ref().is_some_and(|known| Arc::ptr_eq(known, &topology)) {
            return;
        }
        let mut before = std::mem::take(&mut self.running);
        for pool in &topology.pools {
            let Some(check) = pool.config.health_check() else { continue };
            for target in &pool.targets {
                let key = (pool.config.name().to_owned(), target.endpoint.key());
                let known = before.remove(&key).filter(|known| {
                    known.check == *check
                        && known.target.address == target.address
                        && Arc::ptr_eq(&known.target.endpoint, &target.endpoint)
                });
                let running = known.unwrap_or_else(|| {
                    let checking = keep_checking(Arc::clone(control), target.clone(), check.clone());
                    let task = tokio::task::spawn_local(checking);
                    Running { target: target.clone(), check: check.clone(), task }
                });
                self.running.insert(key, running);
            }
        }
        // Whom nobody checks any more, nobody may call unhealthy.
        before.values().for_each(|ended| ended.target.endpoint.set_closed(Closed::Unhealthy, false));
        self.topology = Some(topology);
    }
}

async fn keep_checking(control: Arc<Control>, target: Target, check: HealthCheck) {
    let metrics = &control.metrics.checks;
    let endpoint = &target.endpoint;
    let (mut good, mut bad) = (0, 0);
    // Spread over a tenth of the interval, so that a pool is not checked in one moment for ever.
    let spread = check.interval.mul_f64((endpoint.key() % 1_000) as f64 / 10_000.0);
    let mut wait = Duration::ZERO;
    loop {
        tokio::time::sleep(wait).await;
        wait = check.interval.mul_f64(0.95) + spread;
        metrics.done.add(1);
        let result = match tokio::time::timeout(check.timeout, once(&target, &check)).await {
            Ok(result) => result,
            Err(_) => Err("no answer in time".to_owned()),
        };
        let is_closed = endpoint.is_closed(Closed::Unhealthy);
        match result {
            Ok(()) => {
                (good, bad) = (good + 1, 0);
                if is_closed && good >= check.healthy_after {
                    endpoint.joined(control.common.clock.now());
                    endpoint.set_closed(Closed::Unhealthy, false);
                    tracing::info!(endpoint = endpoint.name(), "endpoint is well again");
                }
            }
            Err(reason) => {
                (good, bad) = (0, bad + 1);
                metrics.failed.add(1);
                if !is_closed && bad >= check.unhealthy_after {
                    endpoint.set_closed(Closed::Unhealthy, true);
                    tracing::warn!(endpoint = endpoint.name(), reason, "endpoint fails its checks");
                }
            }
        }
    }
}

/// One check; why it failed.
async fn once(target: &Target, check: &HealthCheck) -> Result<(), String> {
    let CheckKind::Http { path, host, status } = &check.kind else {
        return TcpStream::connect(target.address).await.map(drop).map_err(|error| error.to_string());
    };
    let failed = |error: RequestError| error.to_string();
    // Outside of the limit of connections: a busy endpoint is not a sick one.
    let mut sender = dial(target, check.timeout, None).await.map_err(failed)?;
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = Uri::from(path.clone());
    let own_host = || HeaderValue::try_from(target.address.to_string()).ok();
    if let Some(host) = host.clone().or_else(own_host) {
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("tailcast-health-check"));
    let answer = sender.try_send_request(request).await.map_err(|error| error.into_error().to_string())?;
    let found = answer.status().as_u16();
    let is_good = status.map_or((200..400).contains(&found), |wanted| wanted == found);
    if is_good { Ok(()) } else { Err(format!("status {found}")) }
}
