//! Upgraded connections (WebSocket and others): bytes both ways until one side ends, and one outcome row.
//!
//! After the endpoint's 101 the proxy understands nothing of what flows. Each direction is pumped by itself and is
//! closed by itself, so a peer that has said its last word still hears the answer. The total time limit does not
//! apply; silence in both directions does end it, because a peer that is gone without a word never says so.

use crate::body::{Content, ProxyBody};
use crate::client::Serving;
use crate::flight::Flight;
use crate::headers;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::time::Duration;
use tailcast_features::OutcomeKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// A direction's buffer: large enough that a bulk transfer is not bound by system calls, small enough for thousands of
/// silent tunnels.
const BUFFER_BYTES: usize = 16 * 1_024;

/// What a client asked to upgrade to, and its side of the connection once it is.
pub(crate) struct Upgrade {
    pub(crate) protocol: HeaderValue,
    pub(crate) client: OnUpgrade,
}

/// Why a tunnel ended before both sides had closed.
enum Broken {
    Client,
    Endpoint,
    Silent,
}

/// What went through so far.
struct Traffic {
    from_client: Cell<u64>,
    from_endpoint: Cell<u64>,
    last: Cell<Instant>,
}

/// Hands the endpoint's 101 on and carries bytes from then on.
pub(crate) fn open(
    mut response: Response<Incoming>,
    mut flight: Box<Flight>,
    client: OnUpgrade,
    idle: Duration,
    serving: Serving,
) -> Response<ProxyBody> {
    let endpoint = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    flight.answered(parts.status.as_u16());
    flight.upgraded();
    let protocol = parts.headers.get(UPGRADE).cloned();
    headers::forward_response(&mut parts.headers, parts.version);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    parts.version = Version::HTTP_11;
    let open = flight.core().open_connection();
    tokio::task::spawn_local(async move {
        let _open = open;
        let (client, endpoint) = tokio::join!(client, endpoint);
        let kind = match (client, endpoint) {
            (Ok(client), Ok(endpoint)) => {
                match carry(&mut flight, TokioIo::new(client), TokioIo::new(endpoint), idle).await {
                    Ok(()) => OutcomeKind::Success,
                    Err(Broken::Client) => OutcomeKind::ClientAbort,
                    Err(Broken::Endpoint) => OutcomeKind::ConnectionError,
                    Err(Broken::Silent) => OutcomeKind::Timeout,
                }
            }
            (Err(_), _) => OutcomeKind::ClientAbort,
            (_, Err(_)) => OutcomeKind::ConnectionError,
        };
        flight.ended(kind);
    });
    Response::from_parts(parts, Content::Own(Full::<Bytes>::default()).of(serving))
}

async fn carry(
    flight: &mut Flight,
    client: impl AsyncRead + AsyncWrite,
    endpoint: impl AsyncRead + AsyncWrite,
    idle: Duration,
) -> Result<(), Broken> {
    let traffic = Traffic { from_client: Cell::new(0), from_endpoint: Cell::new(0), last: Cell::new(Instant::now()) };
    let (client_read, client_write) = tokio::io::split(client);
    let (endpoint_read, endpoint_write) = tokio::io::split(endpoint);
    let ended = {
        let up = pump(client_read, endpoint_write, &traffic.from_client, &traffic.last);
        let down = pump(endpoint_read, client_write, &traffic.from_endpoint, &traffic.last);
        let both = async {
            tokio::try_join!(
                async {
                    up.await.map_err(|side| if side == Side::Reading { Broken::Client } else { Broken::Endpoint })
                },
                async {
                    down.await.map_err(|side| if side == Side::Reading { Broken::Endpoint } else { Broken::Client })
                },
            )
        };
        tokio::select! {
            ended = both => ended.map(|_| ()),
            () = silence(&traffic.last, idle) => Err(Broken::Silent),
        }
    };
    flight.carried(traffic.from_client.get(), traffic.from_endpoint.get());
    ended
}

#[derive(PartialEq)]
enum Side {
    Reading,
    Writing,
}

/// Carries one direction to its end and closes it there.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &Cell<u64>,
    last: &Cell<Instant>,
) -> Result<(), Side> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| Side::Reading)?;
        if read == 0 {
            // A side that is gone cannot be told; it is seen by the other direction.
            let _ = to.shutdown().await;
            return Ok(());
        }
        to.write_all(&buffer[..read]).await.map_err(|_| Side::Writing)?;
        to.flush().await.map_err(|_| Side::Writing)?;
        bytes.set(bytes.get() + read as u64);
        last.set(Instant::now());
    }
}

/// Returns when nothing was carried for this long.
async fn silence(last: &Cell<Instant>, idle: Duration) {
    loop {
        let until = last.get() + idle;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}
