//! One request through the proxy: inspect, find its route, name its tenant, let it in, decide, send, answer.
//!
//! A further try happens in one place: on another endpoint, within the budget, under the route's conditions, and only
//! where it is safe: nothing was sent, or the method is safe and there is no body. A kept connection that the
//! endpoint closed meanwhile is no failure of the endpoint: the request goes to the same endpoint again on a new
//! connection (RFC 9112 §9.3.1).

use crate::alarm::Alarm;
use crate::body::{Content, Forwarded, ProxyBody, Watched};
use crate::client::{Client, Serving};
use crate::config::{RetryOn, RoutePolicy};
use crate::core::Core;
use crate::deadline::Deadline;
use crate::error::RequestError;
use crate::flight::{Arrival, Flight};
use crate::headers;
use crate::load_report;
use crate::probe;
use crate::routing;
use crate::tunnel::{self, Upgrade};
use crate::upstream::{BodyWatch, Replica, RequestBody, Sender, name_authority};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, ready};
use tailcast_balance::NoEndpoint;
use tailcast_balance::admission::Offered;
use tailcast_features::{OutcomeKind, RequestFacts, Tick};
use tokio::time::Instant;

/// Serves one request. Never fails: errors become responses that name their reason.
pub(crate) async fn serve(client: Rc<Client>, request: Request<Incoming>) -> Response<ProxyBody> {
    let serving = client.serving();
    let core = &client.core;
    let at = core.now();
    let version = request.version();
    let started = match prepare(&client, request, at) {
        Ok(ready) => admit(core, ready, at).await,
        Err(error) => Err(error),
    };
    let Admitted { mut flight, mut request, policy, upgrade } = match started {
        Ok(admitted) => admitted,
        Err(error) => {
            core.metrics().failed(error.reason());
            return refuse(&error, version, serving);
        }
    };
    let total = Deadline::new(core.instant(at.after(policy.timeouts.total)));
    let retries = policy.retries;
    // Requests of an HTTP/2 connection wait at the same time, each in its own task.
    let own = RefCell::default();
    let alarm = if version == Version::HTTP_2 { &own } else { &client.alarm };
    loop {
        match attempt(&flight, request, &policy, &total, alarm, upgrade.is_some()).await {
            Ok(Answered { response, again: Some(again), .. })
                if retries.on.has(RetryOn::of_status(response.status().as_u16()))
                    && flight.retry(OutcomeKind::ServerError, response.status().as_u16(), retries.attempts) =>
            {
                request = again.into_request();
            }
            Ok(Answered { response, sender, again }) => {
                if let Some(again) = again {
                    core.keep_fields(again.into_fields());
                }
                return match upgrade {
                    Some(upgrade) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        tunnel::open(response, flight, upgrade.client, policy.timeouts.tunnel_idle, serving)
                    }
                    _ => answer(response, sender, flight, total, version, serving),
                };
            }
            Err(Failed { error, resend: Some(again) })
                if retries.on.has(error.retry_on()) && flight.retry(error.outcome(), 0, retries.attempts) =>
            {
                request = again;
            }
            Err(Failed { error, .. }) => {
                tracing::debug!(endpoint = flight.endpoint().name(), %error, "request failed");
                flight.fail(&error);
                return refuse(&error, version, serving);
            }
        }
    }
}

/// A request that has been let in.
struct Admitted {
    flight: Box<Flight>,
    request: Request<RequestBody>,
    policy: RoutePolicy,
    upgrade: Option<Upgrade>,
}

/// A request that could be sent.
struct Ready {
    arrival: Arrival,
    request: Request<RequestBody>,
    policy: RoutePolicy,
    upgrade: Option<Upgrade>,
}

/// Lets a request into its pool, perhaps after a wait, and decides.
async fn admit(core: &Rc<Core>, ready: Ready, at: Tick) -> Result<Admitted, RequestError> {
    let Ready { arrival, request, policy, upgrade } = ready;
    let (mut place, mut now) = (None, at);
    if let Some(door) = arrival.pool.door() {
        let deadline = Some(at.after(policy.timeouts.total));
        let offered = Offered { tenant: arrival.facts.tenant, deadline, forecast: None };
        match door.enter(core, &offered, at).await {
            Ok(let_in) => place = Some(let_in),
            Err(error) => {
                if let RequestError::Shed(shed) = &error {
                    let classes = arrival.pool.config().tenant_classes();
                    arrival.pool.metrics().shed(classes.name_of(offered.tenant), shed.reason);
                }
                return Err(error);
            }
        }
        now = core.now();
    }
    let pool = &arrival.pool;
    pool.deposit_retry();
    probe::earned(core, pool);
    let flight = Flight::start(Rc::clone(core), arrival, place, now).map_err(|none| match none {
        // Nothing was tried yet, so nothing was excluded for that.
        NoEndpoint::AllExcluded => RequestError::NoneOpen,
        NoEndpoint::EmptyPool => none.into(),
    })?;
    Ok(Admitted { flight, request, policy, upgrade })
}

/// Checks a request, finds route, pool and tenant, and makes it the request to the endpoint.
fn prepare(client: &Client, mut request: Request<Incoming>, at: Tick) -> Result<Ready, RequestError> {
    let core = &client.core;
    let site = core.site();
    let config = site.config();
    // Taken out before the request is taken apart; costs nothing where nobody asks.
    let on_upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (mut parts, incoming) = request.into_parts();
    let found = headers::inspect(&parts)?;
    let path = parts.uri.path();
    let rule = routing::rule_of(config.routes(), found.host, path, &parts.headers);
    let pool = site.pool(rule.map_or(0, |rule| rule.pool));
    let policy = rule.map_or_else(|| pool.policy(), |rule| rule.policy);
    let size = incoming.size_hint().exact();
    if let Some(limit) = policy.body_bytes.filter(|limit| size.is_some_and(|size| size > *limit)) {
        return Err(RequestError::TooLarge { limit });
    }
    let tenant = config.tenant().tenant(&parts.headers, found.host, path);
    let route = core.route(config.tenant().path_within(path));
    let facts = RequestFacts::new(tenant.as_str(), &route, parts.method.as_str(), size, core.unix_us(at));
    if !config.tenant_classes().may_use(facts.tenant, pool.index()) {
        return Err(RequestError::PoolForbidden);
    }
    let request_id = core.next_request_id();
    let (body, watch) = RequestBody::new(incoming, policy.body_bytes);
    // A body before the upgrade is nobody's custom; such a request is served without it, as RFC 9110 §7.8 allows.
    let (wants_upgrade, present) = (found.wants_upgrade && watch.is_none(), found.present);
    let protocol = parts.headers.get(UPGRADE).filter(|_| wants_upgrade).cloned();
    headers::forward_request(&mut parts, present, &client.hop, request_id);
    let upgrade = protocol.zip(on_upgrade).map(|(protocol, client)| Upgrade { protocol, client });
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade.protocol.clone());
    }
    parts.uri = origin_form(&parts.uri)?;
    parts.version = Version::HTTP_11;
    let method = parts.method.clone();
    let arrival = Arrival { pool: Rc::clone(pool), tenant, route, method, facts, request_id, at, body: watch };
    Ok(Ready { arrival, request: Request::from_parts(parts, body), policy, upgrade })
}

/// Path and query alone: what an origin server expects, whatever form the client used.
fn origin_form(uri: &Uri) -> Result<Uri, RequestError> {
    let Some(path_and_query) = uri.path_and_query().cloned() else {
        return Err(RequestError::BadRequest("no path"));
    };
    Ok(Uri::from(path_and_query))
}

/// A try that brought an answer; with the request where it may be sent again.
struct Answered {
    response: Response<Incoming>,
    sender: Sender,
    again: Option<Replica>,
}

/// A try that did not bring an answer; with the request where it may be sent again.
struct Failed {
    error: RequestError,
    resend: Option<Request<RequestBody>>,
}

async fn attempt(
    flight: &Flight,
    mut request: Request<RequestBody>,
    policy: &RoutePolicy,
    total: &Deadline,
    alarm: &RefCell<Alarm>,
    may_switch: bool,
) -> Result<Answered, Failed> {
    let core = flight.core();
    let metrics = flight.pool().metrics();
    let Some(upstream) = flight.upstream() else {
        // An endpoint without an address cannot be configured; should it happen, another endpoint may be tried.
        let error = RequestError::Connection(std::io::Error::other("the endpoint has no address"));
        return Err(Failed { error, resend: Some(request) });
    };
    if may_switch && upstream.is_http2() {
        return Err(Failed { error: RequestError::Upgrade, resend: None });
    }
    let is_safe = request.method().is_safe() && flight.body().is_none();
    let mut since = flight.dispatched_at();
    let mut kept = upstream.take(since);
    loop {
        let is_kept = kept.is_some();
        let mut sender = match kept.take() {
            Some(sender) => {
                metrics.reuses.add(1);
                sender
            }
            None => {
                metrics.connects.add(1);
                // Boxed: what only a new connection needs must not make the state of every connection larger.
                let connected = Box::pin(upstream.connect(policy.timeouts.connect)).await;
                since = core.now();
                match connected {
                    Ok(sender) => sender,
                    Err(error) => return Err(Failed { error, resend: Some(request) }),
                }
            }
        };
        // Sending consumes the request, so what may have to be sent again is copied first.
        let copy = is_safe.then(|| Replica::of(&request, core.spare_fields()));
        let wait =
            FirstByte { since: core.instant(since), limit: policy.timeouts.first_byte, total: total.at(), alarm };
        let body = flight.body();
        // Two calls, because one future for both versions would be as large as both.
        let waited = match &mut sender {
            Sender::Http1(sender) => wait.on(sender.try_send_request(request), body).await,
            Sender::Http2(sender, is_secure) => {
                name_authority(&mut request, *is_secure);
                Box::pin(wait.on(sender.try_send_request(request), body)).await
            }
        };
        let mut error = match waited {
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch => {
                return Err(Failed { error: RequestError::Switched, resend: None });
            }
            Ok(Ok(response)) => return Ok(Answered { response, sender, again: copy }),
            Ok(Err(error)) => error,
            Err(error) => return Err(Failed { error, resend: copy.map(Replica::into_request) }),
        };
        let again = error.take_message().or_else(|| copy.map(Replica::into_request));
        let error = classify(error.into_error(), flight.body(), policy);
        match again {
            Some(again) if is_kept && matches!(error, RequestError::Reset(_)) => request = again,
            resend => return Err(Failed { error, resend }),
        }
    }
}

/// A wait for the head of an answer.
struct FirstByte<'a> {
    since: Instant,
    limit: std::time::Duration,
    total: Instant,
    alarm: &'a RefCell<Alarm>,
}

impl FirstByte<'_> {
    /// Waits. The time starts anew while the client's body makes progress: a slow upload is not a slow endpoint.
    async fn on<T>(mut self, answer: impl Future<Output = T>, body: Option<&BodyWatch>) -> Result<T, RequestError> {
        let mut answer = std::pin::pin!(answer);
        let mut seen = 0;
        std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Ok(done));
                }
                let until = self.total.min(self.since + self.limit);
                ready!(self.alarm.borrow_mut().poll(cx, until));
                let moved = body.is_some_and(|body| !body.has_ended() && body.bytes() > seen);
                if until == self.total {
                    return Poll::Ready(Err(RequestError::TotalTimeout));
                } else if !moved {
                    return Poll::Ready(Err(RequestError::FirstByteTimeout));
                }
                seen = body.map_or(0, BodyWatch::bytes);
                self.since = Instant::now();
            }
        })
        .await
    }
}

fn classify(error: hyper::Error, body: Option<&BodyWatch>, policy: &RoutePolicy) -> RequestError {
    if body.is_some_and(BodyWatch::is_too_large) {
        RequestError::TooLarge { limit: policy.body_bytes.unwrap_or(u64::MAX) }
    } else if body.is_some_and(BodyWatch::broke) {
        RequestError::ClientBody(error)
    } else if error.is_parse() || error.is_parse_too_large() {
        RequestError::BadResponse(error)
    } else {
        RequestError::Reset(error)
    }
}

fn answer(
    response: Response<Incoming>,
    sender: Sender,
    mut flight: Box<Flight>,
    total: Deadline,
    version: Version,
    serving: Serving,
) -> Response<ProxyBody> {
    let (mut parts, incoming) = response.into_parts();
    flight.answered(parts.status.as_u16());
    if let Some(report) = load_report::take(&mut parts.headers) {
        flight.core().report(flight.pool(), flight.endpoint().key(), report);
    }
    headers::forward_response(&mut parts.headers, parts.version);
    if flight.pool().config().name_endpoint()
        && let Ok(name) = HeaderValue::from_str(flight.endpoint().name())
    {
        parts.headers.insert(headers::X_TAILCAST_ENDPOINT, name);
    }
    parts.version = Version::HTTP_11;
    let body = Forwarded::new(incoming, flight, sender, total);
    let body = match version {
        Version::HTTP_2 if !body.is_whole() => Content::Watched(Watched::new(body)),
        _ => Content::Forwarded(body),
    };
    Response::from_parts(parts, body.of(serving))
}

/// The proxy's own answer to a request that failed.
fn refuse(error: &RequestError, version: Version, serving: Serving) -> Response<ProxyBody> {
    let text = serde_json::json!({ "error": error.reason(), "message": error.to_string() }).to_string();
    let length = text.len();
    let mut response = Response::new(Content::Own(Full::new(Bytes::from(text))).of(serving));
    *response.status_mut() = error.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(secs) = error.retry_after_secs() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    if error.side() == crate::error::Side::Client && version != Version::HTTP_2 {
        // What follows on the connection cannot be told from the rest of a bad request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
