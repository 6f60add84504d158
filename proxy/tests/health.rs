//! Active checks, outliers, drains, limits of connections: who gets requests, and who does not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{Client, Endpoint, nobody, proxy, raw_endpoint, shutdown, until};
use tailcast_proxy::{EndpointStatus, RunningProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An endpoint whose health page answers 200 or 503 by a switch; other pages answer its name.
async fn switchable(name: &'static str) -> (Endpoint, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&well);
    let endpoint = Endpoint::start(move |request| {
        let is_check = request.uri().path() == "/healthz";
        let status = if is_check && !switch.load(Ordering::SeqCst) { 503 } else { 200 };
        async move { Response::builder().status(status).body(Full::from(name)).unwrap() }
    });
    (endpoint.await, well)
}

fn status(proxy: &RunningProxy, slot: usize) -> EndpointStatus {
    proxy.status().pools[0].endpoints[slot].clone()
}

/// Names of the endpoints that answered so many requests, sorted and without repeats.
async fn who_answers(proxy: &RunningProxy, requests: usize) -> Vec<String> {
    let mut client = Client::to(proxy).await;
    let mut names = Vec::new();
    for _ in 0..requests {
        names.push(client.get("/").await.1);
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_passes_them_again() {
    let ((a, well), (b, _)) = (switchable("a").await, switchable("b").await);
    let check = "health_check = { kind = 'http', path = '/healthz', interval_ms = 20, unhealthy_after = 2 }\n";
    let proxy = proxy(&[a.address, b.address], &format!("{check}[balance.health]\npanic_ratio = 0.1\n"));
    assert_eq!(who_answers(&proxy, 4).await, ["a", "b"]);
    well.store(false, Ordering::SeqCst);
    until("the fall", || !status(&proxy, 0).healthy).await;
    assert_eq!(who_answers(&proxy, 6).await, ["b"]);
    well.store(true, Ordering::SeqCst);
    until("the rise", || status(&proxy, 0).healthy).await;
    assert_eq!(who_answers(&proxy, 4).await, ["a", "b"]);
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_check_by_connection_finds_nobody_and_when_all_are_sick_all_are_tried() {
    let alive = Endpoint::saying("alive").await;
    let check = "health_check = { kind = 'tcp', interval_ms = 20, unhealthy_after = 1 }\n";
    let more = format!("{check}[balance.health]\nconsecutive_failures = 0\npanic_ratio = 0.1\n");
    let one_of_two = proxy(&[nobody(), alive.address], &more);
    until("the fall", || !status(&one_of_two, 0).healthy).await;
    assert_eq!(who_answers(&one_of_two, 6).await, ["alive"]);
    assert_eq!(one_of_two.metrics().retries, 0);
    shutdown(one_of_two).await;
    // The page that is checked is missing everywhere: a mistake in the check must not take the service down.
    let check = "health_check = { kind = 'http', path = '/x', status = 204, interval_ms = 20, unhealthy_after = 1 }\n";
    let all_sick = proxy(&[alive.address], check);
    until("the fall", || !status(&all_sick, 0).healthy).await;
    assert_eq!(who_answers(&all_sick, 3).await, ["alive"]);
    shutdown(all_sick).await;
}

#[tokio::test]
async fn a_slow_endpoint_that_answers_200_is_ejected_as_an_outlier() {
    let mut endpoints = Vec::new();
    for (name, millis) in [("a", 1), ("b", 1), ("c", 1), ("slow", 40)] {
        let endpoint = Endpoint::start(move |_| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Response::new(Full::from(name))
        });
        endpoints.push(endpoint.await);
    }
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let more = "[balance.health]\nejection_ms = 60000\n[balance.health.outlier]\ninterval_ms = 200\nmin_requests = 3\n\
                latency_ratio = 4.0\nlatency_intervals = 2\n";
    let proxy = proxy(&addresses, more);
    let mut client = Client::to(&proxy).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while status(&proxy, 3).ejections == 0 {
        assert!(std::time::Instant::now() < deadline, "not ejected: {:?}", proxy.status());
        for _ in 0..8 {
            assert_eq!(client.get("/").await.0, 200);
        }
    }
    assert_eq!(who_answers(&proxy, 9).await, ["a", "b", "c"]);
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_is_drained_and_put_back_by_the_admin_listener() {
    let ((a, _), (b, _)) = (switchable("a").await, switchable("b").await);
    let proxy = proxy(&[a.address, b.address], "[admin]\naddress = '127.0.0.1:0'\n");
    let mut admin = Client::connect(proxy.admin_address().unwrap()).await;
    let path = format!("/pools/web/endpoints/{}/drain", a.address);
    assert_eq!(admin.call("PUT", &path, "").await.0, 200);
    assert!(status(&proxy, 0).draining);
    assert_eq!(who_answers(&proxy, 6).await, ["b"]);
    let (_, page) = admin.get("/metrics").await;
    assert!(page.contains(&format!("tailcast_endpoint_open{{pool=\"web\",endpoint=\"{}\"}} 0\n", a.address)), "{page}");
    assert_eq!(admin.call("DELETE", &path, "").await.0, 200);
    assert_eq!(who_answers(&proxy, 4).await, ["a", "b"]);
    let (missing, why) = admin.call("PUT", "/pools/web/endpoints/nope/drain", "").await;
    assert!(missing == 404 && why.contains(&b.address.to_string()), "{why}");
    proxy.drain("web", &a.address.to_string(), true).unwrap();
    proxy.drain("web", &b.address.to_string(), true).unwrap();
    let (status, why) = Client::to(&proxy).await.get("/").await;
    assert!(status == 503 && why.contains("taken out of service"), "nobody is left, and a drain is an order: {why}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn connections_to_an_endpoint_stay_within_their_limit() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, highest) = (Arc::clone(&open), Arc::clone(&most));
    let endpoint = raw_endpoint(move |mut stream| {
        let (count, highest) = (Arc::clone(&count), Arc::clone(&highest));
        async move {
            highest.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut buffer = [0; 4_096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
            count.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let proxy = proxy(&[endpoint.await], "connections = { max_per_endpoint = 3 }\n");
    let address = proxy.addresses()[0];
    let clients: Vec<_> =
        (0..12).map(|_| tokio::spawn(async move { Client::connect(address).await.get("/").await.0 })).collect();
    let mut statuses = Vec::new();
    for client in clients {
        statuses.push(client.await.unwrap());
    }
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 3, "{statuses:?}");
    assert!(statuses.contains(&503) && most.load(Ordering::SeqCst) <= 3, "{statuses:?}");
    assert_eq!(Client::to(&proxy).await.get("/").await.0, 200, "there is room again");
    assert_eq!(proxy.metrics().connection_errors, 0, "our own limit is no fault of the endpoint");
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_every_other_request_is_ejected_by_its_share_of_successes() {
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c", "flaky"] {
        let calls = Arc::new(AtomicUsize::new(0));
        let endpoint = Endpoint::start(move |_| {
            let fails = name == "flaky" && calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
            let status = if fails { 500 } else { 200 };
            async move { Response::builder().status(status).body(Full::from(name)).unwrap() }
        });
        endpoints.push(endpoint.await);
    }
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let more = "[balance.health]\nejection_ms = 60000\n[balance.health.outlier]\ninterval_ms = 100\nmin_requests = 5\n\
                success_ratio = 0.8\n";
    let proxy = proxy(&addresses, more);
    let mut client = Client::to(&proxy).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while status(&proxy, 3).ejections == 0 {
        assert!(std::time::Instant::now() < deadline, "not ejected: {:?}", proxy.status());
        for _ in 0..8 {
            client.get("/").await;
        }
    }
    assert_eq!(who_answers(&proxy, 9).await, ["a", "b", "c"]);
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_joins_gets_a_small_share_at_first() {
    let (a, b) = (Endpoint::saying("a").await, Endpoint::saying("b").await);
    let slow_start = "[balance.health]\nslow_start_ms = 600000\n";
    let proxy = proxy(&[a.address], slow_start);
    // Port 0 was resolved by the system, so the listener of the configuration is still the same.
    proxy.reload(support::config(&[a.address, b.address], slow_start)).unwrap();
    let mut client = Client::to(&proxy).await;
    for _ in 0..300 {
        assert_eq!(client.get("/").await.0, 200);
    }
    let share = b.requests();
    assert!((1..=60).contains(&share), "{share} of 300 instead of half");
    shutdown(proxy).await;
}
