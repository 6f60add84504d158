//! Endpoints that lie: each wrong answer has its expected one, and nobody gets an answer that was meant for another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Client, exchange, in_flight, proxy, raw_endpoint, shutdown, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An endpoint that answers every request with these bytes, and then closes the connection or keeps it.
async fn answering(bytes: &'static str, closes: bool) -> std::net::SocketAddr {
    raw_endpoint(move |mut stream| async move {
        let mut buffer = [0; 4_096];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            if stream.write_all(bytes.as_bytes()).await.is_err() || closes {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn answers_that_are_no_http_become_502_and_broken_bodies_end_the_connection() {
    for (name, bytes, expected) in [
        ("no HTTP", "hello\r\n\r\n", 502),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 502),
        ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", 502),
        ("a length of letters", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", 502),
        ("a NUL in a value", "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 0\r\n\r\n", 502),
        ("an obsolete fold", "HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\ncontent-length: 0\r\n\r\n", 502),
        ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n", 502),
        ("nothing", "", 502),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-le", 502),
        ("less than it says", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", 200),
        ("a chunk without an end", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", 200),
        ("a chunk size of letters", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 200),
        ("a body until the end", "HTTP/1.1 200 OK\r\n\r\nall of it", 200),
    ] {
        let proxy = proxy(&[answering(bytes, true).await], "retries = { attempts = 1 }\n");
        let answers = exchange(&proxy, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
        // A body that breaks at once takes its head along: the client sees the connection end either way.
        let is_cut = statuses.is_empty() && expected == 200;
        assert!(statuses == [expected] || is_cut, "{name}: {answers:?}");
        until("the end", || in_flight(&proxy) == 0 && proxy.metrics().requests == 1).await;
        let metrics = proxy.metrics();
        let is_whole = name == "a body until the end";
        assert_eq!(
            (metrics.successes, metrics.connection_errors),
            (u64::from(is_whole), u64::from(!is_whole)),
            "{name}"
        );
        shutdown(proxy).await;
    }
}

#[tokio::test]
async fn a_surplus_answer_is_never_given_to_the_next_request() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsurplus";
    let longer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst and more than it says";
    for bytes in [two, longer] {
        let proxy = proxy(&[answering(bytes, false).await], "[balance.health]\nconsecutive_failures = 0\n");
        let mut client = Client::to(&proxy).await;
        for _ in 0..20 {
            let (status, text) = client.get("/").await;
            // A connection that turns out to be poisoned while a request is sent on it costs that request at most.
            assert!((status, text.as_str()) == (200, "first") || status == 502, "{status} {text}");
        }
        assert!(proxy.metrics().endpoint_connects > 1, "a poisoned connection is not used again");
        assert_eq!(in_flight(&proxy), 0);
        shutdown(proxy).await;
    }
}

#[tokio::test]
async fn an_informational_answer_is_not_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let proxy = proxy(&[answering(early, false).await], "");
    let mut client = Client::to(&proxy).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await, (200, "ok".into()));
    }
    shutdown(proxy).await;
}
