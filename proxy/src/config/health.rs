//! Validated settings of active checks and of probes.

use http::HeaderValue;
use http::uri::PathAndQuery;
use std::time::Duration;

/// What is done to see whether an endpoint is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection.
    Tcp,
    /// A GET.
    Http {
        /// Of this page.
        path: PathAndQuery,
        /// For this host; the endpoint's address by default.
        host: Option<HeaderValue>,
        /// The only good status; `None` for any of 200 to 399.
        status: Option<u16>,
    },
}

/// How endpoints are asked for their load.
#[derive(Debug, Clone, PartialEq)]
pub struct Probes {
    /// A GET of this page answers with an `endpoint-load-metrics` header.
    pub path: PathAndQuery,
    /// Probes sent for each request.
    pub per_request: f64,
    /// How long one may take.
    pub timeout: Duration,
}

/// How endpoints are checked while nobody asks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is done.
    pub kind: CheckKind,
    /// How often.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// Failures in a row after which the endpoint gets no requests.
    pub unhealthy_after: u32,
    /// Successes in a row after which it gets them again.
    pub healthy_after: u32,
}
