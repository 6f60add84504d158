//! Emulated endpoints and the generator against each other, on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;
use tailcast_testbed::endpoint::{CacheSpec, EmulatedFleet, EndpointSpec, Mode};
use tailcast_testbed::load::{Failure, LoadOptions, LoadResult, Shot, Target, run};

fn shot(at_ms: u64, tenant: &str) -> Shot {
    Shot {
        at: Duration::from_millis(at_ms),
        tenant: Arc::from(tenant),
        route: Arc::from("/api/items/{id}"),
        method: Arc::from("GET"),
        body_bytes: 0,
        response_bytes: Some(10),
    }
}

fn fire(fleet: &EmulatedFleet, shots: &[Shot], timeout_ms: u64) -> LoadResult {
    let options = LoadOptions { timeout: Duration::from_millis(timeout_ms), ..LoadOptions::default() };
    run(shots, &Target::new(fleet.addresses()[0]), &options, &mut |_| {}).unwrap()
}

#[test]
fn workers_are_bounded_and_the_rest_waits_in_line() {
    let fleet = EmulatedFleet::start(vec![EndpointSpec::uniform("a", 2, 50.0)]).unwrap();
    let result = fire(&fleet, &[(); 6].map(|()| shot(0, "t")), 5_000);
    let counters = fleet.counters(0).unwrap();
    assert_eq!(counters.most_in_service, 2);
    assert!(counters.busy_us >= 300_000, "six services of 50 ms: {}", counters.busy_us);
    let mut latencies: Vec<u128> = result.samples.iter().map(|sample| sample.latency.as_millis()).collect();
    latencies.sort_unstable();
    assert!(latencies[0] >= 50 && latencies[5] >= 150, "three rounds of two: {latencies:?}");
    assert!(result.samples.iter().all(|sample| sample.status == 200 && sample.endpoint.as_deref() == Some("a")));
}

#[test]
fn a_full_queue_refuses() {
    let spec = EndpointSpec { queue: 1, ..EndpointSpec::uniform("a", 1, 100.0) };
    let fleet = EmulatedFleet::start(vec![spec]).unwrap();
    let result = fire(&fleet, &[(); 5].map(|()| shot(0, "t")), 5_000);
    let refused = result.samples.iter().filter(|sample| sample.status == 503).count();
    assert_eq!((refused, fleet.counters(0).unwrap().refused), (3, 3));
}

#[test]
fn a_tenant_is_slow_once_and_then_warm() {
    let cache = CacheSpec { tenants: 4, miss_factor: 20.0 };
    let spec = EndpointSpec { cache: Some(cache), ..EndpointSpec::uniform("a", 4, 10.0) };
    let fleet = EmulatedFleet::start(vec![spec]).unwrap();
    let result = fire(&fleet, &[shot(0, "acme"), shot(400, "acme"), shot(500, "globex")], 5_000);
    let millis: Vec<u128> = result.samples.iter().map(|sample| sample.latency.as_millis()).collect();
    assert!(millis[0] >= 200 && millis[1] < 150 && millis[2] >= 200, "{millis:?}");
    let counters = fleet.counters(0).unwrap();
    assert_eq!((counters.hits, counters.misses), (1, 2));
}

#[test]
fn a_brown_out_slows_and_ends() {
    let fleet = EmulatedFleet::start(vec![EndpointSpec::uniform("a", 4, 5.0)]).unwrap();
    let latency = |fleet: &EmulatedFleet| fire(fleet, &[shot(0, "t")], 5_000).samples[0].latency.as_millis();
    fleet.brown_out(0, 40.0);
    assert!(latency(&fleet) >= 200);
    fleet.brown_out(0, 1.0);
    assert!(latency(&fleet) < 200);
}

#[test]
fn faults_are_seen_for_what_they_are() {
    let fleet = EmulatedFleet::start(vec![EndpointSpec::uniform("a", 4, 1.0)]).unwrap();
    fleet.set_mode(0, Mode::FailFast);
    let failing = fire(&fleet, &[shot(0, "t")], 5_000);
    assert_eq!((failing.samples[0].status, failing.samples[0].failure), (503, None));
    assert!(failing.samples[0].is_error());
    fleet.set_mode(0, Mode::Reset);
    assert_eq!(fire(&fleet, &[shot(0, "t")], 5_000).samples[0].failure, Some(Failure::Broken));
    fleet.set_mode(0, Mode::Hang);
    let hanging = fire(&fleet, &[shot(0, "t")], 120);
    assert_eq!(hanging.samples[0].failure, Some(Failure::Timeout));
    assert!(hanging.samples[0].latency >= Duration::from_millis(120));
    let address = fleet.addresses()[0];
    drop(fleet);
    let gone = run(&[shot(0, "t")], &Target::new(address), &LoadOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(gone.samples[0].failure, Some(Failure::Connect));
}

/// The heart of an open loop: one worker that takes 100 ms and a request every 20 ms. A closed loop would report
/// 100 ms for each; here every request carries the wait of all before it.
#[test]
fn a_stall_shows_in_every_request_that_was_due_meanwhile() {
    let fleet = EmulatedFleet::start(vec![EndpointSpec::uniform("a", 1, 100.0)]).unwrap();
    let shots: Vec<Shot> = (0..8).map(|i| shot(i * 20, "t")).collect();
    let result = fire(&fleet, &shots, 5_000);
    for (i, sample) in result.samples.iter().enumerate() {
        let expected = 100 * (i as u128 + 1) - 20 * i as u128;
        assert!(sample.latency.as_millis() >= expected, "request {i}: {:?} < {expected}", sample.latency);
    }
}

#[test]
fn what_cannot_be_in_flight_is_counted_and_not_delayed() {
    let fleet = EmulatedFleet::start(vec![EndpointSpec::uniform("a", 1, 50.0)]).unwrap();
    let options = LoadOptions { max_in_flight: 2, ..LoadOptions::default() };
    let shots = [(); 5].map(|()| shot(0, "t"));
    let result = run(&shots, &Target::new(fleet.addresses()[0]), &options, &mut |_| {}).unwrap();
    assert_eq!((result.samples.len(), result.dropped), (2, 3));
}
