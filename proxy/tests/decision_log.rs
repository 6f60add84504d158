//! The decision log, end to end: what is in it, that a shutdown loses nothing, and that a bad disk costs no request.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::{Request, Response};
use http_body_util::Full;
use std::fs;
use std::time::Duration;
use support::{Client, Endpoint, proxy, rows, shutdown, until};

fn log(directory: &std::path::Path) -> String {
    format!("[log]\ndirectory = '{}'\n", directory.display())
}

#[tokio::test]
async fn a_row_holds_who_asked_for_what_and_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(|request| async move {
        let status = if request.uri().path() == "/broken" { 500 } else { 200 };
        tokio::time::sleep(Duration::from_millis(20)).await;
        Response::builder().status(status).body(Full::from("twelve bytes")).unwrap()
    });
    let endpoint = endpoint.await;
    let proxy = proxy(&[endpoint.address], &log(directory.path()));
    let mut client = Client::to(&proxy).await;
    let request = Request::post("/users/8231/orders?x=1").header("host", "a").header("x-tenant", "acme inc");
    let response = client.send(request.body(Full::from("12345")).unwrap()).await.unwrap();
    assert_eq!(support::read(response).await.0, 200);
    assert_eq!(client.get("/broken").await.0, 500);
    shutdown(proxy).await;
    let rows = rows(directory.path());
    let first = &rows[0];
    assert_eq!((first.tenant.as_str(), first.route.as_str()), ("acme_inc", "/users/{id}/orders"));
    assert_eq!((first.method.as_str(), first.outcome.as_str(), first.status), ("POST", "success", 200));
    assert_eq!((first.request_bytes, first.response_bytes, first.attempts), (5, 12, 1));
    assert_eq!(first.endpoint, endpoint.address.to_string());
    assert!(first.first_byte_us >= 20_000 && first.latency_us >= first.first_byte_us, "{first:?}");
    assert_eq!((rows[1].tenant.as_str(), rows[1].outcome.as_str(), rows[1].status), ("default", "server_error", 500));
    assert_ne!(rows[0].request_id, rows[1].request_id);
}

#[tokio::test]
async fn a_graceful_shutdown_answers_what_is_in_flight_and_logs_every_request() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("late"))
    });
    let proxy = proxy(&[endpoint.await.address], &log(directory.path()));
    let address = proxy.addresses()[0];
    let clients: Vec<_> =
        (0..40).map(|_| tokio::spawn(async move { Client::connect(address).await.get("/").await })).collect();
    until("all requests", || support::in_flight(&proxy) == 40).await;
    // A connection that is idle must not hold the shutdown up.
    let idle = Client::connect(address).await;
    let started = std::time::Instant::now();
    shutdown(proxy).await;
    assert!(started.elapsed() < Duration::from_secs(4), "the drain time was not used up");
    for client in clients {
        assert_eq!(client.await.unwrap(), (200, "late".into()));
    }
    assert_eq!(rows(directory.path()).len(), 40);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
    drop(idle);
}

#[tokio::test]
async fn the_drain_time_bounds_a_shutdown_and_what_is_cut_is_logged_as_an_abort() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        Response::new(Full::from("never"))
    });
    let text = format!(
        "workers = 1\ndrain_secs = 0.2\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\nendpoints = ['{}']\n{}",
        endpoint.await.address,
        log(directory.path())
    );
    let proxy = tailcast_proxy::Proxy::start(tailcast_proxy::Config::parse(&text).unwrap()).unwrap();
    let mut client = Client::to(&proxy).await;
    let request = Request::get("/").header("host", "a").body(Full::default()).unwrap();
    let pending = tokio::spawn(async move { client.send(request).await.is_err() });
    until("the request", || support::in_flight(&proxy) == 1).await;
    let started = std::time::Instant::now();
    shutdown(proxy).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(pending.await.unwrap(), "the client sees that its request was cut");
    let rows = rows(directory.path());
    assert_eq!((rows.len(), rows[0].outcome.as_str()), (1, "client_abort"));
}

#[tokio::test]
async fn a_log_directory_that_cannot_be_used_costs_rows_and_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "a file where a directory should be").unwrap();
    let endpoint = Endpoint::saying("fine").await;
    let proxy = proxy(&[endpoint.address], &log(&path));
    let mut client = Client::to(&proxy).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.0, 200);
    }
    until("the loss", || proxy.metrics().log_dropped_rows >= 20).await;
    // The disk comes back while the proxy runs.
    fs::remove_file(&path).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while proxy.metrics().log_rows == 0 && std::time::Instant::now() < deadline {
        assert_eq!(client.get("/").await.0, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown(proxy).await;
    assert!(!rows(&path).is_empty());
}

#[tokio::test]
async fn what_a_killed_proxy_left_open_is_recovered_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::saying("hello").await;
    let first = proxy(&[endpoint.address], &log(directory.path()));
    let mut client = Client::to(&first).await;
    for _ in 0..10 {
        client.get("/").await;
    }
    until("the flush", || first.metrics().log_rows == 10).await;
    // What a kill would leave: the open segment as it is now, and a torn batch at its end.
    let mut open = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let open = open.find(|path| path.extension().is_some_and(|extension| extension == "arrow")).unwrap();
    let mut bytes = fs::read(&open).unwrap();
    bytes.extend_from_slice(&bytes.clone()[..100]);
    shutdown(first).await;
    let crashed = tempfile::tempdir().unwrap();
    fs::write(crashed.path().join("decisions-1-1-000001.arrow"), bytes).unwrap();

    let second = proxy(&[endpoint.address], &log(crashed.path()));
    until("the recovery", || second.metrics().log_recovered_rows == 10).await;
    shutdown(second).await;
    assert_eq!(rows(crashed.path()).len(), 10);
}

#[tokio::test]
async fn a_rotation_on_demand_gives_parquet_while_traffic_flows() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::saying("hello").await;
    let proxy = proxy(&[endpoint.address], &log(directory.path()));
    let mut client = Client::to(&proxy).await;
    for _ in 0..5 {
        client.get("/").await;
    }
    let proxy = tokio::task::spawn_blocking(move || {
        proxy.rotate_log();
        proxy
    });
    let proxy = proxy.await.unwrap();
    assert_eq!(rows(directory.path()).len(), 5);
    client.get("/").await;
    shutdown(proxy).await;
    assert_eq!(rows(directory.path()).len(), 6);
}

#[tokio::test]
async fn several_workers_share_the_port_and_write_one_log_without_losing_or_doubling_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::saying("hello").await;
    let text = format!(
        "workers = 3\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\npolicy = 'least_loaded'\n\
         endpoints = ['{}']\n{}",
        endpoint.address,
        log(directory.path())
    );
    let proxy = tailcast_proxy::Proxy::start(tailcast_proxy::Config::parse(&text).unwrap()).unwrap();
    let address = proxy.addresses()[0];
    let clients: Vec<_> = (0..30)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..10 {
                    assert_eq!(client.get("/").await.0, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(endpoint.connections.load(std::sync::atomic::Ordering::SeqCst) >= 2, "more than one worker was at work");
    shutdown(proxy).await;
    let mut ids: Vec<u64> = rows(directory.path()).iter().map(|row| row.request_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 300);
}
