//! Which of the fields that a proxy looks for are there: found in one pass over the names.

use http::header::{self, HeaderMap, HeaderName};

/// Fields of one hop, beside those that `Connection` names. `Trailer` is not among them: it tells what follows the
/// body, and trailers are handed on. The first bits of [`Present`] are theirs, in this order.
pub(super) static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Which of the fields looked for a message has. Most have next to none: one look at each field that is there costs less
/// than a search for each that might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present(u16);

impl Present {
    pub(super) const CONNECTION: u16 = 1;
    pub(super) const TRANSFER_ENCODING: u16 = 1 << 5;
    pub(super) const UPGRADE: u16 = 1 << 6;
    pub(super) const TE: u16 = 1 << 7;
    pub(super) const EXPECT: u16 = 1 << 8;
    pub(super) const COOKIE: u16 = 1 << 9;
    pub(super) const FORWARDED: u16 = 1 << 10;
    pub(super) const X_FORWARDED_FOR: u16 = 1 << 11;
    pub(super) const X_FORWARDED_HOST: u16 = 1 << 12;
    pub(super) const X_REAL_IP: u16 = 1 << 13;
    pub(super) const X_REQUEST_ID: u16 = 1 << 14;

    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |bits, name| bits | Self::bit(name.as_str())))
    }

    /// The bit of a name; none where it is not looked for. Compiled to a jump by length.
    pub(super) fn bit(name: &str) -> u16 {
        match name {
            "connection" => Self::CONNECTION,
            "keep-alive" => 1 << 1,
            "proxy-connection" => 1 << 2,
            "proxy-authenticate" => 1 << 3,
            "proxy-authorization" => 1 << 4,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "upgrade" => Self::UPGRADE,
            "te" => Self::TE,
            "expect" => Self::EXPECT,
            "cookie" => Self::COOKIE,
            "forwarded" => Self::FORWARDED,
            "x-forwarded-for" => Self::X_FORWARDED_FOR,
            "x-forwarded-host" => Self::X_FORWARDED_HOST,
            "x-real-ip" => Self::X_REAL_IP,
            "x-request-id" => Self::X_REQUEST_ID,
            _ => 0,
        }
    }

    pub(super) fn has(self, field: u16) -> bool {
        self.0 & field != 0
    }

    /// Those of one hop.
    pub(super) fn hop_by_hop(self) -> impl Iterator<Item = &'static HeaderName> {
        HOP_BY_HOP.iter().enumerate().filter(move |(place, _)| self.has(1 << place)).map(|(_, name)| name)
    }
}
