//! What a parser makes of one line: a row with borrowed names, not yet cleaned, interned or ordered.

use super::time::Instant;
use std::borrow::Cow;

/// Why a line was rejected. One fixed text a kind, because reasons are counted.
pub(super) type Reason = &'static str;

/// A time stamp is missing or not a time.
pub(super) const NO_TIME: Reason = "no time stamp that can be read";
/// The line has no request: an aborted connection, a TLS greeting on a plain port, a health probe of TCP.
pub(super) const NO_REQUEST: Reason = "no HTTP request on the line";
/// The line is of something else in the same log.
pub(super) const OTHER_LINE: Reason = "not an access-log line of this format";
/// A status that is no number of three digits.
pub(super) const BAD_STATUS: Reason = "status is not a number up to 999";
/// A time of the arrival that no calendar has.
pub(super) const BAD_ARRIVAL: Reason = "arrival is out of range";

/// What the request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A raw path or URL, which becomes a template.
    Path(Cow<'a, str>),
    /// The name of an operation, kept as it is.
    Name(Cow<'a, str>),
}

/// One parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft<'a> {
    /// The time stamp.
    pub(super) stamp: Instant,
    /// How long before the stamp the request arrived, where the recorder stamps the end; microseconds.
    pub(super) before_stamp_us: u64,
    pub(super) tenant: Option<Cow<'a, str>>,
    pub(super) target: Target<'a>,
    /// Method; without it `POST` for a request with a body, else `GET`.
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) request_bytes: Option<u64>,
    pub(super) response_bytes: Option<u64>,
    /// The group of the endpoint, where its name is unique only within it (HAProxy's backend).
    pub(super) group: Option<&'a str>,
    pub(super) endpoint: Option<Cow<'a, str>>,
    pub(super) status: Option<u16>,
    pub(super) latency_us: Option<u64>,
}

impl<'a> Draft<'a> {
    /// A draft that knows when and what, and nothing else.
    pub(super) fn new(stamp: Instant, target: Target<'a>) -> Self {
        Self {
            stamp,
            before_stamp_us: 0,
            tenant: None,
            target,
            method: None,
            request_bytes: None,
            response_bytes: None,
            group: None,
            endpoint: None,
            status: None,
            latency_us: None,
        }
    }
}

/// A parser of the lines of one format.
pub(super) trait LineParser {
    /// The draft of a line, which is never empty and has no line end.
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason>;
}
