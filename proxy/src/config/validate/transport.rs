//! TLS, protocols and the PROXY header: raw ▸ validated. Files are read when they are used, not here.

use crate::config::problem::Problems;
use crate::config::raw::{RawCertificate, RawEndpointTls, RawListener, RawServerTls};
use crate::config::{CertificateFiles, EndpointProtocol, EndpointTls, ListenerOptions, ServerTls};
use rustls::pki_types::ServerName;
use toml::Spanned;

pub(super) fn listener(raw: &RawListener, index: usize, problems: &mut Problems<'_>) -> ListenerOptions {
    let tls = raw.tls.as_ref().map(|tls| server_tls(tls, &format!("listener[{index}].tls"), problems));
    ListenerOptions { http2: raw.http2, proxy_protocol: raw.proxy_protocol, tls }
}

fn server_tls(raw: &Spanned<RawServerTls>, key: &str, problems: &mut Problems<'_>) -> ServerTls {
    let (span, raw) = (raw.span(), raw.get_ref());
    if raw.certificates.is_empty() {
        let message = "missing: give at least one { certificate = \"chain.pem\", key = \"key.pem\" }";
        problems.at(span, format!("{key}.certificates"), message);
    }
    let is_optional = match raw.client_certificate.as_ref().map(|value| (value.get_ref().as_str(), value)) {
        None | Some(("required", _)) => false,
        Some(("optional", _)) => true,
        Some((other, value)) => {
            let message = format!("unknown answer {other:?}, expected one of required, optional");
            problems.at(value.span(), format!("{key}.client_certificate"), message);
            false
        }
    };
    if let (Some(value), None) = (&raw.client_certificate, &raw.client_ca) {
        problems.at(value.span(), format!("{key}.client_certificate"), "has no effect without client_ca: remove it");
    }
    ServerTls {
        certificates: raw.certificates.iter().map(files).collect(),
        client_ca: raw.client_ca.clone(),
        client_certificate_is_optional: is_optional,
    }
}

fn files(raw: &RawCertificate) -> CertificateFiles {
    CertificateFiles { certificate: raw.certificate.clone(), key: raw.key.clone() }
}

pub(super) fn endpoint_tls(raw: Spanned<RawEndpointTls>, key: &str, problems: &mut Problems<'_>) -> EndpointTls {
    let (span, raw) = (raw.span(), raw.into_inner());
    let server_name = raw.server_name.and_then(|name| {
        let is_name = ServerName::try_from(name.get_ref().as_str()).is_ok();
        if !is_name {
            problems.at(name.span(), format!("{key}.server_name"), format!("{:?} is not a host", name.get_ref()));
        }
        is_name.then(|| name.into_inner())
    });
    let certificate = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (None, None) => None,
        _ => {
            problems.at(span, key, "certificate and key belong together: give both or none");
            None
        }
    };
    EndpointTls { ca: raw.ca, server_name, certificate }
}

pub(super) fn protocol(raw: Option<Spanned<String>>, key: &str, problems: &mut Problems<'_>) -> EndpointProtocol {
    match raw.as_ref().map(|value| (value.get_ref().as_str(), value)) {
        None | Some(("http1", _)) => EndpointProtocol::Http1,
        Some(("http2", _)) => EndpointProtocol::Http2,
        Some((other, value)) => {
            problems.at(value.span(), key, format!("unknown protocol {other:?}, expected one of http1, http2"));
            EndpointProtocol::Http1
        }
    }
}
