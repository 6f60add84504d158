//! What a client may ask for: sizes, times, early answers, half-closed connections.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::{BodyExt, Full};
use std::time::{Duration, Instant};
use support::{Client, Endpoint, config_with, exchange, in_flight, proxy, raw_endpoint, shutdown, until};
use tailcast_proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn echo() -> Endpoint {
    Endpoint::start(|request| async move {
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        Response::new(Full::new(body.unwrap_or_default()))
    })
    .await
}

#[tokio::test]
async fn heads_that_are_too_large_have_too_many_fields_or_never_end_are_refused_with_431() {
    let endpoint = Endpoint::saying("ok").await;
    let proxy =
        Proxy::start(config_with("[limits]\nheader_bytes = 4096\nheaders = 20\n", &[endpoint.address], "")).unwrap();
    let head = |fields: String| format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
    let statuses = |answers: Vec<(u16, String)>| answers.into_iter().map(|answer| answer.0).collect::<Vec<_>>();
    assert_eq!(statuses(exchange(&proxy, head("x: 1\r\n".repeat(17)).as_bytes()).await), [200]);
    assert_eq!(statuses(exchange(&proxy, head("x: 1\r\n".repeat(30)).as_bytes()).await), [431]);
    assert_eq!(statuses(exchange(&proxy, head(format!("x: {}\r\n", "y".repeat(5_000))).as_bytes()).await), [431]);
    // A head that never ends: the client goes on until it is cut.
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let mut sent = 0;
    while sent < 10_000_000
        && stream.write_all(&[b"x: "[..].to_vec(), vec![b'y'; 1_000], b"\r\n".to_vec()].concat()).await.is_ok()
    {
        sent += 1_000;
    }
    assert!(sent < 10_000_000, "the client was not stopped");
    assert_eq!(endpoint.requests(), 1);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_client_that_sends_its_head_drop_by_drop_is_cut_by_the_header_time() {
    let endpoint = Endpoint::saying("ok").await;
    let proxy = Proxy::start(config_with("[limits]\nheader_secs = 0.2\n", &[endpoint.address], "")).unwrap();
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let started = Instant::now();
    let mut drops = b"GET / HTTP/1.1\r\nhost: a\r\nx: 1".iter().cycle();
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    let mut answer = Vec::new();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut answer) => if !matches!(read, Ok(1..)) { break },
            _ = interval.tick() => if stream.write_all(&[*drops.next().unwrap()]).await.is_err() { break },
        }
        assert!(started.elapsed() < Duration::from_secs(5), "still open");
    }
    assert!(started.elapsed() >= Duration::from_millis(190));
    assert_eq!(endpoint.requests(), 0);
    until("the close", || proxy.metrics().client_connections == 0).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_whether_its_length_is_told_or_not() {
    let endpoint = echo().await;
    let more = "[[route]]\npath_prefix = '/large'\npool = 'web'\nbody_bytes = 0\n";
    let proxy = Proxy::start(config_with("[limits]\nbody_bytes = 10\n", &[endpoint.address], more)).unwrap();
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.call("POST", "/", "ten bytes.").await, (200, "ten bytes.".into()));
    assert_eq!(client.call("POST", "/large", "more than ten bytes").await.0, 200, "the route allows any");
    let before = endpoint.requests();
    let (status, text) = Client::to(&proxy).await.call("POST", "/", "more than ten bytes").await;
    assert!(status == 413 && text.contains("10 bytes"), "{text}");
    assert_eq!(endpoint.requests(), before, "refused by its length, before the endpoint heard of it");
    let chunked =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsix...\r\n6\r\nsix...\r\n0\r\n\r\n";
    let answers = exchange(&proxy, chunked.as_bytes()).await;
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [413]);
    let metrics = proxy.metrics();
    assert_eq!((in_flight(&proxy), metrics.connection_errors), (0, 0), "no fault of the endpoint: {metrics:?}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn the_body_is_asked_for_with_100_continue_only_when_it_is_wanted() {
    let endpoint = echo().await;
    let proxy = Proxy::start(config_with("[limits]\nbody_bytes = 10\n", &[endpoint.address], "")).unwrap();
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 3\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = vec![0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("abc"), "{answer}");
    let refused = exchange(&proxy, head.replace("length: 3", "length: 30").as_bytes()).await;
    assert_eq!(refused[0].0, 413, "no 100 before it: {refused:?}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_answer_before_the_request_has_ended_is_handed_on_and_nothing_is_left_over() {
    let early = raw_endpoint(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ =
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearly").await;
        let mut rest = [0; 4_096];
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    });
    let proxy = proxy(&[early.await], "");
    let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nsome").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 403"));
    drop(stream);
    until("the end", || in_flight(&proxy) == 0 && proxy.metrics().requests == 1).await;
    assert_eq!(proxy.metrics().successes, 1);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_client_that_has_closed_its_sending_side_is_served_where_that_is_configured() {
    let slow = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("late"))
    });
    let slow = slow.await;
    for (number, (limits, is_served)) in [("[limits]\nhalf_close = true\n", true), ("", false)].into_iter().enumerate()
    {
        let proxy = Proxy::start(config_with(limits, &[slow.address], "")).unwrap();
        let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        // An end that comes with the head is a client that went before it asked.
        until("the request", || slow.requests() > number).await;
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert_eq!(answer.ends_with("late"), is_served, "{limits}: {answer}");
        until("the end", || in_flight(&proxy) == 0 && proxy.metrics().requests == 1).await;
        assert_eq!(proxy.metrics().client_aborts, u64::from(!is_served));
        shutdown(proxy).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_or_reads_too_slowly_is_cut_and_lets_the_endpoint_go() {
    let large = Endpoint::start(|_| async move { Response::new(Full::from(vec![b'x'; 64_000_000])) });
    let large = large.await;
    for (limits, more, trickles) in
        [("[limits]\nsend_secs = 0.3\n", "", false), ("", "timeouts = { total_ms = 300 }\n", true)]
    {
        let proxy = Proxy::start(config_with(limits, &[large.address], more)).unwrap();
        let mut stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        until("the request", || in_flight(&proxy) == 1).await;
        let cut = async { until("the cut", || in_flight(&proxy) == 0).await };
        let reading = async {
            let mut buffer = vec![0; 300_000];
            if trickles {
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        break;
                    }
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = cut => {}
            () = reading => {}
        }
        let metrics = proxy.metrics();
        let expected = if trickles { (0, 1) } else { (1, 0) };
        assert_eq!((metrics.client_aborts, metrics.timeouts), expected, "{limits}{more}");
        shutdown(proxy).await;
    }
}
