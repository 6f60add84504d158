//! When something breaks: retries, time-outs, resets, aborts, and that nothing stays in flight.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use support::{Client, Endpoint, in_flight, nobody, proxy, raw_endpoint, rows, shutdown, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn log(directory: &tempfile::TempDir) -> String {
    format!("[log]\ndirectory = '{}'\n", directory.path().display())
}

#[tokio::test]
async fn a_failed_connection_is_retried_on_another_endpoint_for_any_method() {
    let directory = tempfile::tempdir().unwrap();
    let alive = Endpoint::saying("alive").await;
    let proxy = proxy(&[nobody(), alive.address], &log(&directory));
    let mut client = Client::to(&proxy).await;
    for _ in 0..4 {
        assert_eq!(client.call("POST", "/orders", "body").await, (200, "alive".into()));
    }
    assert_eq!(alive.requests(), 4, "no request was sent twice");
    let metrics = proxy.metrics();
    assert!(metrics.retries >= 1 && metrics.requests == 4, "{metrics:?}");
    shutdown(proxy).await;
    let rows = rows(directory.path());
    assert_eq!(rows.len(), 4, "one row a request, retried or not");
    assert_eq!(rows.iter().filter(|row| row.attempts == 2).count() as u64, metrics.retries);
    assert!(rows.iter().all(|row| row.endpoint == alive.address.to_string() && row.request_bytes == 4), "{rows:?}");
}

#[tokio::test]
async fn a_reset_before_the_answer_is_retried_for_safe_methods_only() {
    let closes = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
    });
    let (closes, alive) = (closes.await, Endpoint::saying("alive").await);
    let proxy = proxy(&[closes, alive.address], "[balance.health]\nconsecutive_failures = 0\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await, (200, "alive".into()));
    }
    let mut statuses: Vec<u16> = Vec::new();
    for _ in 0..4 {
        statuses.push(client.call("POST", "/", "x").await.0);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502], "round robin, and no second try");
    shutdown(proxy).await;
}

#[tokio::test]
async fn retries_end_with_the_budget() {
    let proxy = proxy(&[nobody(), nobody(), nobody()], "[balance.health]\nconsecutive_failures = 0\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..200 {
        assert_eq!(client.get("/").await.0, 502);
    }
    let metrics = proxy.metrics();
    assert!((40..=55).contains(&metrics.retries), "{metrics:?}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_gives_504_in_time_and_a_timeout_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let silent = raw_endpoint(|mut stream| async move {
        let mut buffer = [0; 64];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    let more = format!("timeouts = {{ first_byte_ms = 100 }}\n{}", log(&directory));
    let proxy = proxy(&[silent.await], &more);
    let (status, text) = Client::to(&proxy).await.get("/slow").await;
    assert!(status == 504 && text.contains("first_byte_timeout"), "{status} {text}");
    assert_eq!(in_flight(&proxy), 0);
    shutdown(proxy).await;
    let rows = rows(directory.path());
    assert_eq!((rows[0].outcome.as_str(), rows[0].status, rows[0].first_byte_us), ("timeout", 504, 0));
    assert!(rows[0].latency_us >= 100_000, "{rows:?}");
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_by_the_total_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let stalls = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        let _ = stream.read(&mut [0; 1]).await;
    });
    let more = format!("timeouts = {{ total_ms = 150 }}\n{}", log(&directory));
    let proxy = proxy(&[stalls.await], &more);
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"half"), "the connection is cut, not the answer completed");
    shutdown(proxy).await;
    let rows = rows(directory.path());
    assert_eq!((rows[0].outcome.as_str(), rows[0].status, rows[0].response_bytes), ("timeout", 200, 4));
}

#[tokio::test]
async fn an_endpoint_that_resets_in_the_body_leaves_nothing_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let breaks = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    });
    let proxy = proxy(&[breaks.await], &log(&directory));
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"half"));
    until("the outcome", || proxy.metrics().connection_errors == 1).await;
    assert_eq!(in_flight(&proxy), 0);
    shutdown(proxy).await;
    assert_eq!(rows(directory.path())[0].outcome, "connection_error");
}

#[tokio::test]
async fn a_client_that_goes_away_before_or_in_the_answer_is_an_abort_and_leaves_nothing_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let slow = raw_endpoint(|mut stream| async move {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if buffer[..read].starts_with(b"GET /half") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
        let _ = stream.read(&mut buffer).await;
    });
    let proxy = proxy(&[slow.await], &log(&directory));
    for (count, path) in [(1, "/none"), (2, "/half")] {
        let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        until("the request", || in_flight(&proxy) == 1).await;
        if path == "/half" {
            let mut head = [0; 32];
            stream.read_exact(&mut head).await.unwrap();
        }
        drop(stream);
        until("the end", || proxy.metrics().client_aborts == count).await;
        assert_eq!(in_flight(&proxy), 0);
    }
    shutdown(proxy).await;
    let rows = rows(directory.path());
    assert!(rows.iter().all(|row| row.outcome == "client_abort"), "{rows:?}");
    assert_eq!((rows[0].status, rows[1].status), (0, 200));
}

#[tokio::test]
async fn nothing_stays_in_flight_whatever_hundreds_of_clients_do() {
    let endpoint = Endpoint::start(|request| async move {
        let wait = request.uri().path().len() as u64 % 7;
        let _ = request.into_body().collect().await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Response::new(Full::from("x".repeat(20_000)))
    });
    let (endpoint, dead) = (endpoint.await, nobody());
    let proxy = proxy(&[endpoint.address, dead], "policy = 'least_request'\n");
    let address = proxy.addresses()[0];
    let mut clients = tokio::task::JoinSet::new();
    for i in 0..300usize {
        clients.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            let path = "x".repeat(i % 11);
            let body = if i % 2 == 0 { "content-length: 3\r\n\r\nabc" } else { "\r\n" };
            let _ = stream.write_all(format!("POST /{path} HTTP/1.1\r\nhost: a\r\n{body}").as_bytes()).await;
            let mut buffer = vec![0; (i * 37) % 9_000];
            let _ = tokio::time::timeout(Duration::from_millis((i % 13) as u64), stream.read(&mut buffer)).await;
        });
    }
    while clients.join_next().await.is_some() {}
    until("the last end", || proxy.metrics().client_connections == 0).await;
    assert_eq!(in_flight(&proxy), 0);
    let metrics = proxy.metrics();
    let kinds = metrics.successes + metrics.server_errors + metrics.connection_errors + metrics.timeouts;
    assert_eq!(metrics.requests, kinds + metrics.client_aborts);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_slow_upload_is_no_slow_endpoint() {
    let endpoint = Endpoint::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body))
    });
    let proxy = proxy(&[endpoint.await.address], "timeouts = { first_byte_ms = 150 }\n");
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 8\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in b"slowbody" {
        tokio::time::sleep(Duration::from_millis(60)).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slowbody"), "{answer}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_off_is_the_clients_abort_and_no_fault_of_the_endpoint() {
    let endpoint = Endpoint::start(|request| async move {
        let _ = request.into_body().collect().await;
        Response::new(Full::from("late"))
    });
    let proxy = proxy(&[endpoint.await.address], "");
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    until("the request", || in_flight(&proxy) == 1).await;
    drop(stream);
    until("the abort", || proxy.metrics().client_aborts == 1).await;
    assert_eq!((proxy.metrics().connection_errors, in_flight(&proxy)), (0, 0));
    shutdown(proxy).await;
}
