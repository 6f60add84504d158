//! Virtual hosts, prefixes and headers choose pools; routes have their own time limits and retries.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::{Request, Response};
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Client, Endpoint, in_flight, nobody, proxy, read, shutdown};
use tailcast_proxy::{Config, Proxy};

/// An endpoint that answers with this status.
async fn failing(status: u16) -> Endpoint {
    Endpoint::start(move |_| async move { Response::builder().status(status).body(Full::from("sick")).unwrap() }).await
}

#[tokio::test]
async fn hosts_prefixes_and_headers_choose_the_pool() {
    let endpoints = [Endpoint::saying("web").await, Endpoint::saying("api").await, Endpoint::saying("beta").await];
    let pools: String = endpoints
        .iter()
        .zip(["web", "api", "beta"])
        .map(|(endpoint, name)| format!("[[pool]]\nname = '{name}'\nendpoints = ['{}']\n", endpoint.address))
        .collect();
    let text = format!(
        "workers = 1\n[[listener]]\naddress = '127.0.0.1:0'\n{pools}\
         [[route]]\nhost = '*.example'\npath_prefix = '/api'\npool = 'api'\n\
         [[route]]\nhost = 'www.example'\nheaders = {{ x-channel = 'beta' }}\npool = 'beta'\n"
    );
    let proxy = Proxy::start(Config::parse(&text).unwrap()).unwrap();
    let mut client = Client::to(&proxy).await;
    for (host, path, channel, expected) in [
        ("a.example", "/api/x", "", "api"),
        ("A.EXAMPLE:8080", "/api", "", "api"),
        ("a.example", "/apix", "", "web"),
        ("example", "/api", "", "web"),
        ("www.example", "/", "beta", "beta"),
        ("www.example", "/", "stable", "web"),
    ] {
        let request = Request::get(path).header("host", host).header("x-channel", channel).body(Full::default());
        let answer = read(client.send(request.unwrap()).await.unwrap()).await;
        assert_eq!(answer, (200, expected.to_owned()), "{host}{path} {channel}");
    }
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_route_has_its_own_time_limit() {
    let slow = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("late"))
    });
    let more = "[[route]]\npath_prefix = '/fast'\npool = 'web'\ntimeouts = { first_byte_ms = 50 }\n";
    let proxy = proxy(&[slow.await.address], more);
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.get("/fast").await.0, 504);
    assert_eq!(client.get("/other").await, (200, "late".into()));
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_status_is_retried_on_another_endpoint_for_safe_methods_where_the_route_says_so() {
    let (sick, well) = (failing(503).await, Endpoint::saying("well").await);
    let more = "retries = { attempts = 2, on = ['503'] }\n[balance.health]\nconsecutive_failures = 0\n\
                [[route]]\npath_prefix = '/once'\npool = 'web'\nretries = { attempts = 1 }\n";
    let proxy = proxy(&[sick.address, well.address], more);
    let mut client = Client::to(&proxy).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await, (200, "well".into()));
    }
    let mut once = [client.get("/once").await.0, client.get("/once").await.0];
    once.sort_unstable();
    assert_eq!(once, [200, 503], "one try only");
    let mut posts = [client.call("POST", "/", "x").await.0, client.call("POST", "/", "x").await.0];
    posts.sort_unstable();
    assert_eq!(posts, [200, 503], "not safe");
    assert_eq!(in_flight(&proxy), 0);
    shutdown(proxy).await;
}

#[tokio::test]
async fn several_attempts_visit_different_endpoints_and_a_timeout_is_retried_only_on_demand() {
    let sick = [failing(503).await, failing(503).await, failing(503).await];
    let addresses = [sick[0].address, sick[1].address, sick[2].address, nobody()];
    let more = "retries = { attempts = 4, on = ['503', 'connect'] }\n[balance.health]\nconsecutive_failures = 0\n";
    let proxy = proxy(&addresses, more);
    // The last try decides what the client sees: 502 where it was nobody's turn, else the last 503.
    let (status, _) = Client::to(&proxy).await.get("/").await;
    assert!([502, 503].contains(&status), "{status}");
    assert!(sick.iter().all(|endpoint| endpoint.requests() == 1), "each once");
    assert_eq!(proxy.metrics().retries, 3);
    shutdown(proxy).await;

    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let slow_once = Endpoint::start(move |_| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            tokio::time::sleep(Duration::from_millis(if is_first { 2_000 } else { 0 })).await;
            Response::new(Full::from("ok"))
        }
    });
    let slow_once = slow_once.await;
    let other = Endpoint::saying("other").await;
    let more = "timeouts = { first_byte_ms = 100 }\nretries = { on = ['timeout'] }\n";
    let proxy = support::proxy(&[slow_once.address, other.address], more);
    let mut client = Client::to(&proxy).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.0, 200);
    }
    assert_eq!(proxy.metrics().retries, 1);
    shutdown(proxy).await;
}

#[tokio::test]
async fn the_budget_bounds_retries_of_statuses_too() {
    let sick = [failing(503).await, failing(503).await];
    let more = "retries = { attempts = 5, on = ['503'] }\n[balance.health]\nconsecutive_failures = 0\n";
    let proxy = proxy(&[sick[0].address, sick[1].address], more);
    let mut client = Client::to(&proxy).await;
    for _ in 0..100 {
        assert_eq!(client.get("/").await.0, 503);
    }
    let retries = proxy.metrics().retries;
    assert!((20..=35).contains(&retries), "{retries}");
    shutdown(proxy).await;
}
