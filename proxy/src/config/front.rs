//! Validated settings of the clients' side: limits and trust.

use crate::trust::Network;
use std::net::IpAddr;
use std::time::Duration;

/// What a client may ask of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// Time for a head; also the longest that a kept connection may be idle.
    pub header_time: Duration,
    /// Longest that a client may let an answer wait without taking any of it.
    pub send_time: Duration,
    /// Largest head, bytes.
    pub header_bytes: usize,
    /// Most header fields.
    pub headers: usize,
    /// Largest body of a request, bytes; `None` for any.
    pub body_bytes: Option<u64>,
    /// Most connections that one address may have; `None` for any.
    pub connections_per_address: Option<u32>,
    /// True where a client that has closed its sending side is still served. Then a client that went away is
    /// noticed only when the answer cannot be written.
    pub half_close: bool,
}

/// Whose forwarding fields are believed, and which are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarding {
    pub(crate) trusted: Vec<Network>,
    pub(crate) forwarded: bool,
}

impl Forwarding {
    /// True where the peer is a proxy whose fields are kept.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// True where the `Forwarded` field of RFC 7239 is written beside the `X-Forwarded-*` ones.
    pub fn forwarded(&self) -> bool {
        self.forwarded
    }
}
