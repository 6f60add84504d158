//! The generator: one thread, one single-threaded runtime, one task a request.

use super::connection::{Idle, SendError};
use super::shot::Shot;
use super::target::Target;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How to send.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Header that carries the tenant.
    pub tenant_header: String,
    /// A request without a whole answer after this long (from its intended time) is an error.
    pub timeout: Duration,
    /// Bodies larger than this are cut to it.
    pub max_body_bytes: u64,
    /// Requests in flight at which further ones are not sent but counted as dropped.
    pub max_in_flight: usize,
    /// Stops early when it becomes true; what was sent is still awaited.
    pub cancel: Arc<AtomicBool>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            tenant_header: "x-tenant".to_owned(),
            timeout: Duration::from_secs(10),
            max_body_bytes: 1 << 20,
            // Below the usual limit of 1,024 open files a process would meet first on small machines... times ten:
            // a generator that drops says so, one that waits lies.
            max_in_flight: 10_000,
            cancel: Arc::default(),
        }
    }
}

/// Why a request has no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection broke.
    Broken,
    /// No whole answer in time.
    Timeout,
    /// Not a request that can be sent (method or header).
    Invalid,
}

/// What became of one shot.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Position of the shot.
    pub index: usize,
    /// Intended time.
    pub at: Duration,
    /// From the intended time to the last byte, or to the failure.
    pub latency: Duration,
    /// Status; 0 where there was no answer.
    pub status: u16,
    /// Why there was no whole answer.
    pub failure: Option<Failure>,
    /// The endpoint that answered, where it says so in `x-endpoint`.
    pub endpoint: Option<Arc<str>>,
    /// How late the generator itself was.
    pub late: Duration,
}

impl Sample {
    /// True for a failure and for a status of 500 or above.
    pub fn is_error(&self) -> bool {
        self.failure.is_some() || self.status >= 500
    }
}

/// What became of a run.
#[derive(Debug, Clone, Default)]
pub struct LoadResult {
    /// One for each shot that was sent, in the order of the shots.
    pub samples: Vec<Sample>,
    /// Shots that were not sent because too many were in flight.
    pub dropped: u64,
}

impl LoadResult {
    /// 99th percentile of how late the generator was.
    pub fn lag_p99(&self) -> Duration {
        let mut late: Vec<Duration> = self.samples.iter().map(|sample| sample.late).collect();
        late.sort_unstable();
        late.get((late.len() * 99 / 100).min(late.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// State of one run, on its thread alone.
struct Run {
    target: Target,
    options: LoadOptions,
    tenant_header: HeaderName,
    idle: Idle,
    samples: RefCell<Vec<Sample>>,
    in_flight: Cell<usize>,
    done: Cell<u64>,
    endpoints: RefCell<Vec<Arc<str>>>,
}

/// Sends all shots and waits for what becomes of them. `progress` is called with the number of ended requests, some
/// ten times a second. Blocks the calling thread.
///
/// # Errors
/// Where the runtime cannot be started or the tenant header is no header name.
pub fn run(
    shots: &[Shot],
    target: &Target,
    options: &LoadOptions,
    progress: &mut dyn FnMut(u64),
) -> io::Result<LoadResult> {
    let tenant_header = HeaderName::from_bytes(options.tenant_header.as_bytes())
        .map_err(|_| io::Error::other(format!("{:?} is not a header name", options.tenant_header)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = Rc::new(Run {
        target: target.clone(),
        options: options.clone(),
        tenant_header,
        idle: Idle::default(),
        samples: RefCell::new(Vec::with_capacity(shots.len())),
        in_flight: Cell::new(0),
        done: Cell::new(0),
        endpoints: RefCell::default(),
    });
    let dropped = runtime.block_on(LocalSet::new().run_until(run.fire(shots, progress)));
    let mut samples = run.samples.take();
    samples.sort_unstable_by_key(|sample| sample.index);
    Ok(LoadResult { samples, dropped })
}

/// Between two looks at progress while waiting.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl Run {
    async fn fire(self: &Rc<Self>, shots: &[Shot], progress: &mut dyn FnMut(u64)) -> u64 {
        let start = Instant::now();
        let mut dropped = 0;
        let mut tasks = tokio::task::JoinSet::new();
        for (index, shot) in shots.iter().enumerate() {
            let due = start + shot.at;
            while Instant::now() < due {
                sleep_until(due.min(Instant::now() + PROGRESS_EVERY)).await;
                progress(self.done.get());
            }
            while tasks.try_join_next().is_some() {}
            if self.options.cancel.load(Ordering::Relaxed) {
                break;
            }
            if self.in_flight.get() >= self.options.max_in_flight {
                dropped += 1;
                continue;
            }
            self.in_flight.set(self.in_flight.get() + 1);
            let (run, shot) = (Rc::clone(self), shot.clone());
            tasks.spawn_local(async move { run.one(index, shot, due).await });
        }
        while !tasks.is_empty() {
            // An error is a panic of a task, which has no sample; a time-out is a look at progress.
            if let Ok(Some(Err(error))) = tokio::time::timeout(PROGRESS_EVERY, tasks.join_next()).await {
                tracing::error!(%error, "a load task ended without a sample");
            }
            progress(self.done.get());
        }
        dropped
    }

    async fn one(&self, index: usize, shot: Shot, due: Instant) {
        let late = due.elapsed();
        let answer = timeout_at(due + self.options.timeout, self.exchange(index, &shot)).await;
        let (status, endpoint, failure) = answer.unwrap_or((0, None, Some(Failure::Timeout)));
        let latency = due.elapsed();
        self.samples.borrow_mut().push(Sample { index, at: shot.at, latency, status, failure, endpoint, late });
        self.in_flight.set(self.in_flight.get() - 1);
        self.done.set(self.done.get() + 1);
    }

    async fn exchange(&self, index: usize, shot: &Shot) -> (u16, Option<Arc<str>>, Option<Failure>) {
        let Some(request) = self.request(index, shot) else { return (0, None, Some(Failure::Invalid)) };
        let (response, connection) = match self.idle.send(&self.target, request).await {
            Ok(answered) => answered,
            Err(SendError::Connect(_)) => return (0, None, Some(Failure::Connect)),
            Err(SendError::Http(_)) => return (0, None, Some(Failure::Broken)),
        };
        let (head, mut body) = response.into_parts();
        let endpoint = head.headers.get("x-endpoint").and_then(|value| value.to_str().ok());
        let endpoint = endpoint.map(|name| self.intern(name));
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return (head.status.as_u16(), endpoint, Some(Failure::Broken));
            }
        }
        self.idle.put(connection);
        (head.status.as_u16(), endpoint, None)
    }

    fn request(&self, index: usize, shot: &Shot) -> Option<Request<Full<Bytes>>> {
        let bytes = shot.body_bytes.min(self.options.max_body_bytes) as usize;
        let method = Method::from_bytes(shot.method.as_bytes()).ok()?;
        // A body on GET is legal but unusual: recorders count the head of such requests.
        let bytes = if matches!(method, Method::GET | Method::HEAD) { 0 } else { bytes };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{}", self.target.base, shot.path(index)))
            .header(http::header::HOST, &self.target.host)
            .header(&self.tenant_header, HeaderValue::from_str(&shot.tenant).ok()?);
        if let Some(bytes) = shot.response_bytes {
            request = request.header("x-response-bytes", bytes);
        }
        request.body(Full::new(Bytes::from(vec![b'x'; bytes]))).ok()
    }

    /// Endpoint names are few: one allocation each, not one a request.
    fn intern(&self, name: &str) -> Arc<str> {
        let mut known = self.endpoints.borrow_mut();
        if let Some(same) = known.iter().find(|known| known.as_ref() == name) {
            return Arc::clone(same);
        }
        let name: Arc<str> = Arc::from(name);
        known.push(Arc::clone(&name));
        name
    }
}
