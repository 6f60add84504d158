//! What a proxy must change in headers: hop-by-hop fields go, forwarding fields are added.
//!
//! Who a client says it is for is believed of trusted peers only: their fields are kept and appended to, everyone
//! else's are replaced. Sources: RFC 9110 §7.6 (Connection, Via), RFC 9112 §3.2 (Host), RFC 7239 (Forwarded). Values
//! that are the same for a whole connection are made once; a request without earlier fields costs no formatting.

use crate::config::Forwarding;
use crate::error::RequestError;
use crate::tenant::hex;
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};
use std::net::IpAddr;

/// Client addresses on the way.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = header::FORWARDED;
/// nginx's name for the client's address; only a trusted peer may claim it.
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Identifies a request across hops.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The endpoint that answered, if asked for.
pub(crate) const X_TAILCAST_ENDPOINT: HeaderName = HeaderName::from_static("x-tailcast-endpoint");

/// Fields of one hop, beside those that `Connection` names. `Trailer` is not among them: it tells what follows the
/// body, and trailers are handed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Longest request id that is taken over from the client.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What is the same for all requests of one client connection.
#[derive(Debug, Clone)]
pub(crate) struct ClientHop {
    address: HeaderValue,
    proto: HeaderValue,
    /// `for=…;proto=…` where this field is to be written.
    forwarded: Option<HeaderValue>,
    /// The same for peers that send one.
    element: HeaderValue,
    is_trusted: bool,
}

impl ClientHop {
    /// `peer` is who connected, `client` for whom: they differ where a PROXY header said so.
    pub(crate) fn new(peer: IpAddr, client: IpAddr, is_secure: bool, forwarding: &Forwarding) -> Self {
        let unknown = |_| HeaderValue::from_static("unknown");
        let proto = if is_secure { "https" } else { "http" };
        let element = match client {
            IpAddr::V4(v4) => format!("for={v4};proto={proto}"),
            // Colons need quotes (RFC 7239 §6).
            IpAddr::V6(v6) => format!("for=\"[{v6}]\";proto={proto}"),
        };
        let element = HeaderValue::try_from(element).unwrap_or_else(unknown);
        Self {
            address: HeaderValue::try_from(client.to_string()).unwrap_or_else(unknown),
            proto: HeaderValue::from_static(proto),
            forwarded: forwarding.forwarded().then(|| element.clone()),
            element,
            is_trusted: forwarding.trusts(peer),
        }
    }
}

/// What was found in a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inspected<'a> {
    /// The effective host.
    pub(crate) host: &'a str,
    /// True where the client asks for another protocol, and may have it.
    pub(crate) wants_upgrade: bool,
}

/// Refuses what must not be forwarded, before anything is remembered of the request.
pub(crate) fn inspect(parts: &Parts) -> Result<Inspected<'_>, RequestError> {
    if parts.method == Method::CONNECT {
        return Err(RequestError::Connect);
    }
    let headers = &parts.headers;
    // A server may ignore an upgrade; ignoring h2c only costs the client its HTTP/2.
    let wants_upgrade = parts.version == Version::HTTP_11
        && headers.get(header::UPGRADE).is_some_and(|upgrade| !upgrade.as_bytes().eq_ignore_ascii_case(b"h2c"))
        && names_in(headers, &header::CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(RequestError::BadRequest("both transfer-encoding and content-length"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RequestError::BadRequest("more than one host header"));
    }
    if host.is_none() && parts.version == Version::HTTP_11 {
        return Err(RequestError::BadRequest("no host header"));
    }
    let host = host.map(|host| host.to_str().map_err(|_| RequestError::BadRequest("host header is not text")));
    let host = match (parts.uri.authority(), host.transpose()?) {
        // HTTP/2 has no second place for it, so a second value is an attempt to be read in two ways.
        (Some(authority), Some(host))
            if parts.version == Version::HTTP_2 && !host.eq_ignore_ascii_case(authority.as_str()) =>
        {
            return Err(RequestError::BadRequest("host header and :authority differ"));
        }
        (Some(authority), _) => authority.as_str(),
        (None, host) => host.unwrap_or(""),
    };
    // Who may be anyone must not be anything: user information has misled many a parser of hosts.
    if host.bytes().any(|byte| matches!(byte, b'@' | b'/' | b'\\' | b'?' | b'#' | b' ' | b'\t' | b',')) {
        return Err(RequestError::BadRequest("host is not host or host:port"));
    }
    Ok(Inspected { host, wants_upgrade })
}

/// The comma-separated names in a field.
fn names_in<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Makes a client's headers those of the request to the endpoint.
pub(crate) fn forward_request(parts: &mut Parts, hop: &ClientHop, request_id: u64) {
    let accepts_trailers =
        parts.headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let host = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    headers.remove(header::TE);
    if accepts_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The server side has answered `100-continue` itself once the body is wanted.
    headers.remove(header::EXPECT);
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if hop.is_trusted {
        append(headers, X_FORWARDED_FOR, &hop.address);
        if let Entry::Vacant(entry) = headers.entry(X_FORWARDED_PROTO) {
            entry.insert(hop.proto.clone());
        }
        if hop.forwarded.is_some() || headers.contains_key(FORWARDED) {
            append(headers, FORWARDED, &hop.element);
        }
    } else {
        headers.insert(X_FORWARDED_FOR, hop.address.clone());
        headers.insert(X_FORWARDED_PROTO, hop.proto.clone());
        headers.remove(X_FORWARDED_HOST);
        headers.remove(X_REAL_IP);
        match &hop.forwarded {
            Some(forwarded) => drop(headers.insert(FORWARDED, forwarded.clone())),
            None => drop(headers.remove(FORWARDED)),
        }
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let keeps_id = headers.get(X_REQUEST_ID).is_some_and(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
    if !keeps_id && let Ok(id) = HeaderValue::from_bytes(&hex(request_id)) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.append(header::VIA, via(parts.version));
}

/// Makes an endpoint's headers those of the response to the client.
pub(crate) fn forward_response(headers: &mut HeaderMap, version: Version) {
    strip_hop_by_hop(headers);
    headers.append(header::VIA, via(version));
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 tailcast",
        Version::HTTP_2 => "2.0 tailcast",
        _ => "1.1 tailcast",
    })
}

/// HTTP/2 may send cookies in pieces; HTTP/1.1 allows one field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (pieces.next(), pieces.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for piece in std::iter::once(second).chain(pieces) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(piece.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, own: &HeaderValue) {
    let mut before = headers.get_all(&name).iter().peekable();
    if before.peek().is_none() {
        headers.insert(name, own.clone());
        return;
    }
    // One field, not several: many servers read only the first.
    let mut joined = Vec::with_capacity(64);
    for value in before.chain(std::iter::once(own)) {
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(name, joined);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = names_in(headers, &header::CONNECTION)
            .filter_map(|name| HeaderName::try_from(name).ok())
            // A client must not be able to have the fields removed that frame and route its request.
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use http::Request;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder().uri("/x").header("host", "a")).body(()).unwrap().into_parts().0
    }

    /// Headers to the endpoint for a client at 10.0.0.1.
    fn forwarded_by(mut parts: Parts, trusted: &str, writes_forwarded: bool) -> HeaderMap {
        let trusted = crate::trust::Network::parse(trusted).into_iter().collect();
        let forwarding = Forwarding { trusted, forwarded: writes_forwarded };
        let peer = IpAddr::from([10, 0, 0, 1]);
        forward_request(&mut parts, &ClientHop::new(peer, peer, false, &forwarding), 0xab);
        parts.headers
    }

    fn forwarded(parts: Parts) -> HeaderMap {
        forwarded_by(parts, "", false)
    }

    #[test]
    fn fields_of_one_hop_and_those_that_connection_names_are_removed() {
        let headers = forwarded(parts(|b| {
            b.header("connection", "close, X-Private, host")
                .header("x-private", "1")
                .header("keep-alive", "5")
                .header("te", "gzip")
        }));
        for name in ["connection", "x-private", "keep-alive", "te"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["host"], "a");
    }

    #[test]
    fn forwarding_fields_are_added_and_earlier_hops_are_kept() {
        let headers = forwarded(parts(|b| b));
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
        assert_eq!(headers["x-forwarded-host"], "a");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["via"], "1.1 tailcast");
        assert_eq!(headers["x-request-id"], "00000000000000ab");
    }

    /// A request with all the fields that a proxy in front might have written.
    fn claims() -> Parts {
        parts(|b| {
            b.header("x-forwarded-for", "1.1.1.1")
                .header("x-forwarded-for", "2.2.2.2")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "public.example")
                .header("x-real-ip", "1.1.1.1")
                .header("forwarded", "for=1.1.1.1")
                .header("x-request-id", "mine")
        })
    }

    #[test]
    fn a_trusted_peers_fields_are_kept_and_appended_to() {
        let headers = forwarded_by(claims(), "10.0.0.0/8", false);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.1");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-real-ip"], "1.1.1.1");
        assert_eq!(headers["x-forwarded-host"], "public.example");
        assert_eq!(headers["forwarded"], "for=1.1.1.1, for=10.0.0.1;proto=http");
        assert_eq!(headers["x-request-id"], "mine");
    }

    #[test]
    fn anyone_elses_fields_are_replaced() {
        let headers = forwarded_by(claims(), "192.168.0.0/16", false);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a");
        assert!(!headers.contains_key("forwarded") && !headers.contains_key("x-real-ip"));
        assert_eq!(headers["x-request-id"], "mine", "an id claims nothing");
        assert_eq!(forwarded_by(claims(), "", true)["forwarded"], "for=10.0.0.1;proto=http");
        let hop = ClientHop::new("::1".parse().unwrap(), "::1".parse().unwrap(), true, &Forwarding::default());
        assert_eq!(hop.element, "for=\"[::1]\";proto=https");
    }

    #[test]
    fn pieces_of_a_cookie_become_one_field() {
        let mut parts = parts(|b| b.header("cookie", "a=1").header("cookie", "b=2"));
        parts.version = Version::HTTP_2;
        assert_eq!(forwarded(parts)["cookie"], "a=1; b=2");
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let status =
            |parts: &Parts| inspect(parts).map(|found| found.wants_upgrade).map_err(|error| error.status().as_u16());
        assert_eq!(status(&parts(|b| b.header("host", "b"))), Err(400));
        assert_eq!(
            status(&parts(|b| b.header("content-length", "3").header("transfer-encoding", "chunked"))),
            Err(400)
        );
        assert_eq!(status(&parts(|b| b.header("upgrade", "websocket"))), Ok(false), "not named by connection");
        let upgrade = |b: http::request::Builder, to| b.header("connection", "x, Upgrade").header("upgrade", to);
        assert_eq!(status(&parts(|b| upgrade(b, "websocket"))), Ok(true));
        assert_eq!(status(&parts(|b| upgrade(b, "h2c"))), Ok(false));
        for host in ["user@a", "a/b", "a b", "a,b", "a?b"] {
            let wrong = Request::builder().uri("/").header("host", host).body(()).unwrap().into_parts().0;
            assert_eq!(status(&wrong), Err(400), "{host}");
        }
        let mut differs = parts(|b| b.uri("http://b/x"));
        assert_eq!(status(&differs), Ok(false), "HTTP/1.1: the target wins");
        differs.version = Version::HTTP_2;
        assert_eq!(status(&differs), Err(400));
        assert_eq!(status(&parts(|b| b.method("CONNECT"))), Err(405));
        let none = Request::builder().uri("/").body(()).unwrap().into_parts().0;
        assert_eq!(status(&none), Err(400));
    }

    #[test]
    fn the_authority_of_an_absolute_request_replaces_the_host() {
        let mut absolute = parts(|b| b.uri("http://other.example/x"));
        assert_eq!(inspect(&absolute).unwrap().host, "other.example");
        absolute =
            Request::builder().uri("http://other.example/x").header("host", "a").body(()).unwrap().into_parts().0;
        assert_eq!(forwarded(absolute)["host"], "other.example");
    }
}
