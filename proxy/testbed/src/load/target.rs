//! Where load goes: `http://host:port[/base]`.

use http::Uri;
use std::net::{SocketAddr, ToSocketAddrs};

/// A URL that load cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It does not parse.
    #[error("{url:?} is not a URL: {reason}; expected http://host:port[/base]")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        reason: String,
    },
    /// It does, but not as something that can be spoken to.
    #[error("{url:?} has scheme {scheme:?}; only http:// is supported")]
    Scheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// The host has no address.
    #[error("cannot resolve {host:?}: {reason}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
}

/// A resolved target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Address to connect to.
    pub address: SocketAddr,
    /// Value of the `host` header.
    pub host: String,
    /// Path before each request's own, without a slash at the end.
    pub base: String,
}

impl Target {
    /// A target by its address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), base: String::new() }
    }

    /// Parses and resolves a URL.
    ///
    /// # Errors
    /// Where it is no `http` URL with a host, or the host has no address.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let fault = |reason: &str| TargetError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| fault(&error.to_string()))?;
        match uri.scheme_str() {
            Some("http") => {}
            None => return Err(fault("it has no scheme")),
            Some(scheme) => return Err(TargetError::Scheme { url: url.to_owned(), scheme: scheme.to_owned() }),
        }
        let authority = uri.authority().ok_or_else(|| fault("it has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let resolve = |reason: String| TargetError::Resolve { host: host.to_owned(), reason };
        let mut found =
            (host, uri.port_u16().unwrap_or(80)).to_socket_addrs().map_err(|error| resolve(error.to_string()))?;
        let address = found.next().ok_or_else(|| resolve("it has no address".to_owned()))?;
        Ok(Self { address, host: authority.to_string(), base: uri.path().trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_url_becomes_address_host_and_base() {
        let target = Target::parse("http://127.0.0.1:8080/v1/").unwrap();
        assert_eq!(target.address.to_string(), "127.0.0.1:8080");
        assert_eq!((target.host.as_str(), target.base.as_str()), ("127.0.0.1:8080", "/v1"));
        assert_eq!(Target::parse("http://[::1]:9").unwrap().address.to_string(), "[::1]:9");
    }

    #[test]
    fn what_cannot_be_spoken_to_is_refused_with_what_would_be_right() {
        let error = |url| Target::parse(url).unwrap_err().to_string();
        assert!(error("https://localhost:1").contains("only http://"));
        assert!(error("localhost:8080").contains("http://"), "{}", error("localhost:8080"));
        assert!(error("").contains("http://host:port"));
    }
}
