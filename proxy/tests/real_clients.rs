//! What programs that were not made for these tests make of the proxy: curl, h2load, Python's sockets and its WebSocket
//! and gRPC packages. The scripts are in `tests/clients`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::clients::{Script, has_package, python, run, script};
use support::tls::Authority;
use support::{Endpoint, in_flight, proxy, shutdown, until};
use tailcast_proxy::{Config, Proxy, RunningProxy};

/// Runs curl; what it printed. `None` where this machine has none.
async fn curl(arguments: &[&str]) -> Option<String> {
    let always = ["--silent", "--show-error", "--max-time", "20"];
    Some(run("curl", &[&always, arguments].concat()).await?.success())
}

/// A proxy with a plain listener and one for `a.example` over TLS; `more` goes into its pool.
fn proxy_with_tls(authority: &Authority, endpoint: std::net::SocketAddr, more: &str) -> RunningProxy {
    let pair = authority.issue("a", &["a.example"]);
    let text = format!(
        "workers = 2\ndrain_secs = 5\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\ncertificates = [{{ certificate = '{}', key = '{}' }}]\n\
         [[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\n\
         [[pool]]\nname = 'web'\nendpoints = ['{endpoint}']\n{more}",
        pair.certificate.display(),
        pair.key.display(),
    );
    Proxy::start(Config::parse(&text).unwrap()).unwrap()
}

#[tokio::test]
async fn curl_gets_and_uploads_in_both_versions_with_and_without_tls() {
    let endpoint = Endpoint::start(|request| async move {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (client, proto) = (text("x-forwarded-for"), text("x-forwarded-proto"));
        let bytes = request.into_body().collect().await.unwrap().to_bytes().len();
        Response::new(Full::from(format!("{bytes} {client} {proto}")))
    });
    let endpoint = endpoint.await;
    let authority = Authority::new();
    let proxy = proxy_with_tls(&authority, endpoint.address, "");
    let [plain, secure, behind] = proxy.addresses() else { panic!("three listeners") };
    let ca = authority.file().display().to_string();
    let resolve = format!("a.example:{}:127.0.0.1", secure.port());
    let over_tls = ["--cacert", &ca, "--resolve", &resolve];
    let directory = tempfile::tempdir().unwrap();
    let upload = directory.path().join("upload");
    std::fs::write(&upload, vec![7; 5_000_000]).unwrap();
    let upload = format!("@{}", upload.display());
    let (http, https) = (format!("http://{plain}/"), format!("https://a.example:{}/", secure.port()));
    let version = ["--write-out", " %{http_version}"];
    for (arguments, expected) in [
        (vec!["--http1.1", &http], "0 127.0.0.1 http 1.1"),
        (vec!["--http2-prior-knowledge", &http], "0 127.0.0.1 http 2"),
        // curl asks to upgrade to h2c here; that is ignored, as it may be.
        (vec!["--http2", &http], "0 127.0.0.1 http 1.1"),
        (vec!["--http1.1", &https], "0 127.0.0.1 https 1.1"),
        (vec!["--http2", &https], "0 127.0.0.1 https 2"),
        (vec!["--http1.1", "--data-binary", &upload, &http], "5000000 127.0.0.1 http 1.1"),
        (
            vec!["--http1.1", "--header", "Transfer-Encoding: chunked", "--data-binary", &upload, &http],
            "5000000 127.0.0.1 http 1.1",
        ),
        (
            vec!["--http1.1", "--header", "Expect: 100-continue", "--data-binary", &upload, &http],
            "5000000 127.0.0.1 http 1.1",
        ),
        (vec!["--http2", "--data-binary", &upload, &https], "5000000 127.0.0.1 https 2"),
    ] {
        let arguments: Vec<&str> = arguments.into_iter().chain(version).chain(over_tls).collect();
        let Some(printed) = curl(&arguments).await else { return };
        assert_eq!(printed, expected, "{arguments:?}");
    }
    let printed = curl(&["--haproxy-protocol", &format!("http://{behind}/")]).await.unwrap();
    assert_eq!(printed, "0 127.0.0.1 http");
    assert!(curl(&["--head", &http]).await.unwrap().starts_with("HTTP/1.1 200"));
    shutdown(proxy).await;
}

/// Requests of one run of h2load.
const REQUESTS: u64 = 4_000;

#[tokio::test]
async fn h2load_gets_an_answer_to_each_of_its_requests_in_both_versions_with_and_without_tls() {
    let endpoint = Endpoint::start(|request| async move {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(bytes))
    });
    let authority = Authority::new();
    let proxy = proxy_with_tls(&authority, endpoint.await.address, "");
    let (plain, secure) = (proxy.addresses()[0], proxy.addresses()[1]);
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    std::fs::write(&body, vec![b'x'; 20_000]).unwrap();
    let (http, https) = (format!("http://{plain}/"), format!("https://{secure}/"));
    let upload = format!("--data={}", body.display());
    let mut expected = 0;
    for arguments in [
        vec!["--max-concurrent-streams=32", &http],
        vec!["--max-concurrent-streams=32", &https],
        vec!["--max-concurrent-streams=32", &upload, &http],
        vec!["--max-concurrent-streams=8", &upload, &https],
        vec!["--h1", &http],
        vec!["--h1", &https],
    ] {
        let (requests, clients) = (format!("--requests={REQUESTS}"), "--clients=16");
        let Some(ended) = run("h2load", &[&[&requests, clients], &arguments[..]].concat()).await else { return };
        let printed = ended.success();
        let all = format!("{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout");
        let statuses = format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx");
        assert!(printed.contains(&all) && printed.contains(&statuses), "{arguments:?}: {printed}");
        let version = if arguments[0] == "--h1" { "http/1.1" } else { "h2" };
        assert!(printed.to_lowercase().contains(&format!("protocol: {version}")), "{arguments:?}: {printed}");
        expected += REQUESTS;
    }
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.requests, metrics.successes, metrics.client_aborts), (expected, expected, 0));
    shutdown(proxy).await;
}

#[tokio::test]
async fn websocket_clients_talk_to_an_endpoint_through_the_tunnel() {
    let Some(mut endpoint) = Script::start("websocket_echo.py", &[]) else { return };
    // A reason to fail in CI only: the script has a client of its own for machines without the package.
    has_package("websockets").await;
    let proxy = proxy(&[endpoint.address().await], "");
    let address = proxy.addresses()[0].to_string();
    let printed = run(python(), &[script("websocket_calls.py"), address]).await.unwrap().success();
    assert!(printed.starts_with("frames\n"), "{printed}");
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn what_is_no_proper_http_is_refused_and_nothing_hidden_reaches_the_endpoint() {
    let smuggled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&smuggled);
    let endpoint = Endpoint::start(move |request| {
        counter.fetch_add(usize::from(request.uri().path().contains("smuggled")), Ordering::SeqCst);
        async move {
            let _ = request.into_body().collect().await;
            Response::new(Full::from("ok"))
        }
    });
    let proxy = proxy(&[endpoint.await.address], "[balance.health]\nconsecutive_failures = 0\n");
    let address = proxy.addresses()[0].to_string();
    let Some(ended) = run(python(), &[script("malformed.py"), address]).await else { return };
    ended.success();
    assert_eq!(smuggled.load(Ordering::SeqCst), 0);
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn grpc_calls_of_all_kinds_keep_messages_metadata_and_statuses_with_and_without_tls() {
    if !has_package("grpc").await {
        return;
    }
    let Some(mut service) = Script::start("grpc_shop.py", &[]) else { return };
    let authority = Authority::new();
    let proxy = proxy_with_tls(&authority, service.address().await, "protocol = 'http2'\n");
    let (plain, secure) = (proxy.addresses()[0].to_string(), proxy.addresses()[1].to_string());
    let ca = authority.file().display().to_string();
    for arguments in [vec![plain], vec![secure, ca]] {
        let arguments = [vec![script("grpc_calls.py")], arguments].concat();
        let printed = run(python(), &arguments).await.unwrap().success();
        assert!(printed.starts_with("calls "), "{printed}");
    }
    until("the ends", || in_flight(&proxy) == 0 && proxy.metrics().client_connections == 0).await;
    let metrics = proxy.metrics();
    assert!(metrics.requests >= 2 * 246 && metrics.connection_errors == 0, "{metrics:?}");
    shutdown(proxy).await;
}
