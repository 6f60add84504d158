//! Requests that try to be read in two ways, as raw bytes: each has its expected answer, and the endpoint never sees a
//! request that was hidden in another.
//!
//! Every hidden request asks for `/smuggled`; the endpoint counts what it sees of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Endpoint, exchange, proxy, shutdown};

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// What is sent, and what must come back: the statuses of all answers on the connection, in order.
struct Case {
    name: &'static str,
    sent: String,
    statuses: &'static [u16],
    /// Requests that the endpoint may see.
    seen: usize,
}

fn case(name: &'static str, sent: impl Into<String>, statuses: &'static [u16], seen: usize) -> Case {
    Case { name, sent: sent.into(), statuses, seen }
}

fn corpus() -> Vec<Case> {
    let get = |head: &str| format!("GET / HTTP/1.1\r\n{head}\r\n\r\n");
    let post = |head: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n{body}");
    let hidden = |head: &str, body: &str| post(head, &format!("{body}{HIDDEN}"));
    let chunked = "transfer-encoding: chunked";
    vec![
        // Two lengths. Where both framings are given, chunked wins and the connection ends with the answer
        // (RFC 9112 §6.3), so that nothing after the body is read as a request.
        case("length then chunked", hidden(&format!("content-length: 5\r\n{chunked}"), "0\r\n\r\n"), &[200], 1),
        case("chunked then length", hidden(&format!("{chunked}\r\ncontent-length: 5"), "0\r\n\r\n"), &[200], 1),
        case("two lengths that differ", hidden("content-length: 0\r\ncontent-length: 5", ""), &[400], 0),
        case("a list of lengths", hidden("content-length: 0, 5", ""), &[400], 0),
        case("a negative length", hidden("content-length: -1", ""), &[400], 0),
        case("a signed length", hidden("content-length: +0", ""), &[400], 0),
        case("a length in hex", hidden("content-length: 0x0", ""), &[400], 0),
        case("an overflowing length", hidden("content-length: 18446744073709551616", ""), &[400], 0),
        case("a length of no digits", hidden("content-length: ", ""), &[400], 0),
        // Transfer codings.
        case("an unknown coding", hidden("transfer-encoding: xchunked", "0\r\n\r\n"), &[400], 0),
        case("identity after chunked", hidden("transfer-encoding: chunked, identity", "0\r\n\r\n"), &[400], 0),
        case("two coding fields", hidden(&format!("{chunked}\r\ntransfer-encoding: identity"), "0\r\n\r\n"), &[400], 0),
        case("space before the colon", hidden("transfer-encoding : chunked", "0\r\n\r\n"), &[400], 0),
        case("a vertical tab before the coding", hidden("transfer-encoding: \x0bchunked", "0\r\n\r\n"), &[400], 0),
        case(
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
            0,
        ),
        // Chunks: the head was fine, so the endpoint may have seen its own request, never the hidden one.
        case("a chunk size that overflows", hidden(chunked, "fffffffffffffffff\r\n"), &[400], 1),
        case("a chunk size that is no number", hidden(chunked, "xyz\r\n"), &[400], 1),
        case("a chunk that is longer than it says", hidden(chunked, "1\r\nabc\r\n0\r\n\r\n"), &[400], 1),
        case("a bare line feed after the size", hidden(chunked, "1\nb\r\n0\r\n\r\n"), &[400], 1),
        case(
            "a chunk extension",
            post(&format!("{chunked}\r\nconnection: close"), "3;a=b\r\nabc\r\n0\r\n\r\n"),
            &[200],
            1,
        ),
        case("trailers", post(&format!("{chunked}\r\nconnection: close"), "0\r\nhost: b\r\n\r\n"), &[200], 1),
        // Lines and names.
        case("an obsolete fold", get("host: a\r\nx: 1\r\n folded: 2"), &[400], 0),
        case("a fold of the length", hidden("content-length:\r\n 0", ""), &[400], 0),
        case("a NUL in a value", get("host: a\r\nx: 1\0"), &[400], 0),
        case("a NUL in a name", get("host: a\r\nx\0y: 1"), &[400], 0),
        case("a bare carriage return", get("host: a\r\nx: 1\ry: 2"), &[400], 0),
        case("a name with a space", get("host: a\r\nx y: 1"), &[400], 0),
        case("no colon", get("host: a\r\nnonsense"), &[400], 0),
        case("a space in the target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", &[400], 0),
        case("no version", "GET /\r\nhost: a\r\n\r\n", &[400], 0),
        case("an unknown version", "GET / HTTP/9.9\r\nhost: a\r\n\r\n", &[400], 0),
        case("a control byte in the method", "G\x01T / HTTP/1.1\r\nhost: a\r\n\r\n", &[400], 0),
        // Hosts.
        case("two hosts", get("host: a\r\nhost: b"), &[400], 0),
        case("the same host twice", get("host: a\r\nhost: a"), &[400], 0),
        case("no host", get("x: 1"), &[400], 0),
        case("a host with user information", get("host: a@b"), &[400], 0),
        case("a host with a path", get("host: a/b"), &[400], 0),
        case("absolute form", "GET http://b/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", &[200], 1),
        case("no path", "GET b HTTP/1.1\r\nhost: a\r\n\r\n", &[400], 0),
        case("CONNECT", "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n", &[405], 0),
    ]
}

#[tokio::test]
async fn each_ambiguous_request_gets_its_answer_and_no_hidden_request_is_seen() {
    let smuggled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&smuggled);
    let endpoint = Endpoint::start(move |request| {
        let is_smuggled = request.uri().path() == "/smuggled";
        counter.fetch_add(usize::from(is_smuggled), Ordering::SeqCst);
        async move {
            let _ = request.into_body().collect().await;
            Response::new(Full::from("ok"))
        }
    });
    let endpoint = endpoint.await;
    let proxy = proxy(&[endpoint.address], "[balance.health]\nconsecutive_failures = 0\n");
    let mut wrong = Vec::new();
    for Case { name, sent, statuses, seen } in corpus() {
        let before = endpoint.requests();
        let answers = exchange(&proxy, sent.as_bytes()).await;
        let was_seen = endpoint.requests() - before;
        let found: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
        if found != statuses || was_seen > seen || smuggled.swap(0, Ordering::SeqCst) != 0 {
            wrong.push(format!("{name}: expected {statuses:?}, got {answers:?}, endpoint saw {was_seen} of {seen}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    shutdown(proxy).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_each_is_sent_once() {
    let endpoint = Endpoint::start(|request| async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::from(format!("{path}{}", String::from_utf8_lossy(&body))))
    });
    let endpoint = endpoint.await;
    let proxy = proxy(&[endpoint.address], "");
    let sent = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
                POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
                GET /4 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = exchange(&proxy, sent.as_bytes()).await;
    let expected = [(200, "/1"), (200, "/2abc"), (200, "/3x"), (200, "/4")];
    assert_eq!(answers, expected.map(|(status, body)| (status, body.to_owned())));
    assert_eq!(endpoint.requests(), 4);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_bare_line_feed_ends_a_line_for_us_and_the_endpoint_gets_it_whole() {
    // RFC 9112 §2.2 allows it to a recipient; what goes on is written anew, so nobody behind reads it otherwise.
    let endpoint = Endpoint::saying("ok").await;
    let proxy = proxy(&[endpoint.address], "");
    let answers = exchange(&proxy, b"GET / HTTP/1.1\nhost: a\nconnection: close\n\n").await;
    assert_eq!(answers, [(200, "ok".to_owned())]);
    shutdown(proxy).await;
}
