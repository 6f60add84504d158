//! Runs against what queueing theory says, and against bookkeeping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::policy::DEFAULT;
use std::path::Path;

fn scenario(extra: &str, servers: &str, work: &str, utilisation: f64, secs: f64) -> Scenario {
    let text = format!(
        "name = \"t\"\n[run]\nwarmup_secs = 5\nmeasure_secs = {secs}\n[clients]\nproxies = [2]\nnetwork_delay_ms = 0\n\
         timeout_ms = 100000\n[load]\nutilisation = [{utilisation}]\n[[routes]]\npath = \"/\"\nwork = {work}\n{servers}\n{extra}"
    );
    Scenario::parse(&text, Path::new("t.toml")).unwrap()
}

fn outcome(scenario: &Scenario, policy: Policy, seed: u64) -> RunResult {
    let plan = RunPlan {
        scenario,
        cell: scenario.cells()[0],
        policy,
        base: BalancerOptions::default(),
        seed,
        model: None,
        log_rows: 0,
        mix: Vec::new(),
        by_second: false,
    };
    run(&plan, &mut |_| None).unwrap()
}

const EXPONENTIAL: &str = "{ law = \"exponential\", mean_ms = 10 }";
const ONE: &str = "[[servers]]\nclass = \"a\"\ncount = 1\ncores = 1\n";

fn mean(scenario: &Scenario) -> f64 {
    outcome(scenario, Policy::Production(PolicyKind::Random), 1).measures.latency.mean_ms()
}

#[test]
fn processor_sharing_has_the_mean_of_m_m_1() {
    let found = mean(&scenario("", ONE, EXPONENTIAL, 0.7, 3_000.0));
    let expected = 10.0 / (1.0 - 0.7);
    assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected}");
}

#[test]
fn processor_sharing_is_insensitive_to_the_law_of_work() {
    let found = mean(&scenario("", ONE, "{ law = \"constant\", mean_ms = 10 }", 0.7, 3_000.0));
    let expected = 10.0 / (1.0 - 0.7);
    assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected}");
}

#[test]
fn fifo_has_the_mean_of_m_d_1() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 1\ncores = 1\nworkers = 1\n";
    let found = mean(&scenario("", servers, "{ law = \"constant\", mean_ms = 10 }", 0.7, 3_000.0));
    // Pollaczek-Khinchine: service + ρ·service / (2·(1 − ρ)).
    let expected = 10.0 + 0.7 * 10.0 / (2.0 * 0.3);
    assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected}");
}

#[test]
fn four_workers_have_the_mean_of_m_m_4() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 1\ncores = 4\nworkers = 4\n";
    let found = mean(&scenario("", servers, EXPONENTIAL, 0.8, 1_000.0));
    // Erlang C at 3.2 Erlang on 4 servers: P(wait) = 0.5964, wait = P · 10 / (4 − 3.2).
    let expected = 10.0 + 0.5964 * 10.0 / 0.8;
    assert!((found / expected - 1.0).abs() < 0.04, "{found} for {expected}");
}

/// Everything that can happen to a request, for every policy: refusals, timeouts with and without cancellation, joins.
#[test]
fn every_request_ends_exactly_once_and_nothing_stays_in_flight() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 4\ncores = 2\nworkers = 2\nqueue = 5\n\
                   [[servers]]\nclass = \"b\"\ncount = 4\ncores = 2\n\
                   [[servers]]\nclass = \"late\"\ncount = 2\ncores = 2\njoins_at_secs = 4\nwarms_over_secs = 3\nwarms_from = 0.3\n";
    let extra = "[[events]]\nkind = \"brown_out\"\nfrom_secs = 2\nuntil_secs = 4\nfirst = 3\ncount = 3\nfactor = 0.05\n\
                 [[events]]\nkind = \"fail_fast\"\nfrom_secs = 3\nuntil_secs = 6\nfirst = 6\ncount = 1\n\
                 [signals]\npiggyback = [true]\nperiod_ms = [100]\n[antagonists]\nshare = 0.2\nmean_on_secs = 1\nguarantee = 0.5\nspill = 1\n";
    for cancel in [true, false] {
        let mut scenario = scenario(extra, servers, EXPONENTIAL, 0.9, 5.0);
        scenario.timeout_ms = 60.0;
        scenario.cancel_on_timeout = cancel;
        for policy in DEFAULT {
            let result = outcome(&scenario, policy, 3);
            assert!(result.arrivals > 2_000);
            assert_eq!(result.arrivals, result.ends, "{policy:?}");
            assert_eq!(result.in_flight_left, 0, "{policy:?}");
            assert!(result.measures.timeouts > 0, "{policy:?}: the scenario is meant to time out");
        }
    }
}

#[test]
fn with_admission_too_every_request_ends_exactly_once_and_no_place_is_lost() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 4\ncores = 2\nworkers = 2\nqueue = 5\n";
    let extra = "[admission]\nqueue_requests = 4\n[tenants]\ncount = 3\nzipf = 1\n\
                 [[events]]\nkind = \"fail_fast\"\nfrom_secs = 6\nuntil_secs = 7\nfirst = 0\ncount = 4\n";
    let mut scenario = scenario(extra, servers, EXPONENTIAL, 2.5, 5.0);
    scenario.timeout_ms = 60.0;
    for policy in DEFAULT {
        let result = outcome(&scenario, policy, 3);
        assert_eq!(result.arrivals, result.ends, "{policy:?}");
        assert_eq!(result.in_flight_left, 0, "{policy:?}");
        assert!(result.measures.errors > 0, "{policy:?}: the scenario is meant to turn away");
    }
}

#[test]
fn a_seed_repeats_to_the_bit_and_another_does_not() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 6\ncores = 2\n";
    let scenario = scenario("[tenants]\ncount = 9\nzipf = 1\n", servers, EXPONENTIAL, 0.8, 10.0);
    for policy in DEFAULT {
        let figures = |seed| {
            let measures = outcome(&scenario, policy, seed).measures;
            (measures.requests, measures.latency.mean_ms().to_bits())
        };
        assert_eq!(figures(1), figures(1), "{policy:?}");
        assert_ne!(figures(1), figures(2), "{policy:?}");
    }
}

#[test]
fn knowing_more_helps() {
    let servers = "[[servers]]\nclass = \"a\"\ncount = 6\ncores = 2\n[[servers]]\nclass = \"b\"\ncount = 6\ncores = 2\nspeed = 0.4\n";
    let scenario = scenario("", servers, EXPONENTIAL, 0.7, 20.0);
    let p99 = |policy| outcome(&scenario, policy, 1).measures.latency.quantile_ms(0.99);
    let (oracle, blind) = (p99(Policy::Oracle), p99(Policy::OracleBlind));
    let (least, random) =
        (p99(Policy::Production(PolicyKind::LeastLoaded)), p99(Policy::Production(PolicyKind::Random)));
    assert!(oracle < blind && blind < least && least < random, "{oracle} {blind} {least} {random}");
}
