//! What comes before a request: the PROXY header and limits of connections.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::Full;
use support::{Client, Endpoint, config_with, shutdown, until};
use tailcast_proxy::{Config, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An endpoint that says for whom it was asked.
async fn whose() -> Endpoint {
    Endpoint::start(|request| async move {
        let client = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
        Response::new(Full::from(client))
    })
    .await
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_proxy_header_names_the_client_and_a_connection_without_it_is_closed() {
    let endpoint = whose().await;
    let text = format!(
        "workers = 1\n[limits]\nheader_secs = 0.3\n[[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\n\
         [[pool]]\nname = 'web'\nendpoints = ['{}']\n",
        endpoint.address
    );
    let proxy = Proxy::start(Config::parse(&text).unwrap()).unwrap();
    let address = proxy.addresses()[0];
    let v4 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 8, 10, 0, 0, 1, 0x13, 0x88, 0, 80]].concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::1 ::1 5000 80\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v4, "192.0.2.8"),
        (local, "127.0.0.1"),
    ] {
        // In two pieces, as networks do.
        for cut in [0, 5, header.len()] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let sent = [&header[..], REQUEST].concat();
            stream.write_all(&sent[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&sent[cut..]).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with(client), "{client} {cut}: {answer}");
        }
    }
    let served = endpoint.requests();
    for wrong in [REQUEST, b"PROXY TCP4 nonsense\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", b"PROXY TCP4 1.2"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(wrong).await.unwrap();
        let mut answer = Vec::new();
        // Closed at once where it is wrong, after the time for a head where it does not end.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(endpoint.requests(), served);
    assert_eq!(proxy.metrics().client_connections_refused, 4);
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_address_may_have_only_so_many_connections() {
    let endpoint = whose().await;
    let limits = "[limits]\nconnections_per_address = 2\n";
    let proxy = Proxy::start(config_with(limits, &[endpoint.address], "")).unwrap();
    let (mut first, mut second) = (Client::to(&proxy).await, Client::to(&proxy).await);
    assert_eq!((first.get("/").await.0, second.get("/").await.0), (200, 200));
    let mut third = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
    assert_eq!(third.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed");
    assert_eq!(proxy.metrics().client_connections_refused, 1);
    assert_eq!(first.get("/").await.0, 200);
    drop(first);
    until("room", || proxy.metrics().client_connections == 1).await;
    assert_eq!(Client::to(&proxy).await.get("/").await.0, 200);
    shutdown(proxy).await;
}
