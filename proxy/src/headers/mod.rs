//! What a proxy must change in headers: hop-by-hop fields go, forwarding fields are added.
//!
//! Who a client says it is for is believed of trusted peers only: their fields are kept and appended to, everyone
//! else's are replaced. Sources: RFC 9110 §7.6 (Connection, Via), RFC 9112 §3.2 (Host), RFC 7239 (Forwarded). Values
//! that are the same for a whole connection are made once; a request without earlier fields costs no formatting.

mod present;

pub(crate) use present::Present;

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
    pub(crate) present: Present,
}

/// Refuses what must not be forwarded, before anything is remembered of the request.
pub(crate) fn inspect(parts: &Parts) -> Result<Inspected<'_>, RequestError> {
    if parts.method == Method::CONNECT {
        return Err(RequestError::Connect);
    }
    let headers = &parts.headers;
    let present = Present::of(headers);
    // A server may ignore an upgrade; ignoring h2c only costs the client its HTTP/2.
    let wants_upgrade = present.has(Present::UPGRADE)
        && parts.version == Version::HTTP_11
        && headers.get(header::UPGRADE).is_some_and(|upgrade| !upgrade.as_bytes().eq_ignore_ascii_case(b"h2c"))
        && names_in(headers, &header::CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    if present.has(Present::TRANSFER_ENCODING) {
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(RequestError::BadRequest("both transfer-encoding and content-length"));
        }
        // Whoever is behind may count codings in another way, and then frames the body in another way.
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !codings.next().is_some_and(is_chunked) || codings.next().is_some() {
            return Err(RequestError::BadRequest("transfer-encoding is not chunked alone"));
        }
    }
    if parts.uri.path() == "*" && parts.method != Method::OPTIONS {
        return Err(RequestError::BadRequest("* is a target of OPTIONS only"));
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
    // A colon within brackets belongs to an IPv6 address.
    if let Some((_, port)) = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))
        && !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(RequestError::BadRequest("the host's port is not a number"));
    }
    Ok(Inspected { host, wants_upgrade, present })
}

/// The comma-separated names in a field.
fn names_in<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// As many fields are added at most: room for all is made at once.
const ADDED: usize = 6;

/// Makes a client's headers those of the request to the endpoint. `present` is what [`inspect`] found.
pub(crate) fn forward_request(parts: &mut Parts, present: Present, hop: &ClientHop, request_id: u64) {
    let host = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = &mut parts.headers;
    headers.reserve(ADDED);
    strip_hop_by_hop(headers, present);
    if present.has(Present::TE) {
        let accepts_trailers =
            headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        headers.remove(header::TE);
        if accepts_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    if present.has(Present::EXPECT) {
        // The server side has answered `100-continue` itself once the body is wanted.
        headers.remove(header::EXPECT);
    }
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    if present.has(Present::COOKIE) && parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let mut has_forwarded_host = present.has(Present::X_FORWARDED_HOST);
    if hop.is_trusted {
        if present.has(Present::X_FORWARDED_FOR) {
            append(headers, X_FORWARDED_FOR, &hop.address);
        } else {
            headers.insert(X_FORWARDED_FOR, hop.address.clone());
        }
        if let Entry::Vacant(entry) = headers.entry(X_FORWARDED_PROTO) {
            entry.insert(hop.proto.clone());
        }
        if hop.forwarded.is_some() || present.has(Present::FORWARDED) {
            append(headers, FORWARDED, &hop.element);
        }
    } else {
        headers.insert(X_FORWARDED_FOR, hop.address.clone());
        headers.insert(X_FORWARDED_PROTO, hop.proto.clone());
        if has_forwarded_host {
            headers.remove(X_FORWARDED_HOST);
            has_forwarded_host = false;
        }
        if present.has(Present::X_REAL_IP) {
            headers.remove(X_REAL_IP);
        }
        match &hop.forwarded {
            Some(forwarded) => drop(headers.insert(FORWARDED, forwarded.clone())),
            None if present.has(Present::FORWARDED) => drop(headers.remove(FORWARDED)),
            None => {}
        }
    }
    if !has_forwarded_host && let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let keeps_id = present.has(Present::X_REQUEST_ID)
        && headers.get(X_REQUEST_ID).is_some_and(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
    if !keeps_id && let Ok(id) = HeaderValue::from_bytes(&hex(request_id)) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.append(header::VIA, via(parts.version));
}

/// Makes an endpoint's headers those of the response to the client.
pub(crate) fn forward_response(headers: &mut HeaderMap, version: Version) {
    strip_hop_by_hop(headers, Present::of(headers));
    headers.append(header::VIA, via(version));
}

fn via(version: Version) -> HeaderValue {
    const HTTP_10: HeaderValue = HeaderValue::from_static("1.0 tailcast");
    const HTTP_11: HeaderValue = HeaderValue::from_static("1.1 tailcast");
    const HTTP_2: HeaderValue = HeaderValue::from_static("2.0 tailcast");
    match version {
        Version::HTTP_10 => HTTP_10,
        Version::HTTP_2 => HTTP_2,
        _ => HTTP_11,
    }
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

fn strip_hop_by_hop(headers: &mut HeaderMap, present: Present) {
    if present.has(Present::CONNECTION) {
        let named: Vec<HeaderName> = names_in(headers, &header::CONNECTION)
            // What is most often there is nobody's name, or goes anyway.
            .filter(|name| !matches!(*name, "close" | "keep-alive" | "upgrade"))
            .filter_map(|name| HeaderName::try_from(name).ok())
            // A client must not be able to have the fields removed that frame and route its request.
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in present.hop_by_hop() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
