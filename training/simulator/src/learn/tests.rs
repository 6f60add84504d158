//! The loop from log to model to better choices, on a small scenario.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::challenge::{challenge, judge};
use super::{fit, learn};
use crate::policy::Policy;
use crate::scenario::Scenario;
use crate::simulate::{SimulateOptions, simulate};
use std::path::Path;
use tailcast_balance::{BalancerOptions, PolicyKind};

const PAIRS: &str = r#"
name = "pairs"
[run]
warmup_secs = 3
measure_secs = 10
[clients]
proxies = [2]
[load]
utilisation = [0.6]
[[routes]]
path = "/a"
work = { law = "exponential", mean_ms = 8 }
class_factor = [1, 5]
[[routes]]
path = "/b"
work = { law = "exponential", mean_ms = 8 }
class_factor = [5, 1]
[[servers]]
class = "x"
count = 4
cores = 2
[[servers]]
class = "y"
count = 4
cores = 2
[training]
log_secs = 30
retrain_every_secs = 4
"#;

#[test]
fn a_challenger_serves_where_it_forecasts_better_on_rows_that_neither_has_seen() {
    let scenario = Scenario::parse(PAIRS, Path::new("pairs.toml")).unwrap();
    let predictive = Policy::Production(PolicyKind::Predictive);
    let learned = learn(&scenario, scenario.cells()[0], &BalancerOptions::default(), predictive).unwrap();
    // The champion saw the first half of the log only.
    let (first, second) = learned.log.split_newest(0.5);
    let champion = fit(&scenario, &first.split_newest(0.9).0, 1).unwrap();
    let challenge = challenge(&scenario, &first, &second, &champion, 2).unwrap();
    assert!(challenge.verdict.passed, "{:?}", challenge.verdict.reasons);
    assert_eq!(challenge.verdict.decision_us, 0.0);
    let (_, judges) = second.split_newest(0.15);
    let refused = judge(&scenario, &judges, &champion, &challenge.model);
    assert!(refused.reasons.iter().any(|reason| reason.contains("not below")), "{:?}", refused.reasons);
}

#[test]
fn a_model_of_the_proxies_own_log_learns_the_pairs_and_refits_while_running() {
    let scenario = Scenario::parse(PAIRS, Path::new("pairs.toml")).unwrap();
    let predictive = Policy::Production(PolicyKind::Predictive);
    let least = Policy::Production(PolicyKind::LeastLoaded);
    let options =
        SimulateOptions { policies: vec![least, predictive, Policy::Oracle], seeds: 1, ..SimulateOptions::default() };
    let report = simulate(&scenario, &options, &mut |_| {}).unwrap();
    let cell = &report.cells[0];
    let p99 = |policy: Policy| cell.row(&policy.name()).unwrap().p99_ms.mean;
    assert!(p99(predictive) < 0.5 * p99(least), "{} against {}", p99(predictive), p99(least));
    let row = cell.row("predictive").unwrap();
    let contests = &row.contests[0];
    assert_eq!(contests.len(), 3, "at 4, 8 and 12 s of 13");
    assert!(contests.iter().all(|contest| contest.rows > 0 && contest.passed == contest.reasons.is_empty()));
    assert_eq!(row.refits, contests.iter().filter(|contest| contest.passed).count() as f64);
    assert!(report.text().contains("Challengers of `predictive`"));
    assert!(report.text().contains("| predictive |"));
    assert!(serde_json::to_string(&report).unwrap().contains("\"p99_ms\""));
}
