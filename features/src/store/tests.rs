//! Behaviour of the store seen through its rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::hash::hash_name;
use crate::outcome::OutcomeKind;
use proptest::prelude::*;
use std::time::Duration;

fn facts(names: &[&str]) -> Vec<EndpointFacts> {
    names.iter().map(|name| EndpointFacts { key: hash_name(name), weight: 1.0, zone_local: None }).collect()
}

fn request(tenant: &str, route: &str) -> RequestFacts {
    RequestFacts::new(tenant, route, "GET", None, 0)
}

fn success(ms: u64) -> Outcome {
    Outcome { kind: OutcomeKind::Success, status: 200, latency: Duration::from_millis(ms) }
}

fn row_of(store: &FeatureStore, facts: &RequestFacts, slot: usize, now: Tick) -> Row {
    let mut row = [0.0; FEATURE_COUNT];
    store.row(&store.view(facts, now), slot, Load::default(), now, &mut row);
    row
}

fn serve(store: &mut FeatureStore, request: &RequestFacts, slot: usize, key: u64, ms: u64, now: Tick) {
    let view = store.view(request, now);
    store.dispatched(slot, now);
    let end = now.after(Duration::from_millis(ms));
    store.completed(&view, key, now, &success(ms), end);
}

#[test]
fn what_is_unknown_is_missing_and_not_zero() {
    let store = FeatureStore::new(&facts(&["a"]), StoreLimits::default(), Tick::ZERO);
    let row = row_of(&store, &request("t", "/r"), 0, Tick::ZERO);
    for name in [index::ROUTE_COST, index::LATENCY_EWMA, index::REPORTED_IN_FLIGHT, index::ENDPOINT_RESIDUAL] {
        assert!(row[name].is_nan(), "{}", crate::FEATURES[name].name);
    }
    assert_eq!(row[index::IN_FLIGHT], 0.0);
    assert_eq!(row[index::REQUEST_SIZE], 0.0, "a GET without a body has size zero");
}

#[test]
fn a_pair_that_is_slow_shows_in_its_own_residual_only() {
    let names = facts(&["a", "b"]);
    let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
    for i in 0..200u64 {
        let now = Tick::from_secs_f64(i as f64 * 0.1);
        // The tenant "cold" is five times slower on "a"; "warm" is equal on both.
        serve(&mut store, &request("cold", "/r"), 0, names[0].key, 50, now);
        serve(&mut store, &request("cold", "/r"), 1, names[1].key, 10, now);
        serve(&mut store, &request("warm", "/r"), 0, names[0].key, 20, now);
        serve(&mut store, &request("warm", "/r"), 1, names[1].key, 20, now);
    }
    let now = Tick::from_secs_f64(20.0);
    let cold_a = row_of(&store, &request("cold", "/r"), 0, now)[index::TENANT_ENDPOINT_RESIDUAL];
    let cold_b = row_of(&store, &request("cold", "/r"), 1, now)[index::TENANT_ENDPOINT_RESIDUAL];
    let warm_a = row_of(&store, &request("warm", "/r"), 0, now)[index::TENANT_ENDPOINT_RESIDUAL];
    assert!(cold_a - cold_b > 1.2, "ln 5 = 1.6, seen {}", cold_a - cold_b);
    assert!(warm_a.abs() < 0.2, "{warm_a}");
}

#[test]
fn an_error_teaches_the_error_rate_and_no_latency() {
    let names = facts(&["a"]);
    let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
    let view = store.view(&request("t", "/r"), Tick::ZERO);
    store.dispatched(0, Tick::ZERO);
    let failed = Outcome { kind: OutcomeKind::ServerError, status: 503, latency: Duration::from_micros(300) };
    store.completed(&view, names[0].key, Tick::ZERO, &failed, Tick::ZERO);
    let row = row_of(&store, &request("t", "/r"), 0, Tick::ZERO);
    assert_eq!(row[index::ERROR_RATE], 1.0);
    assert!(row[index::LATENCY_EWMA].is_nan());
}

#[test]
fn the_oldest_unfinished_request_ages_and_goes() {
    let names = facts(&["a"]);
    let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
    let view = store.view(&request("t", "/r"), Tick::ZERO);
    store.dispatched(0, Tick::ZERO);
    let later = Tick::from_secs_f64(1.0);
    store.dispatched(0, later);
    let oldest = |store: &FeatureStore| row_of(store, &request("t", "/r"), 0, later)[index::OLDEST_IN_FLIGHT];
    assert!((oldest(&store) - 1001f32.ln()).abs() < 1e-4);
    store.completed(&view, names[0].key, Tick::ZERO, &success(1_000), later);
    assert_eq!(oldest(&store), 0.0);
}

#[test]
fn an_endpoint_keeps_its_state_when_its_slot_or_weight_changes() {
    let names = facts(&["a", "b"]);
    let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
    serve(&mut store, &request("t", "/r"), 1, names[1].key, 30, Tick::ZERO);
    let mut changed = vec![names[1], EndpointFacts { key: 99, weight: 3.0, zone_local: Some(true) }];
    changed[0].weight = 1.0;
    store.set_endpoints(&changed, Tick::ZERO);
    let row = row_of(&store, &request("t", "/r"), 0, Tick::ZERO);
    assert!((row[index::LATENCY_EWMA] - 30f32.ln()).abs() < 1e-4);
    assert_eq!(row[index::WEIGHT], 0.5);
    assert!((row[index::TENANT_ENDPOINT_COUNT] - 2f32.ln()).abs() < 1e-6, "its pairs come along");
    assert_eq!(row_of(&store, &request("t", "/r"), 1, Tick::ZERO)[index::ZONE_LOCAL], 1.0);
}

#[test]
fn peak_ewma_jumps_up_at_once_and_comes_down_slowly() {
    let names = facts(&["a"]);
    let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
    serve(&mut store, &request("t", "/r"), 0, names[0].key, 10, Tick::ZERO);
    serve(&mut store, &request("t", "/r"), 0, names[0].key, 100, Tick::ZERO);
    serve(&mut store, &request("t", "/r"), 0, names[0].key, 10, Tick::ZERO);
    let peak = store.peak_ewma_ms(0, Tick::from_secs_f64(0.11));
    assert!(peak > 90.0, "{peak}");
    assert!(store.peak_ewma_ms(0, Tick::from_secs_f64(20.0)) < 30.0);
}

proptest! {
    /// The parity that training relies on: the same events give the same bits.
    #[test]
    fn replaying_the_same_events_gives_bit_equal_rows(
        events in prop::collection::vec((0u8..4, 0u8..3, 0usize..3, 1u64..500, 0u64..50), 1..200)
    ) {
        let names = facts(&["a", "b", "c"]);
        let run = || {
            let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
            let mut now = Tick::ZERO;
            let mut rows = Vec::new();
            for (tenant, route, slot, ms, gap) in &events {
                now = now.after(Duration::from_millis(*gap));
                let request = request(&format!("t{tenant}"), &format!("/r{route}"));
                rows.push(row_of(&store, &request, *slot, now).map(f32::to_bits));
                serve(&mut store, &request, *slot, names[*slot].key, *ms, now);
            }
            rows
        };
        prop_assert_eq!(run(), run());
    }

    /// What a policy scored is what the log holds: the columns of all candidates are the rows, to the bit.
    #[test]
    fn columns_hold_the_bits_of_the_rows(
        events in prop::collection::vec((0u8..4, 0u8..3, 0usize..40, 1u64..500, 0u64..5_000, 0u8..4), 1..200),
        left_out in prop::collection::btree_set(0usize..40, 0..39),
    ) {
        let names: Vec<EndpointFacts> =
            (0..40).map(|i| EndpointFacts { key: 1 + i, weight: 1.0 + i as f32, zone_local: Some(i % 2 == 0) }).collect();
        let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
        let mut now = Tick::ZERO;
        for (tenant, route, slot, ms, gap, kind) in &events {
            now = now.after(Duration::from_millis(*gap));
            let request = request(&format!("t{tenant}"), &format!("/r{route}"));
            match kind {
                0 => store.reported(*slot, LoadReport { in_flight: *ms as f32, utilisation: f32::NAN }, now),
                1 => store.dispatched(*slot, now),
                _ => serve(&mut store, &request, *slot, names[*slot].key, *ms, now),
            }
        }
        let in_flight: Vec<u32> = (0..40).map(|slot| slot * 7 % 5).collect();
        let mut columns = Columns::default();
        let some: Vec<usize> = (0..40).filter(|slot| !left_out.contains(slot)).collect();
        for slots in [(0..40).collect(), some] {
            for tenant in ["t0", "t3", "unknown"] {
                let view = store.view(&request(tenant, "/r1"), now);
                store.columns(&view, &slots, &in_flight, 1.5, now, &mut columns);
                prop_assert_eq!(columns.len(), slots.len());
                for (candidate, slot) in slots.iter().enumerate() {
                    let mut row = [0.0; FEATURE_COUNT];
                    let load = Load { in_flight: in_flight[*slot], pool_mean: 1.5 };
                    store.row(&view, *slot, load, now, &mut row);
                    prop_assert_eq!(columns.row(candidate).map(f32::to_bits), row.map(f32::to_bits));
                }
            }
        }
    }

    #[test]
    fn features_are_finite_or_missing_never_infinite(
        ms in 0u64..10_000_000, bytes in any::<u64>(), unix_us in any::<i64>()
    ) {
        let names = facts(&["a"]);
        let mut store = FeatureStore::new(&names, StoreLimits::default(), Tick::ZERO);
        let request = RequestFacts::new("t", "/r", "POST", Some(bytes), unix_us);
        serve(&mut store, &request, 0, names[0].key, ms, Tick::ZERO);
        let row = row_of(&store, &request, 0, Tick::from_nanos(u64::MAX));
        prop_assert!(row.iter().all(|value| !value.is_infinite()), "{:?}", row);
    }
}
