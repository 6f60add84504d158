//! What goes through the proxy: bodies, headers, connections, statuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::sync::atomic::Ordering;
use support::{Client, Endpoint, nobody, proxy, raw_endpoint, read, shutdown, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "shop.example")
}

#[tokio::test]
async fn bodies_of_any_size_arrive_unchanged_both_ways() {
    let echo = Endpoint::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body))
    });
    let proxy = proxy(&[echo.await.address], "");
    let mut client = Client::to(&proxy).await;
    for size in [0, 1, 1_000, 3_000_000] {
        let body: Bytes = (0..size).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
        let sent = client.send(request("POST", "/echo").body(Full::new(body.clone())).unwrap()).await.unwrap();
        assert_eq!(sent.into_body().collect().await.unwrap().to_bytes(), body);
    }
    shutdown(proxy).await;
}

#[tokio::test]
async fn the_endpoint_sees_forwarding_headers_and_no_hop_by_hop_ones() {
    let show = Endpoint::start(|request| async move {
        let mut seen: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        seen.sort();
        let text = format!("{} {}\n{}", request.method(), request.uri(), seen.join("\n"));
        Response::builder().header("connection", "close").header("x-private", "1").body(Full::from(text)).unwrap()
    });
    let proxy = proxy(&[show.await.address], "");
    let mut client = Client::to(&proxy).await;
    let sent = request("GET", "/a/b?c=d").header("connection", "x-hop").header("x-hop", "1").header("x-kept", "2");
    let response = client.send(sent.body(Full::default()).unwrap()).await.unwrap();
    assert!(response.headers().contains_key("via") && !response.headers().contains_key("connection"));
    assert!(!response.headers().contains_key("x-tailcast-endpoint"), "off by default");
    let (_, text) = read(response).await;
    assert!(text.starts_with("GET /a/b?c=d\n"), "{text}");
    for expected in
        ["host=shop.example", "x-forwarded-for=127.0.0.1", "x-forwarded-host=shop.example", "x-kept=2", "x-request-id="]
    {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("x-hop") && !text.contains("connection="), "{text}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn many_requests_share_few_connections() {
    let endpoint = Endpoint::saying("hello").await;
    let proxy = proxy(&[endpoint.address], "");
    let mut client = Client::to(&proxy).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await, (200, "hello".into()));
    }
    assert_eq!(endpoint.requests(), 50);
    assert!(endpoint.connections.load(Ordering::SeqCst) <= 2, "one, and one for a race at most");
    let metrics = proxy.metrics();
    assert_eq!((metrics.requests, metrics.successes), (50, 50));
    assert!(metrics.endpoint_reuses >= 48, "{metrics:?}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_connection_that_the_endpoint_closed_while_idle_costs_no_request() {
    // Answers one request a connection, without saying so, and closes.
    let address = raw_endpoint(|mut stream| async move {
        let mut buffer = [0; 4_096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let proxy = proxy(&[address.await], "[balance.health]\nconsecutive_failures = 1\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..30 {
        assert_eq!(client.get("/").await, (200, "ok".into()));
    }
    assert_eq!(proxy.metrics().connection_errors, 0);
    shutdown(proxy).await;
}

#[tokio::test]
async fn head_no_content_and_not_modified_have_no_body_and_end_at_once() {
    let endpoint = Endpoint::start(|request| async move {
        let status = match request.uri().path() {
            "/none" => 204,
            "/same" => 304,
            _ => 200,
        };
        let body = if status == 200 { "twelve bytes" } else { "" };
        Response::builder().status(status).body(Full::from(body)).unwrap()
    });
    let proxy = proxy(&[endpoint.await.address], "");
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.call("HEAD", "/", "").await, (200, String::new()));
    assert_eq!(client.get("/none").await.0, 204);
    assert_eq!(client.get("/same").await.0, 304);
    assert_eq!(client.get("/").await, (200, "twelve bytes".into()));
    assert_eq!(proxy.metrics().successes, 4);
    shutdown(proxy).await;
}

#[tokio::test]
async fn routes_choose_the_pool_and_the_endpoint_is_named_if_asked_for() {
    let (web, api) = (Endpoint::saying("web").await, Endpoint::saying("api").await);
    let text = format!(
        "workers = 1\nname_endpoint = true\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [[pool]]\nname = 'web'\nendpoints = ['{}']\n[[pool]]\nname = 'api'\nendpoints = [{{ address = '{}', name = 'api-1' }}]\n\
         [[route]]\npath_prefix = '/api'\npool = 'api'\n",
        web.address, api.address
    );
    let proxy = tailcast_proxy::Proxy::start(tailcast_proxy::Config::parse(&text).unwrap()).unwrap();
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.get("/x").await.1, "web");
    let response = client.send(request("GET", "/api/x").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-tailcast-endpoint"], "api-1");
    assert_eq!(read(response).await.1, "api");
    shutdown(proxy).await;
}

#[tokio::test]
async fn what_a_reverse_proxy_must_not_serve_is_refused_with_its_reason() {
    let endpoint = Endpoint::saying("never").await;
    let proxy = proxy(&[endpoint.address], "");
    for (raw, status, reason) in [
        ("CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n", "405", "connect_refused"),
        ("GET / HTTP/1.1\r\n\r\n", "400", "bad_request"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400", "bad_request"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        stream.write_all(raw.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 2_048];
        let read = stream.read(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains(reason), "{raw:?} gave {text:?}");
    }
    assert_eq!(endpoint.requests(), 0);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_pool_of_dead_endpoints_answers_502_and_names_why() {
    let proxy = proxy(&[nobody(), nobody()], "");
    let mut client = Client::to(&proxy).await;
    let (status, text) = client.get("/").await;
    assert_eq!(status, 502);
    assert!(text.contains("connect_failed"), "{text}");
    until("the requests' end", || proxy.metrics().connection_errors == 1).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn the_admin_listener_shows_and_changes_state() {
    let endpoint = Endpoint::saying("hello").await;
    let proxy = proxy(&[endpoint.address], "[admin]\naddress = '127.0.0.1:0'\n");
    Client::to(&proxy).await.get("/").await;
    let mut admin = Client::connect(proxy.admin_address().unwrap()).await;
    assert_eq!(admin.get("/healthz").await.0, 200);
    assert_eq!(admin.get("/readyz").await.0, 200);
    let (status, page) = admin.get("/metrics").await;
    assert!(status == 200 && page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("tailcast_requests_total{pool=\"web\",outcome=\"success\"} 1\n"), "{page}");
    assert_eq!(admin.call("PUT", "/pools/web/policy", "peak_ewma").await.0, 200);
    let (_, status) = admin.get("/status").await;
    assert!(status.contains("\"policy\": \"peak_ewma\"") && status.contains(&endpoint.address.to_string()), "{status}");
    let (refused, why) = admin.call("PUT", "/pools/web/policy", "magic").await;
    assert!(refused == 400 && why.contains("round_robin"), "{why}");
    let (missing, why) = admin.call("PUT", "/pools/nope/policy", "random").await;
    assert!(missing == 404 && why.contains("web"), "{why}");
    assert_eq!(admin.get("/pools/web/policy").await.0, 405);
    let (refused, why) = admin.call("POST", "/model/reload", "").await;
    assert!(refused == 422 && why.contains("no model is configured"), "{why}");
    assert_eq!(admin.get("/nothing").await.0, 404);
    shutdown(proxy).await;
}

#[tokio::test]
async fn old_clients_and_requests_without_a_path_are_served() {
    let chunked = raw_endpoint(|mut stream| async move {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let line = String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(format!("{head}{:x}\r\n{line}\r\n0\r\n\r\n", line.len()).as_bytes()).await;
    });
    let proxy = proxy(&[chunked.await], "");
    for (request, seen) in [
        // Knows no chunks: the body goes to the end of the connection.
        ("GET /old HTTP/1.0\r\nhost: a\r\n\r\n", "GET /old HTTP/1.1"),
        ("GET /none HTTP/1.0\r\n\r\n", "GET /none HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "OPTIONS * HTTP/1.1"),
        ("GET http://b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "GET / HTTP/1.1"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(seen), "{request:?} gave {answer:?}");
        assert_eq!(answer.contains("chunked"), request.contains("1.1"), "{answer}");
    }
    shutdown(proxy).await;
}
