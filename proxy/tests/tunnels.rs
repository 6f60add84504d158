//! Upgraded connections: bytes both ways, half-closed sides, silence, and their rows in the log.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{in_flight, proxy, raw_endpoint, rows, shutdown, until};
use tailcast_proxy::RunningProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An endpoint that switches protocols, says hello before anything is asked, and echoes until the other side ends.
async fn echo() -> std::net::SocketAddr {
    raw_endpoint(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        let _ = stream.write_all(answer.as_bytes()).await;
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.write_all(b"bye").await;
    })
    .await
}

/// A client whose connection was upgraded.
async fn upgraded(proxy: &RunningProxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    stream
}

#[tokio::test]
async fn bytes_flow_both_ways_a_half_closed_side_still_hears_the_answer_and_one_row_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = proxy(&[echo().await], &format!("[log]\ndirectory = '{}'\n", directory.path().display()));
    let mut stream = upgraded(&proxy).await;
    assert_eq!(in_flight(&proxy), 1);
    // More than all buffers on the way hold: without streaming this would stand still.
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let (mut from, mut to) = stream.split();
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(sending, from.read_to_end(&mut received));
    read.unwrap();
    assert_eq!(received.len(), sent.len() + 3);
    assert!(received.starts_with(&sent) && received.ends_with(b"bye"));
    until("the end", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    shutdown(proxy).await;
    let rows = rows(directory.path());
    let row = &rows[0];
    assert_eq!((rows.len(), row.outcome.as_str(), row.status), (1, "success", 101));
    assert_eq!((row.request_bytes, row.response_bytes), (3_000_000, 3_000_008));
    assert_eq!(row.latency_us, row.first_byte_us, "the handshake's latency, not the tunnel's life");
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_logged_as_a_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let more = format!(
        "timeouts = {{ tunnel_idle_ms = 100, total_ms = 10 }}\n[log]\ndirectory = '{}'\n",
        directory.path().display()
    );
    let proxy = proxy(&[echo().await], &more);
    let mut stream = upgraded(&proxy).await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed");
    until("the end", || in_flight(&proxy) == 0).await;
    shutdown(proxy).await;
    assert_eq!(rows(directory.path())[0].outcome, "timeout");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_tunnel() {
    let proxy = proxy(&[echo().await], "");
    let stream = upgraded(&proxy).await;
    drop(stream);
    until("the end", || in_flight(&proxy) == 0 && proxy.metrics().requests == 1).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_shutdown_cuts_tunnels_after_the_drain_time() {
    let text = format!(
        "workers = 1\ndrain_secs = 0.2\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\nendpoints = ['{}']\n",
        echo().await
    );
    let proxy = tailcast_proxy::Proxy::start(tailcast_proxy::Config::parse(&text).unwrap()).unwrap();
    let mut stream = upgraded(&proxy).await;
    let started = std::time::Instant::now();
    shutdown(proxy).await;
    assert!(started.elapsed() >= std::time::Duration::from_millis(190), "a tunnel is a connection that is waited for");
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_the_upgrade_is_heard_and_one_that_switches_unasked_is_not_trusted() {
    let refuses = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ = stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno").await;
    });
    let refusing = proxy(&[refuses.await], "");
    let answers = support::exchange(&refusing, HANDSHAKE.as_bytes()).await;
    assert_eq!(answers, [(426, "no".to_owned())]);
    shutdown(refusing).await;
    let switches = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ =
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
        let _ = stream.read(&mut [0; 1]).await;
    });
    let switching = proxy(&[switches.await], "");
    let answers = support::exchange(&switching, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [502]);
    shutdown(switching).await;
}
