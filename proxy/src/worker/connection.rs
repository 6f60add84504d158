//! One client connection: the PROXY header, TLS, and the version of HTTP, decided here and nowhere else.

use super::Worker;
use crate::config::ClientLimits;
use crate::core::{Core, OpenConnection};
use crate::error::RequestError;
use crate::forward;
use crate::headers::ClientHop;
use crate::proxy_header;
use crate::stall::Impatient;
use crate::stream::Stream;
use crate::task::Local;
use crate::tls::{self, ServerSide};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsStream;

/// As many header fields hyper parses on the stack; another bound costs an allocation a request.
const STACK_HEADERS: usize = 100;

/// While stopping, a connection that was accepted last has this long to show the request that is on its way.
const LAST_CALL: Duration = Duration::from_millis(50);

/// Streams of one HTTP/2 connection at a time: what browsers and gRPC clients use, and a bound on what one connection
/// can ask of us. Source: RFC 9113 §6.5.2 recommends no less than 100.
const STREAMS: u32 = 256;

/// Start of HTTP/2 by prior knowledge. `PRI` is no method of HTTP/1, so four bytes tell.
const PREFACE: &[u8; 4] = b"PRI ";

/// A client that sends less than four bytes at first is looked at again after this.
const NEXT_LOOK: Duration = Duration::from_millis(5);

/// Serves a connection until it ends, or until the requests in service have ended after a stop.
pub(super) async fn serve(
    worker: Rc<Worker>,
    _open: OpenConnection,
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are written whole; failing to set it costs no more than latency.
    let _ = stream.set_nodelay(true);
    if *stopping.borrow() {
        let _ = tokio::time::timeout(LAST_CALL, stream.readable()).await;
    }
    let core = Rc::clone(&worker.core);
    // The site of this moment must not outlive a reload in every idle connection.
    let (side, limits, forwarding) = {
        let site = core.site();
        let config = site.config();
        let Some(side) = site.server(listener).cloned() else { return };
        (side, config.limits().clone(), config.forwarding().clone())
    };
    let client = match client_of(&side, &limits, &mut stream, peer).await {
        Ok(client) => client,
        Err(error) => {
            core.metrics().refused_proxy_header.add(1);
            tracing::debug!(%peer, %error, "connection without a valid PROXY header");
            return;
        }
    };
    let _of_address = match limits.connections_per_address {
        Some(limit) => match core.addresses().take(client.ip(), limit) {
            Some(token) => Some(token),
            None => {
                core.metrics().refused_address_limit.add(1);
                return;
            }
        },
        None => None,
    };
    let hop = Rc::new(ClientHop::new(client.ip(), client.ip(), side.tls.is_some(), &forwarding));
    let (stream, is_http2) = match begin(&side, &limits, stream, &mut stopping).await {
        Ok(begun) => begun,
        Err(error) => {
            if side.tls.is_some() {
                core.metrics().refused_tls.add(1);
            }
            tracing::debug!(%peer, %error, "connection ended before a request");
            return;
        }
    };
    let ended = if is_http2 {
        Box::pin(serve_http2(Rc::clone(&core), hop, &limits, stream, stopping)).await
    } else {
        serve_http1(Rc::clone(&core), hop, &limits, stream, stopping).await
    };
    if let Err(error) = ended {
        if error.is_parse() || error.is_parse_too_large() {
            // hyper has answered it; no request came of it.
            core.metrics().failed(RequestError::BadRequest("").reason());
        }
        tracing::debug!(%peer, %error, "client connection ended");
    }
}

/// For whom the peer has opened the connection.
async fn client_of(
    side: &ServerSide,
    limits: &ClientLimits,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> std::io::Result<SocketAddr> {
    if !side.proxy_protocol {
        return Ok(peer);
    }
    let named = Box::pin(tokio::time::timeout(limits.header_time, proxy_header::read(stream))).await??;
    Ok(named.unwrap_or(peer))
}

/// TLS where the listener has it, and whether HTTP/2 follows.
async fn begin(
    side: &ServerSide,
    limits: &ClientLimits,
    stream: TcpStream,
    stopping: &mut watch::Receiver<bool>,
) -> std::io::Result<(Stream, bool)> {
    let Some(acceptor) = &side.tls else {
        let is_http2 = side.http2
            && tokio::select! {
                looked = tokio::time::timeout(limits.header_time, has_preface(&stream)) => looked??,
                _ = stopping.wait_for(|stop| *stop) => false,
            };
        return Ok((Stream::Plain(stream), is_http2));
    };
    // Boxed, as what follows below: what few connections need must not make the state of all of them larger.
    let stream = Box::pin(tokio::time::timeout(limits.header_time, acceptor.accept(stream))).await??;
    let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
    let is_http2 = stream.alpn() == Some(tls::H2);
    Ok((stream, is_http2))
}

/// Looks at the first bytes without taking them.
async fn has_preface(stream: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await?;
        let start = start.get(..seen).unwrap_or_default();
        if seen == PREFACE.len() || seen == 0 || !PREFACE.starts_with(start) {
            return Ok(start == PREFACE);
        }
        tokio::time::sleep(NEXT_LOOK).await;
    }
}

async fn serve_http1(
    core: Rc<Core>,
    hop: Rc<ClientHop>,
    limits: &ClientLimits,
    stream: Stream,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let (core, hop) = (Rc::clone(&core), Rc::clone(&hop));
        async move { Ok::<_, Infallible>(forward::serve(core, hop, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        .half_close(limits.half_close);
    if limits.headers != STACK_HEADERS {
        builder.max_headers(limits.headers);
    }
    let connection =
        builder.serve_connection(TokioIo::new(Impatient::new(stream, limits.send_time)), service).with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = stopping.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn serve_http2(
    core: Rc<Core>,
    hop: Rc<ClientHop>,
    limits: &ClientLimits,
    stream: Stream,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let (core, hop) = (Rc::clone(&core), Rc::clone(&hop));
        async move { Ok::<_, Infallible>(forward::serve(core, hop, request).await) }
    });
    let connection = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_time)
        .keep_alive_timeout(limits.header_time)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.send_time)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = stopping.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
