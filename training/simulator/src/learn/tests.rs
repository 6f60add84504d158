//! The loop from log to model to better choices, on a small scenario.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::policy::Policy;
use crate::scenario::Scenario;
use crate::simulate::{SimulateOptions, simulate};
use std::path::Path;
use tailcast_balance::PolicyKind;

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
    assert!(cell.row("predictive").unwrap().refits >= 2.0);
    assert!(report.text().contains("| predictive |"));
    assert!(serde_json::to_string(&report).unwrap().contains("\"p99_ms\""));
}
