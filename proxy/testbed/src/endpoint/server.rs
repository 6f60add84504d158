//! One endpoint's thread: accepts, queues for a worker, sleeps for the service time, answers.

use super::cache::TenantCache;
use super::control::{Control, Mode};
use super::spec::EndpointSpec;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::SeedableRng;
use rand_distr::{Distribution, LogNormal};
use rand_pcg::Pcg64Mcg;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Largest answer body.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// Body of an answer whose request asks for no size.
const DEFAULT_RESPONSE_BYTES: usize = 200;

/// State of one endpoint, on its thread alone.
struct Endpoint {
    spec: EndpointSpec,
    control: Arc<Control>,
    workers: Semaphore,
    waiting: Cell<usize>,
    cache: RefCell<TenantCache>,
    rng: RefCell<Pcg64Mcg>,
}

/// Why a connection is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulated endpoint resets connections")]
struct ResetConnection;

/// Serves until `stop` is sent or dropped.
pub(super) async fn serve(
    listener: TcpListener,
    spec: EndpointSpec,
    control: Arc<Control>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let endpoint = Rc::new(Endpoint {
        workers: Semaphore::new(spec.workers),
        waiting: Cell::new(0),
        cache: RefCell::default(),
        rng: RefCell::new(Pcg64Mcg::seed_from_u64(spec.seed)),
        spec,
        control,
    });
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = &mut stop => return Ok(()),
        };
        socket.set_nodelay(true)?;
        let endpoint = Rc::clone(&endpoint);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(Rc::clone(&endpoint), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an emulated endpoint broke");
            }
        });
    }
}

async fn answer(endpoint: Rc<Endpoint>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ResetConnection> {
    let (head, body) = request.into_parts();
    // The work starts when the request is whole. A client that leaves meanwhile ends this future.
    if body.collect().await.is_err() {
        return Err(ResetConnection);
    }
    match endpoint.control.mode() {
        Mode::Serve => {}
        Mode::FailFast => return Ok(endpoint.refuse()),
        Mode::Hang => std::future::pending().await,
        Mode::Reset => return Err(ResetConnection),
    }
    let Some(law) = endpoint.spec.law(head.uri.path()) else {
        return Ok(endpoint.response(StatusCode::NOT_FOUND, 0));
    };
    if endpoint.workers.available_permits() == 0 && endpoint.waiting.get() >= endpoint.spec.queue {
        return Ok(endpoint.refuse());
    }
    let waiting = Waiting::new(&endpoint.waiting);
    let Ok(permit) = endpoint.workers.acquire().await else { return Ok(endpoint.refuse()) };
    drop(waiting);
    let service = InService::new(&endpoint.control);
    let tenant = head.headers.get(&endpoint.spec.tenant_header).and_then(|value| value.to_str().ok()).unwrap_or("");
    let spread = LogNormal::new(law.mean_ms.max(1e-3).ln() - law.sigma * law.sigma / 2.0, law.sigma);
    let drawn = spread.map_or(law.mean_ms, |spread| spread.sample(&mut *endpoint.rng.borrow_mut()));
    let ms = drawn * endpoint.miss_factor(tenant) * f64::from(endpoint.control.slow_factor());
    tokio::time::sleep(Duration::from_secs_f64(ms.clamp(0.0, 3.6e6) / 1e3)).await;
    drop((service, permit));
    endpoint.control.served.fetch_add(1, Ordering::Relaxed);
    let wanted = head.headers.get("x-response-bytes").and_then(|value| value.to_str().ok());
    let bytes = wanted.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_RESPONSE_BYTES);
    Ok(endpoint.response(StatusCode::OK, bytes))
}

impl Endpoint {
    fn miss_factor(&self, tenant: &str) -> f64 {
        let Some(cache) = &self.spec.cache else { return 1.0 };
        let hit = self.cache.borrow_mut().touch(tenant, cache.tenants);
        let counter = if hit { &self.control.hits } else { &self.control.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        if hit { 1.0 } else { cache.miss_factor }
    }

    fn refuse(&self) -> Response<Full<Bytes>> {
        self.control.refused.fetch_add(1, Ordering::Relaxed);
        self.response(StatusCode::SERVICE_UNAVAILABLE, 0)
    }

    fn response(&self, status: StatusCode, bytes: usize) -> Response<Full<Bytes>> {
        let body = Bytes::from(vec![b'x'; bytes.min(MAX_RESPONSE_BYTES)]);
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        if let Ok(name) = HeaderValue::from_str(&self.spec.name) {
            response.headers_mut().insert("x-endpoint", name);
        }
        if self.spec.reports_load {
            let busy = self.control.in_service.load(Ordering::Relaxed);
            let utilisation = f64::from(busy) / self.spec.workers.max(1) as f64;
            let in_flight = busy as usize + self.waiting.get();
            let text = format!("TEXT application_utilization={utilisation:.4}, named_metrics.in_flight={in_flight}");
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert("endpoint-load-metrics", value);
            }
        }
        response
    }
}

/// Counts a request in the queue while it lives.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Counts a request in service, and the time that it held a worker, while it lives.
struct InService<'a> {
    control: &'a Control,
    since: Instant,
}

impl<'a> InService<'a> {
    fn new(control: &'a Control) -> Self {
        control.enter();
        Self { control, since: Instant::now() }
    }
}

impl Drop for InService<'_> {
    fn drop(&mut self) {
        self.control.leave();
        self.control.busy_us.fetch_add(self.since.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
}
