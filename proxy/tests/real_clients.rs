//! What real clients make of the proxy: curl in both versions of HTTP, over TLS, uploading, and with a PROXY header.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use http::Response;
use http_body_util::{BodyExt, Full};
use std::process::Command;
use support::tls::Authority;
use support::{Endpoint, shutdown};
use tailcast_proxy::{Config, Proxy};

/// Runs curl; what it printed. `None` where this machine has none.
async fn curl(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            println!("skipped: no curl");
            None
        }
    }
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
    let pair = authority.issue("a", &["a.example"]);
    let text = format!(
        "workers = 2\ndrain_secs = 5\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\ncertificates = [{{ certificate = '{}', key = '{}' }}]\n\
         [[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\n\
         [[pool]]\nname = 'web'\nendpoints = ['{}']\n",
        pair.certificate.display(),
        pair.key.display(),
        endpoint.address
    );
    let proxy = Proxy::start(Config::parse(&text).unwrap()).unwrap();
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
