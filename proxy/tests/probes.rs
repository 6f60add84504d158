//! Load reports: those that come with answers, and those that probes fetch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Client, Endpoint, proxy, shutdown};

/// An endpoint that tells its load to probes only.
async fn probed(in_flight: u32, probes: Arc<AtomicUsize>) -> Endpoint {
    Endpoint::start(move |request| {
        let probes = Arc::clone(&probes);
        async move {
            let mut response = Response::new(Full::<Bytes>::from("x"));
            if request.uri().path() == "/load" {
                assert_eq!(request.headers()["user-agent"], "tailcast-probe");
                probes.fetch_add(1, Ordering::SeqCst);
                let report = format!("TEXT named_metrics.in_flight={in_flight}");
                response.headers_mut().insert("endpoint-load-metrics", HeaderValue::try_from(report).unwrap());
            }
            response
        }
    })
    .await
}

#[tokio::test]
async fn a_probed_load_that_others_made_keeps_requests_away() {
    let (asked, unused) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
    let busy = probed(50, Arc::clone(&asked)).await;
    let idle = [probed(0, Arc::clone(&unused)).await, probed(0, unused).await];
    let endpoints = [busy.address, idle[0].address, idle[1].address];
    let proxy = proxy(&endpoints, "policy = 'predictive'\nprobes = { path = '/load', per_request = 2.0 }\n");
    let mut client = Client::to(&proxy).await;
    // Until the busy one was asked, all look alike.
    while asked.load(Ordering::SeqCst) < 3 {
        assert_eq!(client.get("/").await.0, 200);
    }
    let served = || busy.requests() - asked.load(Ordering::SeqCst);
    let before = served();
    for _ in 0..60 {
        assert_eq!(client.get("/").await.0, 200);
    }
    assert!(served() - before <= 6, "{} of 60 went where fifty of others are in service", served() - before);
    let metrics = proxy.metrics();
    assert!(metrics.probes >= 120 && metrics.probe_failures == 0, "{metrics:?}");
    shutdown(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_on_probes_keeps_no_request_waiting() {
    let hanging = Endpoint::start(|request| async move {
        if request.uri().path() == "/load" {
            std::future::pending::<()>().await;
        }
        Response::new(Full::<Bytes>::from("x"))
    })
    .await;
    let proxy = proxy(&[hanging.address], "probes = { path = '/load', per_request = 1.0, timeout_ms = 20 }\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..200 {
        assert_eq!(client.get("/").await.0, 200);
    }
    support::until("failed probes", || proxy.metrics().probe_failures > 0).await;
    shutdown(proxy).await;
}
