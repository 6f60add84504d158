//! Admission on real sockets: who waits is let in when a place is free, who cannot be served is told so, and when.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::sync::Arc;
use std::time::Duration;
use support::{Client, Endpoint, config_with, in_flight, shutdown, until};
use tailcast_proxy::{Proxy, RunningProxy};
use tokio::sync::Semaphore;

/// An endpoint that answers when a permit is given, and a proxy that lets one request in at a time.
async fn stand(admission: &str, classes: &str) -> (Endpoint, Arc<Semaphore>, RunningProxy) {
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| {
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.unwrap().forget();
            Response::new(Full::new(Bytes::from_static(b"ok")))
        }
    })
    .await;
    let pool = format!("[pool.admission]\ninitial_limit = 1\nmin_limit = 1\nmax_limit = 1\n{admission}\n{classes}");
    let proxy = Proxy::start(config_with("[admin]\naddress = '127.0.0.1:0'\n", &[endpoint.address], &pool)).unwrap();
    (endpoint, gate, proxy)
}

fn of(tenant: &str) -> Request<Full<Bytes>> {
    Request::builder().uri("/").header("host", "test").header("x-tenant", tenant).body(Full::default()).unwrap()
}

async fn ask(proxy: &RunningProxy, tenant: &'static str) -> tokio::task::JoinHandle<(u16, Option<String>)> {
    let mut client = Client::to(proxy).await;
    tokio::spawn(async move {
        let response = client.send(of(tenant)).await.unwrap();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry)
    })
}

/// The value of a sample of `/metrics` that starts so.
async fn sample(proxy: &RunningProxy, start: &str) -> u64 {
    let (_, page) = Client::connect(proxy.admin_address().unwrap()).await.get("/metrics").await;
    let line = page.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} is not in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn waiting(proxy: &RunningProxy) -> u64 {
    proxy.metrics().waiting
}

#[tokio::test]
async fn who_waits_is_let_in_when_a_place_is_free() {
    let (endpoint, gate, proxy) = stand("queue_interval_ms = 60000", "").await;
    let first = ask(&proxy, "a").await;
    until("the first at the endpoint", || endpoint.requests() == 1).await;
    let second = ask(&proxy, "b").await;
    until("the second in the queue", || waiting(&proxy) == 1).await;
    assert_eq!((endpoint.requests(), in_flight(&proxy)), (1, 1));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().0, 200);
    until("the second at the endpoint", || endpoint.requests() == 2).await;
    gate.add_permits(1);
    assert_eq!(second.await.unwrap().0, 200);
    assert_eq!((waiting(&proxy), proxy.metrics().shed), (0, 0));
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_wait_ends_with_503_and_a_full_queue_too_and_both_are_counted() {
    let (endpoint, gate, proxy) = stand("queue_interval_ms = 300\nqueue_requests = 1", "").await;
    let first = ask(&proxy, "a").await;
    until("the first at the endpoint", || endpoint.requests() == 1).await;
    let second = ask(&proxy, "b").await;
    until("the second in the queue", || waiting(&proxy) == 1).await;
    assert_eq!(ask(&proxy, "b").await.await.unwrap(), (503, Some("1".to_owned())), "its queue is full");
    assert_eq!(second.await.unwrap(), (503, Some("1".to_owned())), "it waited too long");
    let shed = "tailcast_shed_requests_total{pool=\"web\",class=\"default\",reason=";
    assert_eq!(sample(&proxy, &format!("{shed}\"queue_full\"")).await, 1);
    assert_eq!(sample(&proxy, &format!("{shed}\"queue_time\"")).await, 1);
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!((endpoint.requests(), proxy.metrics().shed), (1, 2));
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back_whether_it_waits_or_flies() {
    let (endpoint, gate, proxy) = stand("queue_interval_ms = 60000", "").await;
    let first = ask(&proxy, "a").await;
    until("the first at the endpoint", || endpoint.requests() == 1).await;
    let second = ask(&proxy, "b").await;
    until("the second in the queue", || waiting(&proxy) == 1).await;
    second.abort();
    until("the second gone", || waiting(&proxy) == 0).await;
    first.abort();
    until("the first gone", || in_flight(&proxy) == 0).await;
    let third = ask(&proxy, "c").await;
    until("the third at the endpoint", || endpoint.requests() == 2).await;
    gate.add_permits(2);
    assert_eq!(third.await.unwrap().0, 200);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_tenants_rate_and_pools_are_its_classs() {
    let classes = "[[pool]]\nname = 'other'\nendpoints = ['127.0.0.1:9']\n\
                   [[tenant_class]]\nname = 'trial'\ntenants = ['t']\nrequests_per_sec = 0.01\nburst = 1\n\
                   [[tenant_class]]\nname = 'elsewhere'\ntenants = ['e']\npools = ['other']\n";
    let (_endpoint, gate, proxy) = stand("", classes).await;
    gate.add_permits(9);
    assert_eq!(ask(&proxy, "t").await.await.unwrap(), (200, None));
    let (status, retry) = ask(&proxy, "t").await.await.unwrap();
    assert_eq!(status, 429);
    assert!((95..=100).contains(&retry.unwrap().parse::<u64>().unwrap()), "until the next token");
    assert_eq!(ask(&proxy, "x").await.await.unwrap().0, 200, "others are not concerned");
    assert_eq!(ask(&proxy, "e").await.await.unwrap().0, 403);
    assert_eq!(
        sample(&proxy, "tailcast_shed_requests_total{pool=\"web\",class=\"trial\",reason=\"rate_limited\"}").await,
        1
    );
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_flood_of_one_tenant_leaves_the_others_their_turn() {
    let (endpoint, gate, proxy) = stand("queue_interval_ms = 60000\nqueue_requests = 50", "").await;
    let _first = ask(&proxy, "flood").await;
    until("the first at the endpoint", || endpoint.requests() == 1).await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        flood.push(ask(&proxy, "flood").await);
    }
    until("the flood in the queue", || waiting(&proxy) == 20).await;
    let quiet = ask(&proxy, "quiet").await;
    until("the other in the queue", || waiting(&proxy) == 21).await;
    gate.add_permits(3);
    let (status, _) = tokio::time::timeout(Duration::from_secs(10), quiet).await.expect("it had its turn").unwrap();
    assert_eq!(status, 200);
    assert!(waiting(&proxy) >= 17);
    gate.add_permits(50);
    for one in flood {
        assert_eq!(one.await.unwrap().0, 200);
    }
    shutdown(proxy).await;
}
