//! The admin listener: health, metrics, state, and the two changes that need no restart.
//!
//! It has its own thread and runtime, so a scrape never stands in a request's way and answers while workers are
//! busy. Plain HTTP without a login: it listens on loopback unless the configuration says otherwise.

use crate::control::Control;
use crate::error::ProxyError;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tailcast_balance::PolicyKind;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A body is the name of a policy.
const MAX_BODY_BYTES: usize = 256;

/// An operator's tool sends its head at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin thread.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Admin {
    /// Starts serving on a socket.
    pub(crate) fn start(socket: StdListener, control: Arc<Control>) -> Result<Self, ProxyError> {
        let failed = |source| ProxyError::Start { what: "the admin listener", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("tailcast-admin".into())
            .spawn(move || runtime.block_on(run(socket, control, stopped)))
            .map_err(failed)?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; connections to it are cut.
    pub(crate) fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the admin thread panicked");
        }
    }
}

async fn run(socket: StdListener, control: Arc<Control>, mut stopped: oneshot::Receiver<()>) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener cannot be used");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely there are no file descriptors left; spinning would not bring any back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let control = Arc::clone(&control);
        let service = service_fn(move |request| {
            let control = Arc::clone(&control);
            async move { Ok::<_, Infallible>(answer(&control, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

async fn answer(control: &Control, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (allowed, run): (Method, Action<'_>) = match segments.as_slice() {
        ["healthz"] => (Method::GET, Action::Health),
        ["readyz"] => (Method::GET, Action::Ready),
        ["metrics"] => (Method::GET, Action::Metrics),
        ["status"] => (Method::GET, Action::Status),
        ["pools", pool, "policy"] => (Method::PUT, Action::Policy(pool)),
        ["pools", pool, "endpoints", endpoint, "drain"] if method == Method::DELETE => {
            (Method::DELETE, Action::Drain(pool, endpoint, false))
        }
        ["pools", pool, "endpoints", endpoint, "drain"] => (Method::PUT, Action::Drain(pool, endpoint, true)),
        ["model", "reload"] => (Method::POST, Action::Reload),
        ["config", "reload"] => (Method::POST, Action::Reread),
        _ => return failure(StatusCode::NOT_FOUND, &format!("no page {path}")),
    };
    if method != allowed && !(allowed == Method::GET && method == Method::HEAD) {
        let mut refused = failure(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed} {path}"));
        if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
            refused.headers_mut().insert(ALLOW, allowed);
        }
        return refused;
    }
    match run {
        Action::Health => page(StatusCode::OK, TEXT, "ok\n"),
        Action::Ready if control.is_ready() => page(StatusCode::OK, TEXT, "ready\n"),
        Action::Ready => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n"),
        Action::Metrics => page(StatusCode::OK, OPENMETRICS, control.metrics_page()),
        Action::Status => match serde_json::to_string_pretty(&control.status()) {
            Ok(status) => page(StatusCode::OK, JSON, status),
            Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Action::Policy(pool) => set_policy(control, pool, request).await,
        Action::Drain(pool, endpoint, is_drained) => match control.drain(pool, endpoint, is_drained) {
            Ok(()) => {
                let state = json!({ "pool": pool, "endpoint": endpoint, "draining": is_drained });
                page(StatusCode::OK, JSON, state.to_string())
            }
            Err(error) => failure(StatusCode::NOT_FOUND, &error.to_string()),
        },
        Action::Reread => match control.reread() {
            Ok(()) => page(StatusCode::OK, JSON, json!({ "reloaded": true }).to_string()),
            Err(error) => failure(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        },
        Action::Reload => match control.load_model(None) {
            Ok(id) => page(StatusCode::OK, JSON, json!({ "model": id }).to_string()),
            Err(error) => failure(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        },
    }
}

enum Action<'a> {
    Health,
    Ready,
    Metrics,
    Status,
    Policy(&'a str),
    Reload,
    Reread,
    Drain(&'a str, &'a str, bool),
}

async fn set_policy(control: &Control, pool: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let name = String::from_utf8_lossy(&body);
    let policy: PolicyKind = match name.trim().parse() {
        Ok(policy) => policy,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &format!("{error}")),
    };
    match control.set_policy(pool, policy) {
        Ok(()) => page(StatusCode::OK, JSON, json!({ "pool": pool, "policy": policy }).to_string()),
        Err(error) => failure(StatusCode::NOT_FOUND, &error.to_string()),
    }
}

fn failure(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    page(status, JSON, json!({ "error": message }).to_string())
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
