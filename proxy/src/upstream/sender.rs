//! The sending half of a connection to an endpoint, in either version of HTTP.

use super::RequestBody;
use http::header::HOST;
use http::uri::{Parts, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

/// Sends requests on a connection.
#[derive(Debug)]
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Many; true where the connection is encrypted.
    Http2(http2::SendRequest<RequestBody>, bool),
}

impl Sender {
    /// True where a request can be sent at once.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender, _) => sender.is_ready(),
        }
    }

    /// True where the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender, _) => sender.is_closed(),
        }
    }

    /// A second sender on the same connection, where it carries more than one request.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender, is_secure) => Some(Self::Http2(sender.clone(), *is_secure)),
        }
    }

    /// Waits until a request can be sent.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender, _) => sender.ready().await,
        }
    }

    /// Sends a request; gives it back where it was not sent.
    pub(crate) async fn try_send_request(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender, is_secure) => {
                name_authority(&mut request, *is_secure);
                sender.try_send_request(request).await
            }
        }
    }
}

/// HTTP/2 has the host in `:authority` and nowhere else.
pub(crate) fn name_authority(request: &mut Request<RequestBody>, is_secure: bool) {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| host.as_bytes().try_into().ok());
    let Some(authority) = authority else { return };
    let mut parts = Parts::default();
    parts.scheme = Some(if is_secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
