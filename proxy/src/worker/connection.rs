//! One client connection: the PROXY header, TLS, and the version of HTTP, decided here and nowhere else.

use super::Worker;
use crate::body::ProxyBody;
use crate::client::Client;
use crate::config::ClientLimits;
use crate::core::OpenConnection;
use crate::error::RequestError;
use crate::forward;
use crate::headers::ClientHop;
use crate::proxy_header;
use crate::stall::Impatient;
use crate::stream::Stream;
use crate::task::Local;
use crate::tls::{self, ServerSide};
use crate::upstream::BUFFER_BYTES;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
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
    let hop = ClientHop::new(client.ip(), client.ip(), side.tls.is_some(), &forwarding);
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
    let client = Rc::new(Client::new(Rc::clone(&core), hop));
    let stream = TokioIo::new(Impatient::new(stream, limits.send_time, client.stalls()));
    let ended = if is_http2 {
        Box::pin(serve_http2(client, &limits, stream, stopping)).await
    } else {
        serve_http1(client, &limits, stream, stopping).await
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
    client: Rc<Client>,
    limits: &ClientLimits,
    stream: TokioIo<Impatient<Stream>>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let mut builder = http1::Builder::new();
    // The wait for a head is this proxy's own (see `Client`): hyper sets a timer for each.
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(BUFFER_BYTES))
        .half_close(limits.half_close);
    if limits.headers != STACK_HEADERS {
        builder.max_headers(limits.headers);
    }
    let requests = Rc::clone(&client);
    let service = service_fn(move |request| answer(Rc::clone(&requests), request));
    let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
    let news = stopping.clone();
    let mut stop = pin!(stopping.wait_for(|stop| *stop));
    let (mut is_awaited, mut is_stopping) = (false, false);
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        // Once to be woken by it, and then only when there are news: asking takes a lock.
        if !is_stopping && (!is_awaited || news.has_changed().unwrap_or(true)) {
            is_awaited = true;
            if stop.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
            }
        }
        client.poll_silent(cx, limits.header_time).map(|()| {
            tracing::debug!("no request in time");
            Ok(())
        })
    })
    .await
}

async fn serve_http2(
    client: Rc<Client>,
    limits: &ClientLimits,
    stream: TokioIo<Impatient<Stream>>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| answer(Rc::clone(&client), request));
    let connection = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_time)
        .keep_alive_timeout(limits.header_time)
        .serve_connection(stream, service);
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

async fn answer(client: Rc<Client>, request: Request<Incoming>) -> Result<Response<ProxyBody>, Infallible> {
    Ok(forward::serve(client, request).await)
}
