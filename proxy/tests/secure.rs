//! TLS on both sides: names, reloads, certificates of clients, and who is not trusted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use support::tls::{Authority, Pair, connect};
use support::{Endpoint, shutdown, until};
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::TlsConnector;

fn proxy(tls: &str, endpoint: SocketAddr, pool: &str) -> RunningProxy {
    let text = format!(
        "workers = 1\ndrain_secs = 2\n[[listener]]\naddress = '127.0.0.1:0'\n{tls}\
         [[pool]]\nname = 'web'\nendpoints = ['{endpoint}']\n{pool}"
    );
    Proxy::start(Config::parse(&text).unwrap()).unwrap()
}

fn certificates(pairs: &[&Pair]) -> String {
    let one =
        |pair: &&Pair| format!("{{ certificate = '{}', key = '{}' }}", pair.certificate.display(), pair.key.display());
    format!("[listener.tls]\ncertificates = [{}]\n", pairs.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// One request over TLS; the answer and the names in the certificate that the proxy showed.
async fn get(proxy: &RunningProxy, client: &TlsConnector, name: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = connect(client, proxy.addresses()[0], name).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok((answer, shown))
}

fn holds(certificate: &[u8], name: &str) -> bool {
    certificate.windows(name.len()).any(|window| window == name.as_bytes())
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name_and_the_endpoint_is_told_that_it_was_https() {
    let authority = Authority::new();
    let (a, b) = (authority.issue("a", &["a.example"]), authority.issue("b", &["b.example", "*.b.example"]));
    let show = Endpoint::start(|request| async move {
        let proto = request.headers()["x-forwarded-proto"].to_str().unwrap().to_owned();
        Response::new(Full::from(proto))
    });
    let proxy = proxy(&certificates(&[&a, &b]), show.await.address, "");
    let client = authority.client(&[], None);
    for (name, shown) in [("a.example", "a.example"), ("b.example", "b.example"), ("x.b.example", "b.example")] {
        let (answer, certificate) = get(&proxy, &client, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("https"), "{answer}");
        assert!(holds(&certificate, shown), "{name}");
    }
    // Another name gets the first certificate, and its client refuses that.
    assert!(get(&proxy, &client, "c.example").await.is_err());
    // Plain HTTP on a TLS port, and TLS that nobody trusts, cost a counter.
    let stranger = Authority::new().client(&[], None);
    assert!(get(&proxy, &stranger, "a.example").await.is_err());
    until("the refusals", || proxy.metrics().client_connections_refused == 2).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_a_restart_and_a_bad_one_is_refused() {
    let authority = Authority::new();
    let pair = authority.issue("a", &["a.example", "old.example"]);
    let endpoint = Endpoint::saying("ok").await;
    let proxy = proxy(&certificates(&[&pair]), endpoint.address, "");
    let client = authority.client(&[], None);
    assert!(holds(&get(&proxy, &client, "a.example").await.unwrap().1, "old.example"));
    let mut open = connect(&client, proxy.addresses()[0], "a.example").await.unwrap();

    std::fs::write(&pair.certificate, "no certificate").unwrap();
    until("the refusal", || proxy.metrics().config_refusals == 1).await;
    assert!(holds(&get(&proxy, &client, "a.example").await.unwrap().1, "old.example"));

    authority.issue("a", &["a.example", "new.example"]);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !holds(&get(&proxy, &client, "a.example").await.unwrap().1, "new.example") {
        assert!(std::time::Instant::now() < deadline, "the old certificate is still shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The connection from before still works.
    open.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn clients_are_asked_for_certificates_where_that_is_configured() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let pair = authority.issue("a", &["a.example"]);
    let endpoint = Endpoint::saying("ok").await;
    let with_ca = format!("{}client_ca = '{}'\n", certificates(&[&pair]), clients.file().display());
    let shown = clients.issue("client", &["client"]);
    let foreign = authority.issue("foreign", &["client"]);
    for (more, without) in [("", false), ("client_certificate = 'optional'\n", true)] {
        let proxy = proxy(&format!("{with_ca}{more}"), endpoint.address, "");
        let answer = |pair| {
            let client = authority.client(&[], pair);
            let proxy = &proxy;
            async move { get(proxy, &client, "a.example").await.is_ok_and(|(answer, _)| answer.ends_with("ok")) }
        };
        assert!(answer(Some(&shown)).await);
        assert_eq!(answer(None).await, without, "{more}");
        assert!(!answer(Some(&foreign)).await, "signed by someone else");
        shutdown(proxy).await;
    }
}

/// An endpoint behind TLS that says which protocol it was spoken to in.
async fn secure_endpoint(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    let text = format!("{:?} {}", request.version(), request.uri().authority().is_some());
                    Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(text)))
                });
                let io = TokioIo::new(stream);
                if is_http2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, service).await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn endpoints_are_spoken_to_over_tls_in_either_version_with_a_certificate_of_ours() {
    let authority = Authority::new();
    let (own, shown) = (authority.issue("endpoint", &["127.0.0.1"]), authority.issue("proxy", &["proxy"]));
    let endpoint = secure_endpoint(authority.acceptor(&own, &[b"h2", b"http/1.1"], true)).await;
    let ca = authority.file();
    let certificate = format!("certificate = '{}', key = '{}'", shown.certificate.display(), shown.key.display());
    let mut client;
    for (protocol, expected) in [("http1", "HTTP/1.1 false"), ("http2", "HTTP/2.0 true")] {
        let check = "health_check = { kind = 'http', interval_ms = 20, unhealthy_after = 1, healthy_after = 1 }\n";
        let pool = format!("protocol = '{protocol}'\ntls = {{ ca = '{}', {certificate} }}\n{check}", ca.display());
        let proxy = proxy("", endpoint, &pool);
        client = support::Client::to(&proxy).await;
        for _ in 0..5 {
            assert_eq!(client.get("/x").await, (200, expected.to_owned()));
        }
        assert_eq!(proxy.metrics().endpoint_connects, 1, "kept");
        // Checks speak as requests do.
        until("checks", || proxy.metrics().health_checks > 3).await;
        assert_eq!(proxy.metrics().health_check_failures, 0);
        shutdown(proxy).await;
    }
    // Without our certificate the endpoint refuses us; under another name, or signed by another, we refuse it.
    let stranger = Authority::new();
    for tls in [
        format!("ca = '{}'", ca.display()),
        format!("ca = '{}', server_name = 'other.example', {certificate}", ca.display()),
        format!("ca = '{}', {certificate}", stranger.file().display()),
    ] {
        let proxy = proxy("", endpoint, &format!("tls = {{ {tls} }}\n"));
        let (status, text) = support::Client::to(&proxy).await.get("/").await;
        assert_eq!(status, 502, "{tls}: {text}");
        shutdown(proxy).await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (listener, pool, expected) in [
        (
            format!("[listener.tls]\ncertificates = [{{ certificate = '{0}', key = '{0}' }}]\n", empty.display()),
            String::new(),
            "TLS of listener 0",
        ),
        (String::new(), format!("tls = {{ ca = '{}' }}\n", empty.display()), "TLS of pool \"web\""),
        (String::new(), "tls = { ca = 'no/such.pem' }\n".to_owned(), "no/such.pem"),
    ] {
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n{listener}[[pool]]\nname = 'web'\nendpoints = ['127.0.0.1:9']\n{pool}"
        );
        let error = Proxy::start(Config::parse(&text).unwrap()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
