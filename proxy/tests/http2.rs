//! HTTP/2: many requests on one connection, trailers, streams that go both ways at once, and hostile frames.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use support::tls::{Authority, connect};
use support::{Client, Endpoint, in_flight, proxy, shutdown, until};
use tailcast_proxy::RunningProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A body that is written while it is sent.
struct Channel(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// An endpoint that speaks HTTP/2 by prior knowledge, echoes each frame at once, and ends with trailers.
async fn grpc_endpoint() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            opened.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.headers()["te"], "trailers");
                let (sender, receiver) = mpsc::unbounded_channel();
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    while let Some(Ok(frame)) = body.frame().await {
                        if let Ok(data) = frame.into_data() {
                            let _ = sender.send(Frame::data(data));
                        }
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    let _ = sender.send(Frame::trailers(trailers));
                });
                let response = Response::builder().header("content-type", "application/grpc").body(Channel(receiver));
                Ok::<_, Infallible>(response.unwrap())
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, connections)
}

async fn client<B>(proxy: &RunningProxy) -> http2::SendRequest<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://shop.example{path}")).body(Full::default()).unwrap()
}

async fn read(response: Response<Incoming>) -> (u16, String) {
    support::read(response).await
}

#[tokio::test]
async fn grpc_streams_flow_both_ways_with_trailers_and_share_one_connection() {
    let (endpoint, connections) = grpc_endpoint().await;
    let proxy = proxy(&[endpoint], "protocol = 'http2'\n");
    let sender = client::<Channel>(&proxy).await;
    let calls: Vec<_> = (0..20)
        .map(|i| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let (frames, receiver) = mpsc::unbounded_channel();
                let request = Request::post("http://shop.example/shop.Cart/Watch")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Channel(receiver));
                let mut response = sender.send_request(request.unwrap()).await.unwrap();
                // Each message is answered before the next one is sent: nothing on the way waits for more.
                for message in 0..5 {
                    let text = format!("call {i}, message {message}");
                    frames.send(Frame::data(Bytes::from(text.clone()))).unwrap();
                    let echoed = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
                    assert_eq!(echoed, text);
                }
                drop(frames);
                let trailers = response.body_mut().frame().await.unwrap().unwrap().into_trailers().unwrap();
                assert_eq!(trailers["grpc-status"], "0");
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    until("the ends", || proxy.metrics().successes == 20 && in_flight(&proxy) == 0).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1, "to the endpoint too");
    shutdown(proxy).await;
}

#[tokio::test]
async fn http2_clients_reach_http1_endpoints_and_http1_clients_reach_http2_ones() {
    let show = Endpoint::start(|request| async move {
        let headers = request.headers();
        let text = format!(
            "{:?} {} host={} cookie={} via={}",
            request.version(),
            request.uri(),
            headers["host"].to_str().unwrap(),
            headers["cookie"].to_str().unwrap(),
            headers["via"].to_str().unwrap()
        );
        Response::new(Full::from(text))
    });
    let proxy1 = proxy(&[show.await.address], "");
    let mut sender = client::<Full<Bytes>>(&proxy1).await;
    let mut request = get("/a?b=c");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let (status, text) = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!((status, text.as_str()), (200, "HTTP/1.1 /a?b=c host=shop.example cookie=a=1; b=2 via=2.0 tailcast"));
    // A request that is refused costs its stream and not the connection.
    let connect = Request::connect("other.example:443").body(Full::default()).unwrap();
    let refused = sender.send_request(connect).await.map(|response| response.status().as_u16());
    assert!(!matches!(refused, Ok(200..300)), "{refused:?}");
    shutdown(proxy1).await;

    let (endpoint, _) = grpc_endpoint().await;
    let proxy2 = proxy(&[endpoint], "protocol = 'http2'\n");
    let mut stream = TcpStream::connect(proxy2.addresses()[0]).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\ncontent-length: 4\r\n\r\necho")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("echo"), "{answer}");
    let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let refused = support::exchange(&proxy2, upgrade.as_bytes()).await;
    assert!(refused[0].0 == 501 && refused[0].1.contains("upgrade_refused"), "{refused:?}");
    shutdown(proxy2).await;
}

#[tokio::test]
async fn alpn_chooses_the_version_and_a_listener_may_keep_to_the_old_one() {
    let authority = Authority::new();
    let pair = authority.issue("a", &["a.example"]);
    let endpoint = Endpoint::saying("ok").await;
    for (http2, offered, chosen) in [
        ("true", &[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        ("true", &[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])),
        ("false", &[&b"h2"[..], b"http/1.1"][..], Some(&b"http/1.1"[..])),
        ("true", &[][..], None),
    ] {
        let text = format!(
            "workers = 1\ndrain_secs = 1\n[[listener]]\naddress = '127.0.0.1:0'\nhttp2 = {http2}\n[listener.tls]\n\
             certificates = [{{ certificate = '{}', key = '{}' }}]\n[[pool]]\nname = 'web'\nendpoints = ['{}']\n",
            pair.certificate.display(),
            pair.key.display(),
            endpoint.address
        );
        let proxy = tailcast_proxy::Proxy::start(tailcast_proxy::Config::parse(&text).unwrap()).unwrap();
        let mut stream = connect(&authority.client(offered, None), proxy.addresses()[0], "a.example").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.unwrap();
            tokio::spawn(connection);
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await, (200, "ok".into()));
        } else {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("ok"), "{answer}");
        }
        shutdown(proxy).await;
    }
}

#[tokio::test]
async fn a_shutdown_lets_streams_end_and_a_reset_stream_is_an_abort() {
    let slow = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("late"))
    });
    let proxy = proxy(&[slow.await.address], "");
    let mut sender = client::<Full<Bytes>>(&proxy).await;
    let reset = sender.send_request(get("/reset"));
    let reset = tokio::time::timeout(Duration::from_millis(50), reset).await;
    assert!(reset.is_err(), "dropped: the stream is reset");
    until("the abort", || proxy.metrics().client_aborts == 1 && in_flight(&proxy) == 0).await;
    let pending = tokio::spawn(sender.send_request(get("/")));
    until("the request", || in_flight(&proxy) == 1).await;
    shutdown(proxy).await;
    assert_eq!(read(pending.await.unwrap().unwrap()).await, (200, "late".into()));
}

/// Raw frames: type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A literal field that is not indexed.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value);
    bytes
}

/// The head of a GET; with another path where one is given.
fn head(path: Option<&[u8]>, more: &[u8]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    match path {
        Some(path) => block.extend(field(":path", path)),
        None => block.push(0x84),
    }
    block.extend(field(":authority", b"a"));
    block.extend(more);
    block
}

/// A connection on which both sides have said hello.
async fn raw(proxy: &RunningProxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

#[tokio::test]
async fn heads_that_would_become_other_requests_in_http1_are_refused() {
    let endpoint = Endpoint::saying("ok").await;
    let proxy = proxy(&[endpoint.address], "");
    for (name, block) in [
        ("a line end in a value", head(None, &field("x", b"1\r\nhost: b"))),
        ("a line feed in a value", head(None, &field("x", b"1\ny: 2"))),
        ("a NUL in a value", head(None, &field("x", b"1\0"))),
        ("a line end in a name", head(None, &field("x\r\ny", b"1"))),
        ("a colon in a name", head(None, &field("x: 1", b"1"))),
        ("an upper-case name", head(None, &field("X", b"1"))),
        ("transfer-encoding", head(None, &field("transfer-encoding", b"chunked"))),
        ("connection", head(None, &field("connection", b"close"))),
        ("a request in the path", head(Some(b"/ HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"), &[])),
        ("a space in the path", head(Some(b"/a b"), &[])),
        ("a host that differs", head(None, &field("host", b"b"))),
        ("two hosts", head(None, &[field("host", b"a"), field("host", b"a")].concat())),
        ("an unknown pseudo-field", head(None, &field(":x", b"1"))),
        ("a length without a body", head(None, &field("content-length", b"5"))),
    ] {
        let mut stream = raw(&proxy).await;
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await.unwrap();
        let mut received = Vec::new();
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(100), stream.read_buf(&mut received)).await {
        }
        assert_eq!(endpoint.requests(), 0, "{name}");
    }
    let mut stream = raw(&proxy).await;
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(None, &[]))).await.unwrap();
    until("the sound request", || endpoint.requests() == 1).await;
    // Who does not answer a farewell holds a shutdown up until the drain time.
    drop(stream);
    shutdown(proxy).await;
}

/// Writes until the proxy ends the connection; true where it did before all was written.
async fn is_cut(mut stream: TcpStream, flood: &[u8], times: usize) -> bool {
    let (mut from, mut to) = stream.split();
    let reading = async {
        let mut buffer = [0; 4_096];
        while let Ok(1..) = from.read(&mut buffer).await {}
    };
    let writing = async {
        for _ in 0..times {
            if to.write_all(flood).await.is_err() {
                return true;
            }
        }
        false
    };
    tokio::select! {
        () = reading => true,
        cut = writing => cut || tokio::time::timeout(Duration::from_secs(2), async {
            let mut buffer = [0; 4_096];
            while let Ok(1..) = stream.read(&mut buffer).await {}
        }).await.is_ok(),
    }
}

#[tokio::test]
async fn floods_of_frames_end_the_connection_and_nobody_elses() {
    let endpoint = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Response::new(Full::from("ok"))
    });
    let endpoint = endpoint.await;
    let proxy = proxy(&[endpoint.address], "");
    // Rapid reset (CVE-2023-44487): requests that are taken back at once.
    let mut resets = Vec::new();
    for i in 0..20_000u32 {
        resets.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, &head(None, &[])));
        resets.extend(frame(RST_STREAM, 0, 2 * i + 1, &[0, 0, 0, 8]));
    }
    assert!(is_cut(raw(&proxy).await, &resets, 1).await, "rapid reset");
    // A head without an end (CVE-2024-27316).
    let mut stream = raw(&proxy).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &head(None, &[]))).await.unwrap();
    let endless = frame(CONTINUATION, 0, 1, &field("x", &[b'y'; 100]).repeat(100));
    assert!(is_cut(stream, &endless, 2_000).await, "continuation flood");
    // Settings that all want an acknowledgement which nobody reads: at most the flooder stands still.
    let mut stream = raw(&proxy).await;
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(1_000);
    let flood = async {
        for _ in 0..2_000 {
            if stream.write_all(&settings).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), flood).await;
    assert_eq!(Client::to(&proxy).await.get("/").await, (200, "ok".into()));
    drop(stream);
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_client_that_opens_no_window_does_not_keep_the_endpoint() {
    let large = Endpoint::start(|_| async move { Response::new(Full::from(vec![b'x'; 10_000_000])) });
    let proxy = proxy(&[large.await.address], "timeouts = { total_ms = 200 }\n");
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    // INITIAL_WINDOW_SIZE = 0: not a byte of a body may be sent.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(None, &[]));
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &no_window, &request].concat()).await.unwrap();
    until("the request", || in_flight(&proxy) == 1).await;
    until("the cut", || in_flight(&proxy) == 0).await;
    assert_eq!((proxy.metrics().timeouts, proxy.metrics().client_connections), (1, 1));
    drop(stream);
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_says_farewell_after_every_answer_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answered, mut is_answered) = mpsc::unbounded_channel();
            let service = service_fn(move |_: Request<Incoming>| {
                let _ = answered.send(());
                async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))) }
            });
            tokio::spawn(async move {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = connection.as_mut() => return,
                    _ = is_answered.recv() => {}
                }
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            });
        }
    });
    let proxy = proxy(&[address], "protocol = 'http2'\n[balance.health]\nconsecutive_failures = 1\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..30 {
        assert_eq!(client.get("/").await, (200, "ok".into()));
    }
    let metrics = proxy.metrics();
    assert!(metrics.connection_errors == 0 && metrics.endpoint_connects > 5, "{metrics:?}");
    shutdown(proxy).await;
}
