//! Socket activation: a service manager opens the socket, the proxy serves on it, and a restart loses no connection.
//!
//! The manager is this test; the service is this test's own binary, started again as a child that runs one ignored
//! test. A shell puts the socket where systemd would and knows its own process id.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use support::Endpoint;
use tailcast_proxy::{Config, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A service that got the socket, as systemd would start it.
fn service(socket: &std::net::TcpListener, config: &str) -> Child {
    let script = "exec 3<&0; export LISTEN_FDS=1 LISTEN_PID=$$; \
                  exec \"$0\" --exact the_service_that_is_activated --ignored --nocapture";
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .env("TAILCAST_TEST_CONFIG", config)
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the service that the other test starts"]
fn the_service_that_is_activated() {
    let Ok(config) = std::env::var("TAILCAST_TEST_CONFIG") else { return };
    let proxy = Proxy::start(Config::parse(&config).unwrap()).unwrap();
    // Ends with the request that says so, or with the manager's patience.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while proxy.metrics().requests < 2 && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    proxy.shutdown();
}

async fn get(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_service_serves_on_the_socket_that_it_was_given_and_a_restart_refuses_nobody() {
    let endpoint = Endpoint::saying("activated").await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let config = format!(
        "workers = 2\ndrain_secs = 5\n[[listener]]\naddress = '{address}'\n[[pool]]\nname = 'web'\nendpoints = ['{}']\n",
        endpoint.address
    );
    for round in 0..2 {
        // Nobody serves yet; the connection waits in the manager's socket.
        let early = tokio::spawn(get(address));
        let mut child = service(&socket, &config);
        let answer = early.await.unwrap();
        assert!(answer.ends_with("activated"), "{round}: {answer}");
        assert!(get(address).await.ends_with("activated"));
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(ended.success());
    }
    assert_eq!(endpoint.requests(), 4);
}
