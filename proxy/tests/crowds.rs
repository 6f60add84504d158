//! Many clients that do little: idle ones, slow readers, slow writers. The others must not notice.
//!
//! Twice: in this process, few enough for a limit of 1,024 open files; and from a process of their own, in the number that
//! a proxy should not notice, where there is a Python to run them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use std::io::Write;
use std::time::{Duration, Instant};
use support::clients::Script;
use support::{Client, Endpoint, config_with, in_flight, proxy, shutdown, until};
use tailcast_proxy::{Proxy, RunningProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const IDLE: usize = 100;
const SLOW: usize = 60;
/// More than the buffers of the system between two sockets hold.
const LARGE_BYTES: usize = 20_000_000;

/// One crowd at a time: these tests look at latency and at the memory of the process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// An answer for a thousand slow readers at once: more than goes into a connection's buffers, while the system has room
/// for all of them.
const MEGABYTE: usize = 1 << 20;

/// An endpoint with large answers under `/large` and `/large.bin`, which reads the whole of every request first.
async fn endpoint() -> Endpoint {
    let large = Bytes::from(vec![b'x'; LARGE_BYTES]);
    Endpoint::start(move |request| {
        let body = match request.uri().path() {
            "/large" => large.clone(),
            "/large.bin" => large.slice(..MEGABYTE),
            _ => Bytes::from_static(b"small"),
        };
        async move {
            let _ = request.into_body().collect().await;
            Response::new(Full::new(body))
        }
    })
    .await
}

#[tokio::test]
async fn idle_and_slow_clients_cost_the_others_nothing_and_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let proxy = proxy(&[endpoint().await.address], "");
    let address = proxy.addresses()[0];
    let mut crowd = JoinSet::new();
    for _ in 0..IDLE {
        crowd.spawn(async move {
            let mut client = Client::connect(address).await;
            assert_eq!(client.get("/").await.0, 200);
            std::future::pending::<()>().await;
        });
    }
    for _ in 0..SLOW {
        crowd.spawn(async move {
            // A small window, or the system takes the whole body for us.
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(16_384).unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = stream.read(&mut [0; 64]).await;
            }
        });
        crowd.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = stream.write_all(b"drop").await;
            }
        });
    }
    until("the crowd", || in_flight(&proxy) == 2 * SLOW as u32 && proxy.metrics().successes >= IDLE as u64).await;
    let mut client = Client::to(&proxy).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let started = Instant::now();
        assert_eq!(client.get("/").await.0, 200);
        slowest = slowest.max(started.elapsed());
    }
    // Generous for a busy machine; one client that blocks a worker would take all of it.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(in_flight(&proxy), 2 * SLOW as u32, "they are all still at it");
    drop(client);
    crowd.shutdown().await;
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    assert_eq!(proxy.metrics().client_aborts, 2 * SLOW as u64);
    shutdown(proxy).await;
}

/// Latencies of requests one after the other, ascending.
async fn latencies(proxy: &RunningProxy, requests: usize) -> Vec<Duration> {
    let mut client = Client::to(proxy).await;
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        assert_eq!(client.get("/").await.0, 200);
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

/// Memory that this process has, endpoints and proxy alike.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// Says figures past the harness, which would swallow what a passing test prints.
fn say(figures: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{figures}");
}

/// What a client may cost this process, which holds both sides of the proxy and the endpoint: half a megabyte of hyper's
/// buffers at each of proxy and endpoint where an answer waits for its reader, a few small buffers and tasks elsewhere.
const SLOW_READER_KIB: u64 = 1_280;
const CLIENT_KIB: u64 = 32;

#[tokio::test]
async fn ten_thousand_idle_and_two_thousand_slow_clients_cost_the_others_nothing() {
    let _alone = ALONE.lock().await;
    let proxy = proxy(&[endpoint().await.address], "");
    let alone = latencies(&proxy, 2_000).await;
    let memory_alone = resident_mib();
    let address = proxy.addresses()[0].to_string();
    let arguments = [address.as_str(), "--idle", "10000", "--readers", "1000", "--writers", "1000"];
    let Some(mut crowd) = Script::start("crowd.py", &arguments) else { return };
    let ready = crowd.line().await;
    let counts: Vec<u64> =
        ready.strip_prefix("ready ").unwrap().split(' ').map(|count| count.parse().unwrap()).collect();
    let [idle, readers, writers] = counts[..] else { panic!("{ready}") };
    let slow = readers + writers;
    until("the crowd", || u64::from(in_flight(&proxy)) == slow).await;
    let memory_at_first = resident_mib();
    let beside = latencies(&proxy, 10_000).await;
    let memory_later = resident_mib();
    // The client of the measurement goes; they are all still at it.
    let is_crowd = || (proxy.metrics().client_connections, u64::from(in_flight(&proxy))) == (idle + slow, slow);
    until("the crowd alone", is_crowd).await;
    let at = |latencies: &[Duration], share: usize| latencies[latencies.len() * share / 100];
    say(format_args!(
        "{idle} idle, {readers} slow readers, {writers} slow writers: p50 {:?} -> {:?}, p99 {:?} -> {:?}, slowest {:?}; \
         {memory_alone} MiB alone, {memory_at_first} with them, {memory_later} after 10,000 more requests",
        at(&alone, 50),
        at(&beside, 50),
        at(&alone, 99),
        at(&beside, 99),
        beside.last().unwrap(),
    ));
    // Generous for a busy machine. A proxy that looked at every client for each request would take milliseconds.
    assert!(at(&beside, 50) < 3 * at(&alone, 50) + Duration::from_millis(1), "p50 grew");
    assert!(at(&beside, 99) < 3 * at(&alone, 99) + Duration::from_millis(20), "p99 grew");
    // What others ask for costs no memory while the crowd stands still.
    assert!(memory_later < memory_at_first + 32, "memory grows beside a crowd that does nothing");
    let most_mib = (readers * SLOW_READER_KIB + (idle + writers) * CLIENT_KIB) / 1_024;
    assert!(memory_at_first - memory_alone < most_mib, "more than {most_mib} MiB");
    crowd.end().await;
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    assert_eq!(proxy.metrics().client_aborts, slow);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_thousand_clients_that_send_their_heads_drop_by_drop_are_cut_by_the_header_time_and_the_others_are_served() {
    let _alone = ALONE.lock().await;
    let endpoint = endpoint().await;
    let proxy = Proxy::start(config_with("[limits]\nheader_secs = 1\n", &[endpoint.address], "")).unwrap();
    let address = proxy.addresses()[0].to_string();
    let Some(mut crowd) = Script::start("crowd.py", &[&address, "--loris", "1000"]) else { return };
    let (ended, beside) = tokio::join!(crowd.line(), async {
        until("the crowd", || proxy.metrics().client_connections == 1_000).await;
        latencies(&proxy, 500).await
    });
    let words: Vec<&str> = ended.split(' ').collect();
    let (earliest, latest): (f64, f64) = (words[2].parse().unwrap(), words[3].parse().unwrap());
    say(format_args!("slow-loris: {ended}; slowest of the others {:?}", beside.last().unwrap()));
    assert_eq!(words[1], "1000");
    assert!(earliest > 0.9 && latest < 5.0, "{ended}");
    assert!(*beside.last().unwrap() < Duration::from_secs(1));
    until("the ends", || proxy.metrics().client_connections == 0).await;
    assert_eq!(endpoint.requests(), 500, "none of their requests was one");
    shutdown(proxy).await;
}
