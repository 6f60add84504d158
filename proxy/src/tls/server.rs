//! A listener's side: the certificate for the name that a client asks for, and certificates of clients.
//!
//! Which names a certificate is for, it says itself; nothing has to be configured twice. Certificates are few, so they
//! are tried in order at each handshake. A client that asks for another name, or for none, gets the first.

use super::material::Material;
use super::{H2, HTTP_11, provider};
use crate::config::ListenerOptions;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// How connections of one listener begin.
#[derive(Clone)]
pub(crate) struct ServerSide {
    pub(crate) http2: bool,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: Option<TlsAcceptor>,
    fingerprint: u64,
}

impl std::fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSide").field("http2", &self.http2).field("tls", &self.tls.is_some()).finish()
    }
}

impl ServerSide {
    /// True where both have the same certificates and are spoken to alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.http2 == other.http2
            && self.proxy_protocol == other.proxy_protocol
            && self.tls.is_some() == other.tls.is_some()
            && self.fingerprint == other.fingerprint
    }
}

/// Reads a listener's certificates; why they cannot be used. What did not change is taken from `before`.
pub(crate) fn server(options: &ListenerOptions, before: Option<&ServerSide>) -> Result<ServerSide, String> {
    let (http2, proxy_protocol) = (options.http2, options.proxy_protocol);
    let Some(tls) = &options.tls else {
        return Ok(ServerSide { http2, proxy_protocol, tls: None, fingerprint: 0 });
    };
    let mut material = Material::new();
    let mut keys = Vec::with_capacity(tls.certificates.len());
    for files in &tls.certificates {
        let (chain, key) = material.pair(files)?;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        let certified = certified.map_err(|error| format!("{}: {error}", files.certificate.display()))?;
        keys.push(Arc::new(certified));
    }
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match &tls.client_ca {
        Some(path) => {
            let authorities = Arc::new(material.authorities(Some(path))?);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider());
            if tls.client_certificate_is_optional {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName { keys }));
    config.alpn_protocols = if http2 { vec![H2.to_vec(), HTTP_11.to_vec()] } else { vec![HTTP_11.to_vec()] };
    let new = ServerSide {
        http2,
        proxy_protocol,
        tls: Some(TlsAcceptor::from(Arc::new(config))),
        fingerprint: material.fingerprint(),
    };
    Ok(before.filter(|before| before.is_same(&new)).cloned().unwrap_or(new))
}

#[derive(Debug)]
struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |key: &&Arc<CertifiedKey>| {
            let certificate = key.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok());
            certificate.zip(name.as_ref()).is_some_and(|(own, name)| verify_server_name(&own, name).is_ok())
        };
        // One certificate needs no look at names.
        let found = if self.keys.len() > 1 { self.keys.iter().find(is_for) } else { None };
        found.or(self.keys.first()).cloned()
    }
}
