//! New connections to endpoints: TCP, TLS where the pool says so, and the version of HTTP that it says.

use super::{BUFFER_BYTES, Sender};
use crate::config::EndpointProtocol;
use crate::error::RequestError;
use crate::stream::Stream;
use crate::task::Local;
use crate::tls;
use crate::topology::Target;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::time::Duration;
use tailcast_balance::ConnectionToken;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A silent HTTP/2 connection is asked for a sign of life this often, and given up after as long: many requests hang on
/// it, and a peer that vanished is otherwise noticed by each of them.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Makes a connection, with what counts it while it is open.
pub(crate) async fn dial(
    target: &Target,
    timeout: Duration,
    counted: Option<ConnectionToken>,
) -> Result<Sender, RequestError> {
    let connecting = tokio::time::timeout(timeout, open(target));
    let stream = connecting.await.map_err(|_| RequestError::ConnectTimeout)?.map_err(RequestError::Connection)?;
    let is_secure = matches!(stream, Stream::Tls(_));
    match target.protocol {
        EndpointProtocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(BUFFER_BYTES);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(RequestError::Reset)?;
            tokio::task::spawn_local(async move {
                let _counted = counted;
                ended(connection.with_upgrades().await);
            });
            Ok(Sender::Http1(sender))
        }
        EndpointProtocol::Http2 => {
            let mut builder = http2::Builder::new(Local);
            builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_EVERY);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(RequestError::Reset)?;
            tokio::task::spawn_local(async move {
                let _counted = counted;
                ended(connection.await);
            });
            Ok(Sender::Http2(sender, is_secure))
        }
    }
}

async fn open(target: &Target) -> io::Result<Stream> {
    let stream = TcpStream::connect(target.address).await?;
    // Requests are written whole; waiting for more to send only adds latency. Failing to set it costs no more.
    let _ = stream.set_nodelay(true);
    let Some((tls, name)) = &target.tls else { return Ok(Stream::Plain(stream)) };
    let stream = tls.connector.connect(name.clone(), stream).await?;
    let stream = Stream::Tls(Box::new(TlsStream::Client(stream)));
    if target.protocol == EndpointProtocol::Http2 && stream.alpn() != Some(tls::H2) {
        return Err(io::Error::other("the endpoint does not speak HTTP/2"));
    }
    Ok(stream)
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection to an endpoint ended");
    }
}
