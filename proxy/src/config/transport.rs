//! Validated settings below HTTP: TLS on both sides, protocols, the PROXY header.

use std::fmt;
use std::path::{Path, PathBuf};

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the end entity's certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The first whose names hold the one that the client asks for is used, else the first of all.
    pub certificates: Vec<CertificateFiles>,
    /// Who may have signed the certificates of clients; `None` where clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// True where a client without a certificate is still served.
    pub client_certificate_is_optional: bool,
}

impl ServerTls {
    /// Every file that is read for it.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let pairs = self.certificates.iter().flat_map(CertificateFiles::files);
        pairs.chain(self.client_ca.as_deref()).collect()
    }
}

impl CertificateFiles {
    fn files(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }
}

/// How a listener is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Serves HTTP/2: by ALPN under TLS, by prior knowledge without.
    pub http2: bool,
    /// Expects a PROXY header (version 1 or 2) before anything else.
    pub proxy_protocol: bool,
    /// TLS.
    pub tls: Option<ServerTls>,
}

/// TLS to the endpoints of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointTls {
    /// Who may have signed the endpoints' certificates; the system's authorities by default.
    pub ca: Option<PathBuf>,
    /// The name that the certificates must hold; the endpoint's host by default.
    pub server_name: Option<String>,
    /// The certificate that is shown to endpoints.
    pub certificate: Option<CertificateFiles>,
}

impl EndpointTls {
    /// Every file that is read for it.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.certificate.iter().flat_map(CertificateFiles::files).chain(self.ca.as_deref()).collect()
    }
}

/// What endpoints of a pool are spoken to in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, by ALPN under TLS and by prior knowledge without.
    Http2,
}

impl fmt::Display for EndpointProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        })
    }
}
