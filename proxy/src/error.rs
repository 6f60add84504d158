//! Why a request failed: whose side it was, whether another try is safe, and the status that says so.
//!
//! One closed enum decides all three in one place. Rejected: boxed errors that are asked "is this a time-out?" at
//! the place of use; every such place answers a little differently.

use crate::config::{ConfigError, RetryOn};
use http::StatusCode;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tailcast_balance::NoEndpoint;
use tailcast_balance::admission::Shed;
use tailcast_features::OutcomeKind;

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client sent something wrong or went away.
    Client,
    /// The endpoint failed.
    Endpoint,
    /// The proxy cannot serve it: no endpoint, or a feature that it does not have.
    Us,
}

/// Why one request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The request breaks a rule of HTTP.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// CONNECT is for forward proxies.
    #[error("method CONNECT is refused: this is a reverse proxy")]
    Connect,
    /// An upgrade that the endpoint's protocol cannot carry.
    #[error("upgrades are not possible over HTTP/2 to the endpoint")]
    Upgrade,
    /// The body is larger than allowed.
    #[error("the request's body is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// Largest body of this route, bytes.
        limit: u64,
    },
    /// As many connections to the endpoint are open as are allowed.
    #[error("the endpoint has as many connections as are allowed")]
    EndpointFull,
    /// Nobody in the pool may take it.
    #[error("no endpoint takes requests: all are taken out of service or have as many requests as are allowed")]
    NoneOpen,
    /// Admission turned it away.
    #[error("refused so that others can be served: {}", .0.reason.name())]
    Shed(Shed),
    /// Its tenant may not use the pool.
    #[error("this tenant may not use what it asks for")]
    PoolForbidden,
    /// The pool cannot take it.
    #[error("no endpoint: {0}")]
    NoEndpoint(#[from] NoEndpoint),
    /// No connection could be made.
    #[error("cannot connect to the endpoint: {0}")]
    Connection(#[source] io::Error),
    /// No connection within the time allowed.
    #[error("the endpoint did not accept a connection in time")]
    ConnectTimeout,
    /// The connection broke before the head of the answer.
    #[error("the endpoint closed the connection before it answered: {0}")]
    Reset(#[source] hyper::Error),
    /// The answer was no HTTP.
    #[error("the endpoint's answer is not valid: {0}")]
    BadResponse(#[source] hyper::Error),
    /// The endpoint answered 101 to a request without an upgrade.
    #[error("the endpoint switched protocols without being asked")]
    Switched,
    /// The body of the answer broke.
    #[error("the endpoint's answer broke: {0}")]
    BrokenBody(#[source] hyper::Error),
    /// No head of an answer within the time allowed.
    #[error("the endpoint did not answer in time")]
    FirstByteTimeout,
    /// The whole took too long.
    #[error("the request took longer than allowed")]
    TotalTimeout,
    /// The client's body broke.
    #[error("the request's body broke: {0}")]
    ClientBody(#[source] hyper::Error),
}

impl RequestError {
    /// Whose fault it was.
    pub fn side(&self) -> Side {
        match self {
            Self::BadRequest(_) | Self::ClientBody(_) | Self::TooLarge { .. } => Side::Client,
            Self::Connect
            | Self::Upgrade
            | Self::NoEndpoint(_)
            | Self::NoneOpen
            | Self::EndpointFull
            | Self::Shed(_)
            | Self::PoolForbidden => Side::Us,
            Self::Connection(_)
            | Self::ConnectTimeout
            | Self::Reset(_)
            | Self::BadResponse(_)
            | Self::Switched
            | Self::BrokenBody(_)
            | Self::FirstByteTimeout
            | Self::TotalTimeout => Side::Endpoint,
        }
    }

    /// The condition under which the request may be sent again; none where it never may.
    pub fn retry_on(&self) -> RetryOn {
        match self {
            Self::Connection(_) | Self::ConnectTimeout | Self::EndpointFull => RetryOn::CONNECT,
            Self::Reset(_) => RetryOn::RESET,
            Self::FirstByteTimeout => RetryOn::TIMEOUT,
            _ => RetryOn::NONE,
        }
    }

    /// The status that the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::ClientBody(_) => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoEndpoint(_) | Self::NoneOpen | Self::EndpointFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::Shed(shed) if shed.reason.is_own_limit() => StatusCode::TOO_MANY_REQUESTS,
            Self::Shed(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::PoolForbidden => StatusCode::FORBIDDEN,
            Self::Connection(_) | Self::Reset(_) | Self::BadResponse(_) | Self::Switched | Self::BrokenBody(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A short, stable name for metrics and error bodies.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Connect => "connect_refused",
            Self::Upgrade => "upgrade_refused",
            Self::NoEndpoint(_) | Self::NoneOpen => "no_endpoint",
            Self::Connection(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset(_) => "reset",
            Self::BadResponse(_) | Self::Switched => "bad_response",
            Self::BrokenBody(_) => "broken_body",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::ClientBody(_) => "client_body",
            Self::TooLarge { .. } => "too_large",
            Self::EndpointFull => "endpoint_full",
            Self::Shed(shed) => shed.reason.name(),
            Self::PoolForbidden => "pool_forbidden",
        }
    }

    /// When the client may come again, as seconds of `Retry-After`; rounded up, since earlier would be in vain.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Shed(shed) => Some(shed.retry_after.as_secs_f64().ceil().max(1.0) as u64),
            _ => None,
        }
    }

    /// What the balancer learns of the endpoint. A connection that was not made in time says nothing about how
    /// long the work takes, so it is a connection error and no censored latency.
    pub fn outcome(&self) -> OutcomeKind {
        match self {
            Self::FirstByteTimeout | Self::TotalTimeout => OutcomeKind::Timeout,
            // Full is our own bound: it says nothing about the endpoint, and neither does a client's mistake.
            Self::ClientBody(_)
            | Self::TooLarge { .. }
            | Self::EndpointFull
            | Self::Upgrade
            | Self::Shed(_)
            | Self::PoolForbidden => OutcomeKind::ClientAbort,
            _ => OutcomeKind::ConnectionError,
        }
    }
}

/// Why the proxy does not start, or refuses a command.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// An endpoint's name has no address.
    #[error("cannot resolve endpoint {address:?} of pool {pool:?}: {reason}")]
    Resolve {
        /// Pool.
        pool: String,
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// A thread or its runtime cannot be started.
    #[error("cannot start {what}: {source}")]
    Start {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No pool of that name.
    #[error("no pool {name:?}, expected one of {known}")]
    UnknownPool {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// Certificates or keys cannot be used.
    #[error("TLS of {of} cannot be used: {reason}")]
    Tls {
        /// Listener or pool.
        of: String,
        /// Why, with the file.
        reason: String,
    },
    /// A change that a running proxy cannot make.
    #[error("{keys} cannot change without a restart; the configuration before stays in use")]
    NeedsRestart {
        /// The keys.
        keys: String,
    },
    /// No such endpoint in the pool.
    #[error("no endpoint {name:?} in pool {pool:?}, expected one of {known}")]
    UnknownEndpoint {
        /// Pool.
        pool: String,
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// No model path to load from.
    #[error("no model is configured: add [model] path = \"...\"")]
    NoModelPath,
    /// The model file was refused; the old model keeps serving.
    #[error("model {} was refused: {reason}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_status_and_retry_of_each_error_fit_together() {
        let connection = RequestError::Connection(io::Error::other("refused"));
        assert_eq!((connection.side(), connection.status().as_u16()), (Side::Endpoint, 502));
        assert_eq!(
            (connection.retry_on(), RequestError::ConnectTimeout.retry_on()),
            (RetryOn::CONNECT, RetryOn::CONNECT)
        );
        assert_eq!(RequestError::TotalTimeout.retry_on(), RetryOn::NONE);
        assert_eq!(RequestError::FirstByteTimeout.status().as_u16(), 504);
        assert_eq!(RequestError::FirstByteTimeout.outcome(), OutcomeKind::Timeout);
        assert_eq!(RequestError::from(NoEndpoint::EmptyPool).status().as_u16(), 503);
        let bad = RequestError::BadRequest("no host");
        assert_eq!((bad.side(), bad.status().as_u16()), (Side::Client, 400));
        assert_eq!(bad.retry_on(), RetryOn::NONE);
        for ours in [RequestError::Upgrade, RequestError::EndpointFull, RequestError::TooLarge { limit: 1 }] {
            assert!(!ours.outcome().is_endpoint_failure(), "{ours}");
        }
    }
}
