//! How a request ended, and what of that is evidence of latency.
//!
//! A fast error is never a fast success: an endpoint that refuses everything in a millisecond would otherwise
//! become the best-looking endpoint of the pool (a "sinkhole"). So only answers that did work teach latency;
//! time-outs and client aborts are *lower bounds* (right-censored); errors teach the error rate alone.

use std::time::Duration;

/// The way a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// An answer below 500 (a client's own mistake is no fault of the endpoint).
    Success,
    /// An answer of 500 or above.
    ServerError,
    /// The connection could not be made, was reset, or broke before the answer was whole.
    ConnectionError,
    /// The endpoint did not answer in time.
    Timeout,
    /// The client went away first.
    ClientAbort,
}

/// Names as they stand in the log, in the order of the enum.
const NAMES: [(OutcomeKind, &str); 5] = [
    (OutcomeKind::Success, "success"),
    (OutcomeKind::ServerError, "server_error"),
    (OutcomeKind::ConnectionError, "connection_error"),
    (OutcomeKind::Timeout, "timeout"),
    (OutcomeKind::ClientAbort, "client_abort"),
];

impl OutcomeKind {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// The kind of an answer with this HTTP status.
    pub fn of_status(status: u16) -> Self {
        if status >= 500 { Self::ServerError } else { Self::Success }
    }

    /// True where the endpoint failed the request.
    pub fn is_endpoint_failure(self) -> bool {
        matches!(self, Self::ServerError | Self::ConnectionError | Self::Timeout)
    }

    /// True where the measured latency is what the work took.
    pub fn is_latency_evidence(self) -> bool {
        self == Self::Success
    }

    /// True where the work would have taken at least the measured latency.
    pub fn is_censored(self) -> bool {
        matches!(self, Self::Timeout | Self::ClientAbort)
    }
}

/// What came of a request on one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// HTTP status sent to the client; 0 where none was.
    pub status: u16,
    /// From dispatch to the last byte of the answer (or to the failure).
    pub latency: Duration,
}

impl Outcome {
    /// Natural logarithm of the latency in milliseconds, at least that of one microsecond.
    pub fn ln_ms(&self) -> f32 {
        ln_ms(self.latency)
    }
}

/// Natural logarithm of a latency in milliseconds; latencies under a microsecond count as one, since the
/// logarithm of zero is not a label.
pub fn ln_ms(latency: Duration) -> f32 {
    ((latency.as_secs_f64() * 1e3).max(1e-3)).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_in_the_order_of_the_enum() {
        for (kind, name) in NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(OutcomeKind::from_name(name), Some(kind));
        }
        assert_eq!(OutcomeKind::from_name("ok"), None);
    }

    #[test]
    fn a_fast_error_teaches_no_latency() {
        assert!(!OutcomeKind::of_status(503).is_latency_evidence());
        assert!(OutcomeKind::of_status(404).is_latency_evidence());
        assert!(OutcomeKind::Timeout.is_censored());
    }

    #[test]
    fn the_label_of_zero_latency_is_finite() {
        assert!(ln_ms(Duration::ZERO).is_finite());
        assert!((ln_ms(Duration::from_millis(1))).abs() < 1e-6);
    }
}
