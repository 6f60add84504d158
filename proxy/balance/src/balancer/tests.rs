//! Behaviour of a balancer, on simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::endpoint::EndpointSpec;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;
use tailcast_features::OutcomeKind;
use tailcast_model::ModelParts;
use tailcast_model::forest::{Forest, ForestParts, Split, Tree};

fn pool(count: usize) -> Vec<Arc<Endpoint>> {
    (0..count)
        .map(|i| {
            let spec = EndpointSpec { name: format!("e{i}"), weight: 1.0, zone: None };
            Arc::new(Endpoint::new(&spec, 2))
        })
        .collect()
}

fn balancer(count: usize, policy: PolicyKind, seed: u64) -> Balancer {
    let options = BalancerOptions { policy, ..BalancerOptions::default() };
    Balancer::new(pool(count), options, 0, seed, Tick::ZERO)
}

fn request() -> RequestFacts {
    RequestFacts::new("acme", "/r", "GET", None, 0)
}

fn outcome(kind: OutcomeKind, ms: u64) -> Outcome {
    Outcome { kind, status: 200, latency: Duration::from_millis(ms) }
}

#[test]
fn round_robin_serves_everybody_equally_even_around_an_ejected_endpoint() {
    let mut balancer = balancer(4, PolicyKind::RoundRobin, 1);
    let mut decision = Decision::default();
    for _ in 0..5 {
        balancer.health.observe(2, true, &balancer.options.health.clone(), Tick::ZERO);
    }
    let mut served: HashMap<String, u32> = HashMap::new();
    for _ in 0..300 {
        balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
        *served.entry(decision.endpoint().unwrap().name().to_owned()).or_default() += 1;
        assert!((decision.propensity() - 1.0 / 3.0).abs() < 1e-6);
    }
    assert_eq!(served.len(), 3);
    assert!(served.values().all(|count| *count == 100), "{served:?}");
}

#[test]
fn least_loaded_fills_the_emptiest_and_dropping_a_decision_releases() {
    let mut balancer = balancer(3, PolicyKind::LeastLoaded, 1);
    let mut decisions: Vec<Decision> = Vec::new();
    for _ in 0..9 {
        let mut decision = Decision::default();
        balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
        decisions.push(decision);
    }
    assert!(balancer.stats(Tick::ZERO).iter().all(|endpoint| endpoint.in_flight == 3));
    drop(decisions);
    assert!(balancer.stats(Tick::ZERO).iter().all(|endpoint| endpoint.in_flight == 0));
}

#[test]
fn predictive_without_a_model_falls_back_to_peak_ewma_and_says_so() {
    let mut balancer = balancer(4, PolicyKind::Predictive, 3);
    let mut decision = Decision::default();
    let mut now = Tick::ZERO;
    let mut slow = 0;
    for i in 0..400 {
        now = now.after(Duration::from_millis(100));
        balancer.decide(&request(), &[], now, &mut decision).unwrap();
        assert!(matches!(decision.reason(), Reason::Fallback | Reason::Explore));
        let is_slow = decision.endpoint().unwrap().name() == "e0";
        slow += u32::from(is_slow && i >= 100);
        let ms = if is_slow { 80 } else { 10 };
        balancer.finish(&mut decision, &outcome(OutcomeKind::Success, ms), now.after(Duration::from_millis(ms)));
    }
    assert!(balancer.fallbacks() > 300);
    assert!(slow < 30, "the slow endpoint got {slow} of 300");
}

#[test]
fn what_was_tried_is_excluded_until_nothing_is_left() {
    let mut balancer = balancer(2, PolicyKind::LeastRequest, 1);
    let mut decision = Decision::default();
    balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
    let first = decision.endpoint().unwrap().key();
    balancer.decide(&request(), &[first], Tick::ZERO, &mut decision).unwrap();
    let second = decision.endpoint().unwrap().key();
    assert_ne!(first, second);
    let error = balancer.decide(&request(), &[first, second], Tick::ZERO, &mut decision);
    assert_eq!(error, Err(NoEndpoint::AllExcluded));
    let mut empty = Balancer::new(Vec::new(), BalancerOptions::default(), 0, 1, Tick::ZERO);
    assert_eq!(empty.decide(&request(), &[], Tick::ZERO, &mut decision), Err(NoEndpoint::EmptyPool));
}

#[test]
fn a_finished_decision_keeps_what_is_logged_and_finishing_twice_changes_nothing() {
    let mut balancer = balancer(3, PolicyKind::Random, 9);
    let mut decision = Decision::default();
    balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
    let end = Tick::from_secs_f64(0.02);
    balancer.finish(&mut decision, &outcome(OutcomeKind::Success, 20), end);
    assert!(decision.endpoint().is_none());
    assert_eq!(decision.candidates().len(), 3);
    assert_eq!(decision.features()[tailcast_features::index::IN_FLIGHT], 0.0);
    let before = balancer.stats(end);
    balancer.finish(&mut decision, &outcome(OutcomeKind::ServerError, 1), end);
    assert_eq!(balancer.stats(end), before);
}

proptest! {
    #[test]
    fn every_decision_is_sound(
        policy in prop::sample::select(PolicyKind::ALL.to_vec()),
        count in 1usize..40,
        seed in any::<u64>(),
        events in prop::collection::vec((0u8..3, 0u8..10, 1u64..300), 1..80),
    ) {
        let mut balancer = balancer(count, policy, seed);
        let mut open: Vec<Decision> = Vec::new();
        let mut now = Tick::ZERO;
        for (what, kind, ms) in events {
            now = now.after(Duration::from_millis(ms));
            if what == 0 && !open.is_empty() {
                let mut decision = open.swap_remove(ms as usize % open.len());
                let kind = if kind == 0 { OutcomeKind::ServerError } else { OutcomeKind::Success };
                balancer.finish(&mut decision, &outcome(kind, ms), now);
                continue;
            }
            let mut decision = Decision::default();
            balancer.decide(&request(), &[], now, &mut decision).unwrap();
            let sum: f32 = decision.candidates().iter().map(|candidate| candidate.propensity).sum();
            prop_assert!((sum - 1.0).abs() < 1e-3, "propensities sum to {}", sum);
            prop_assert!(decision.propensity() > 0.0, "the chosen one had a chance");
            let chosen = decision.endpoint().unwrap().key();
            prop_assert!(decision.candidates().iter().any(|candidate| candidate.endpoint == chosen));
            let slot = balancer.endpoints.iter().position(|endpoint| endpoint.key() == chosen).unwrap();
            prop_assert!(decision.is_panic() || !balancer.health.is_ejected(slot, now), "an ejected endpoint was chosen");
            open.push(decision);
        }
        let in_flight: u32 = balancer.stats(now).iter().map(|endpoint| endpoint.in_flight).sum();
        prop_assert_eq!(in_flight as usize, open.len());
        open.clear();
        prop_assert!(balancer.stats(now).iter().all(|endpoint| endpoint.in_flight == 0));
    }
}

proptest! {
    // A case makes thousands of balancers, each with tables of megabytes.
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// The logged propensity is the frequency with which the choice is made from the same state.
    #[test]
    fn propensities_are_the_frequencies_of_the_choice(
        load in prop::collection::vec(0u32..6, 3..6),
    ) {
        const DRAWS: u64 = 600;
        for policy in [
            PolicyKind::Random,
            PolicyKind::LeastRequest,
            PolicyKind::LeastLoaded,
            PolicyKind::PeakEwma,
            PolicyKind::Predictive,
        ] {
            let endpoints = pool(load.len());
            let held: Vec<_> = load
                .iter()
                .zip(&endpoints)
                .flat_map(|(count, endpoint)| (0..*count).map(|_| endpoint.start(1)).collect::<Vec<_>>())
                .collect();
            let options = BalancerOptions { policy, ..BalancerOptions::default() };
            let mut counts: HashMap<u64, (f32, f32)> = HashMap::new();
            for seed in 0..DRAWS {
                let mut balancer = Balancer::new(endpoints.clone(), options.clone(), 0, seed, Tick::ZERO);
                let mut decision = Decision::default();
                balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
                for candidate in decision.candidates() {
                    counts.entry(candidate.endpoint).or_default().0 = candidate.propensity;
                }
                counts.entry(decision.endpoint().unwrap().key()).or_default().1 += 1.0 / DRAWS as f32;
            }
            drop(held);
            for (propensity, frequency) in counts.values() {
                prop_assert!((propensity - frequency).abs() < 0.1, "{policy}: {counts:?}");
            }
        }
    }
}

/// Trees know up to three requests in flight here and are flat beyond. A queue is not.
#[test]
fn an_endpoint_with_more_in_flight_than_the_model_has_seen_is_no_bargain() {
    let mut borders = vec![Vec::new(); tailcast_features::FEATURE_COUNT];
    borders[index::IN_FLIGHT] = vec![0.5, 1.5, 2.5, 3.5];
    let split = |bin| Split { feature: index::IN_FLIGHT as u16, bin };
    // Up to one, up to three, (nothing), beyond.
    let tree = Tree { splits: vec![split(1), split(3)], leaves: vec![0.0, 0.7, 0.0, 1.0] };
    let forest = Forest::new(ForestParts { borders, base: vec![0.0], trees: vec![tree] }).unwrap();
    let model = Model::new(ModelParts::new(vec![0.5], forest)).unwrap();
    assert_eq!(model.highest_border(index::IN_FLIGHT), Some(3.5));

    let endpoints = pool(3);
    let load = [9, 3, 9];
    let held: Vec<_> =
        endpoints.iter().zip(load).flat_map(|(endpoint, count)| (0..count).map(|_| endpoint.start(1))).collect();
    let options = BalancerOptions { policy: PolicyKind::Predictive, ..BalancerOptions::default() };
    let mut balancer = Balancer::new(endpoints, options, 0, 1, Tick::ZERO);
    balancer.set_model(Some(Arc::new(model)));
    let mut decision = Decision::default();
    balancer.decide(&request(), &[], Tick::ZERO, &mut decision).unwrap();
    let scores: Vec<f32> = decision.candidates().iter().map(|candidate| candidate.score).collect();
    assert!(scores[1] < scores[0] && scores[1] < scores[2], "{scores:?}");
    drop(held);
}
