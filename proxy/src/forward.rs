//! One request through the proxy: inspect, find its route, name its tenant, decide, send, answer.
//!
//! A further try happens in one place: on another endpoint, within the budget, under the route's conditions, and only
//! where it is safe: nothing was sent, or the method is safe and there is no body. A kept connection that the
//! endpoint closed meanwhile is no failure of the endpoint: the request goes to the same endpoint again on a new
//! connection (RFC 9112 §9.3.1).

use crate::body::{Forwarded, ProxyBody, Watched};
use crate::config::{RetryOn, RoutePolicy};
use crate::core::Core;
use crate::deadline::Deadline;
use crate::error::RequestError;
use crate::flight::{Arrival, Flight};
use crate::headers::{self, ClientHop};
use crate::load_report;
use crate::routing;
use crate::tunnel::{self, Upgrade};
use crate::upstream::{BodyWatch, RequestBody, Sender, name_authority};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use std::rc::Rc;
use tailcast_balance::NoEndpoint;
use tailcast_features::{OutcomeKind, RequestFacts};
use tokio::time::Instant;

/// Serves one request. Never fails: errors become responses that name their reason.
pub(crate) async fn serve(core: Rc<Core>, hop: Rc<ClientHop>, request: Request<Incoming>) -> Response<ProxyBody> {
    let version = request.version();
    let Admitted { mut flight, mut request, policy, upgrade } = match admit(&core, &hop, request) {
        Ok(admitted) => admitted,
        Err(error) => {
            core.metrics().failed(error.reason());
            return refuse(&error, version);
        }
    };
    let total = Deadline::after(policy.timeouts.total);
    let retries = policy.retries;
    loop {
        match attempt(&flight, request, &policy, &total, upgrade.is_some()).await {
            Ok(Answered { response, again: Some(again), .. })
                if retries.on.has(RetryOn::of_status(response.status().as_u16()))
                    && flight.retry(OutcomeKind::ServerError, response.status().as_u16(), retries.attempts) =>
            {
                request = again;
            }
            Ok(Answered { response, sender, .. }) => {
                return match upgrade {
                    Some(upgrade) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        tunnel::open(response, flight, upgrade.client, policy.timeouts.tunnel_idle)
                    }
                    _ => answer(response, sender, flight, total, version),
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
                return refuse(&error, version);
            }
        }
    }
}

/// A request that has been let in.
struct Admitted {
    flight: Flight,
    request: Request<RequestBody>,
    policy: RoutePolicy,
    upgrade: Option<Upgrade>,
}

/// Checks a request, finds route, pool and tenant, decides, and makes it the request to the endpoint.
fn admit(core: &Rc<Core>, hop: &ClientHop, mut request: Request<Incoming>) -> Result<Admitted, RequestError> {
    let at = core.now();
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
    let request_id = core.next_request_id();
    let (body, watch) = RequestBody::new(incoming, policy.body_bytes);
    // A body before the upgrade is nobody's custom; such a request is served without it, as RFC 9110 §7.8 allows.
    let wants_upgrade = found.wants_upgrade && watch.is_none();
    let protocol = parts.headers.get(UPGRADE).filter(|_| wants_upgrade).cloned();
    headers::forward_request(&mut parts, hop, request_id);
    let upgrade = protocol.zip(on_upgrade).map(|(protocol, client)| Upgrade { protocol, client });
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade.protocol.clone());
    }
    parts.uri = origin_form(&parts.uri)?;
    parts.version = Version::HTTP_11;
    pool.deposit_retry();
    let method = parts.method.clone();
    let arrival = Arrival { pool: Rc::clone(pool), tenant, route, method, facts, request_id, at, body: watch };
    let flight = Flight::start(Rc::clone(core), arrival).map_err(|none| match none {
        // Nothing was tried yet, so nothing was excluded for that.
        NoEndpoint::AllExcluded => RequestError::NoneOpen,
        NoEndpoint::EmptyPool => none.into(),
    })?;
    Ok(Admitted { flight, request: Request::from_parts(parts, body), policy, upgrade })
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
    again: Option<Request<RequestBody>>,
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
    let mut kept = upstream.take(core.now());
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
                match Box::pin(upstream.connect(policy.timeouts.connect)).await {
                    Ok(sender) => sender,
                    Err(error) => return Err(Failed { error, resend: Some(request) }),
                }
            }
        };
        // Sending consumes the request, so what may have to be sent again is copied first.
        let copy = is_safe.then(|| replica(&request));
        let (limit, until, body) = (policy.timeouts.first_byte, total.at(), flight.body());
        // Two calls, because one future for both versions would be as large as both.
        let waited = match &mut sender {
            Sender::Http1(sender) => first_byte(sender.try_send_request(request), limit, until, body).await,
            Sender::Http2(sender, is_secure) => {
                name_authority(&mut request, *is_secure);
                Box::pin(first_byte(sender.try_send_request(request), limit, until, body)).await
            }
        };
        let mut error = match waited {
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch => {
                return Err(Failed { error: RequestError::Switched, resend: None });
            }
            Ok(Ok(response)) => return Ok(Answered { response, sender, again: copy }),
            Ok(Err(error)) => error,
            Err(error) => return Err(Failed { error, resend: copy }),
        };
        let again = error.take_message().or(copy);
        let error = classify(error.into_error(), flight.body(), policy);
        match again {
            Some(again) if is_kept && matches!(error, RequestError::Reset(_)) => request = again,
            resend => return Err(Failed { error, resend }),
        }
    }
}

/// Waits for the head of the answer. The time starts anew while the client's body makes progress: a slow upload
/// is not a slow endpoint.
async fn first_byte<T>(
    answer: impl Future<Output = T>,
    limit: std::time::Duration,
    total: Instant,
    body: Option<&BodyWatch>,
) -> Result<T, RequestError> {
    let mut answer = std::pin::pin!(answer);
    let mut seen = 0;
    loop {
        let until = total.min(Instant::now() + limit);
        if let Ok(done) = tokio::time::timeout_at(until, answer.as_mut()).await {
            return Ok(done);
        }
        let moved = body.is_some_and(|body| !body.has_ended() && body.bytes() > seen);
        if until == total {
            return Err(RequestError::TotalTimeout);
        } else if !moved {
            return Err(RequestError::FirstByteTimeout);
        }
        seen = body.map_or(0, BodyWatch::bytes);
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

/// The same request without a body; only called where it has none.
fn replica(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

fn answer(
    response: Response<Incoming>,
    sender: Sender,
    mut flight: Flight,
    total: Deadline,
    version: Version,
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
        Version::HTTP_2 if !body.is_whole() => ProxyBody::Watched(Watched::new(body)),
        _ => ProxyBody::Forwarded(Box::new(body)),
    };
    Response::from_parts(parts, body)
}

/// The proxy's own answer to a request that failed.
fn refuse(error: &RequestError, version: Version) -> Response<ProxyBody> {
    let text = serde_json::json!({ "error": error.reason(), "message": error.to_string() }).to_string();
    let length = text.len();
    let mut response = Response::new(ProxyBody::Own(Full::new(Bytes::from(text))));
    *response.status_mut() = error.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if error.side() == crate::error::Side::Client && version != Version::HTTP_2 {
        // What follows on the connection cannot be told from the rest of a bad request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
