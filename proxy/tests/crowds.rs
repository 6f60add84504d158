//! Many clients that do little: idle ones, slow readers, slow writers. The others must not notice.
//!
//! Few enough for a limit of 1,024 open files, both sides of every connection being in this process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use std::time::{Duration, Instant};
use support::{Client, Endpoint, in_flight, proxy, shutdown, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const IDLE: usize = 100;
const SLOW: usize = 60;
/// More than the buffers of the system between two sockets hold.
const LARGE_BYTES: usize = 20_000_000;

#[tokio::test]
async fn idle_and_slow_clients_cost_the_others_nothing_and_leave_nothing_behind() {
    let large = Bytes::from(vec![b'x'; LARGE_BYTES]);
    let endpoint = Endpoint::start(move |request| {
        let body = if request.uri().path() == "/large" { large.clone() } else { Bytes::from_static(b"small") };
        async move {
            let _ = request.into_body().collect().await;
            Response::new(Full::new(body))
        }
    });
    let proxy = proxy(&[endpoint.await.address], "");
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
