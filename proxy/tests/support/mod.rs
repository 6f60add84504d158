//! Small endpoints on loopback and a client, for the tests of the data plane.
//!
//! Endpoints are real sockets with hyper behind them, or raw bytes where an endpoint has to misbehave.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod clients;
pub(crate) mod tls;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{UInt8Type, UInt16Type, UInt64Type};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An endpoint that answers every request with what `answer` makes of it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Endpoint {
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                opened.fetch_add(1, Ordering::SeqCst);
                let (answer, count) = (answer.clone(), Arc::clone(&count));
                let service = service_fn(move |request| {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = answer.clone();
                    async move { Ok::<_, Infallible>(answer(request).await) }
                });
                tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, requests, connections }
    }

    /// An endpoint that answers `200` with this text.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(Full::from(text)) }).await
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An endpoint that handles each connection as raw bytes.
pub(crate) async fn raw_endpoint<F, R>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// An address on which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A configuration with one pool `web` of these endpoints and more text at its end.
pub(crate) fn config(endpoints: &[SocketAddr], more: &str) -> Config {
    config_with("", endpoints, more)
}

/// The same with tables before the listener.
pub(crate) fn config_with(before: &str, endpoints: &[SocketAddr], more: &str) -> Config {
    let endpoints = endpoints.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "workers = 1\ndrain_secs = 5\n{before}[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\nendpoints = [{endpoints}]\n{more}"
    );
    Config::parse(&text).unwrap()
}

/// Sends raw bytes on a new connection and reads statuses and bodies of all answers until the proxy closes it, or
/// says nothing more for a while.
pub(crate) async fn exchange(proxy: &RunningProxy, sent: &[u8]) -> Vec<(u16, String)> {
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    // The proxy may refuse and close before all was sent.
    let _ = stream.write_all(sent).await;
    let mut received = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(QUIET, stream.read_buf(&mut received)).await {}
    answers(&received)
}

/// After this long without a byte nothing more is expected.
const QUIET: Duration = Duration::from_millis(300);

/// Statuses and bodies of final answers, by their length; a body without one goes to the end.
fn answers(mut received: &[u8]) -> Vec<(u16, String)> {
    let mut found = Vec::new();
    while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        received = &received[end + 4..];
        if status < 200 {
            found.push((status, String::new()));
            continue;
        }
        let length = length.unwrap_or(received.len()).min(received.len());
        found.push((status, String::from_utf8_lossy(&received[..length]).into_owned()));
        received = &received[length..];
    }
    found
}

/// A running proxy in front of these endpoints.
pub(crate) fn proxy(endpoints: &[SocketAddr], more: &str) -> RunningProxy {
    Proxy::start(config(endpoints, more)).unwrap()
}

/// Ends a proxy without holding up the runtime on which its endpoints run.
pub(crate) async fn shutdown(proxy: RunningProxy) {
    tokio::task::spawn_blocking(|| proxy.shutdown()).await.unwrap();
}

/// A keep-alive connection of a client.
pub(crate) struct Client(client::SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn to(proxy: &RunningProxy) -> Self {
        Self::connect(proxy.addresses()[0]).await
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.call("GET", path, "").await
    }

    /// Status and body of a request.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &'static str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("host", "test").body(Full::from(body));
        read(self.send(request.unwrap()).await.unwrap()).await
    }
}

/// Status and body of a response.
pub(crate) async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Waits until something is true; panics with its name after ten seconds.
pub(crate) async fn until(what: &str, is_true: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, is_true).await;
}

/// The same with more or less patience.
pub(crate) async fn until_within(patience: Duration, what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < patience, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Requests in flight on all endpoints.
pub(crate) fn in_flight(proxy: &RunningProxy) -> u32 {
    proxy.status().pools.iter().flat_map(|pool| &pool.endpoints).map(|endpoint| endpoint.in_flight).sum()
}

/// A row of the log, as far as the tests look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) request_id: u64,
    pub(crate) tenant: String,
    pub(crate) route: String,
    pub(crate) method: String,
    pub(crate) endpoint: String,
    pub(crate) outcome: String,
    pub(crate) status: u16,
    pub(crate) latency_us: u64,
    pub(crate) first_byte_us: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) attempts: u8,
}

/// All rows of the Parquet files in a directory, in the order of the requests' ends.
pub(crate) fn rows(directory: &Path) -> Vec<Row> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap());
        for batch in reader.unwrap().build().unwrap() {
            rows.extend(rows_of(&batch.unwrap()));
        }
    }
    rows
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let text = |name: &str, i: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(i).to_owned();
    let number = |name: &str, i: usize| batch.column_by_name(name).unwrap().as_primitive::<UInt64Type>().value(i);
    (0..batch.num_rows())
        .map(|i| Row {
            request_id: number("request_id", i),
            tenant: text("tenant", i),
            route: text("route", i),
            method: text("method", i),
            endpoint: text("endpoint", i),
            outcome: text("outcome", i),
            status: batch.column_by_name("status").unwrap().as_primitive::<UInt16Type>().value(i),
            latency_us: number("latency_us", i),
            first_byte_us: number("first_byte_us", i),
            request_bytes: number("request_bytes", i),
            response_bytes: number("response_bytes", i),
            attempts: batch.column_by_name("attempts").unwrap().as_primitive::<UInt8Type>().value(i),
        })
        .collect()
}
