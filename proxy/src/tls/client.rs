//! The side of the endpoints: whom to trust, under which name, and the certificate to show.

use super::material::Material;
use super::{H2, HTTP_11, provider};
use crate::config::{EndpointProtocol, EndpointTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// TLS to the endpoints of one pool.
#[derive(Clone)]
pub(crate) struct ClientTls {
    pub(crate) connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    fingerprint: u64,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// True where both trust and show the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.server_name == other.server_name
    }

    /// The name that the certificate of an endpoint at `host:port` must hold.
    pub(crate) fn name_of(&self, address: &str) -> Option<ServerName<'static>> {
        let host = || {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            ServerName::try_from(host).ok().map(|name| name.to_owned())
        };
        self.server_name.clone().or_else(host)
    }
}

/// Reads a pool's certificates; why they cannot be used. What did not change is taken from `before`.
pub(crate) fn client(
    tls: &EndpointTls,
    protocol: EndpointProtocol,
    before: Option<&ClientTls>,
) -> Result<ClientTls, String> {
    let mut material = Material::new();
    let authorities = material.authorities(tls.ca.as_deref())?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(authorities);
    let mut config = match &tls.certificate {
        Some(files) => {
            let (chain, key) = material.pair(files)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| format!("{}: {error}", files.certificate.display()))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        EndpointProtocol::Http1 => vec![HTTP_11.to_vec()],
        EndpointProtocol::Http2 => vec![H2.to_vec()],
    };
    let server_name = tls.server_name.as_deref().and_then(|name| ServerName::try_from(name).ok());
    let new = ClientTls {
        connector: TlsConnector::from(Arc::new(config)),
        server_name: server_name.map(|name| name.to_owned()),
        fingerprint: material.fingerprint(),
    };
    Ok(before.filter(|before| before.is_same(&new)).cloned().unwrap_or(new))
}
