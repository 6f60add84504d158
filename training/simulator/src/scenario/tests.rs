//! Scenario files: what is refused, and how.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const SMALL: &str = r#"
name = "small"
[run]
warmup_secs = 1
measure_secs = 2
[clients]
proxies = [1, 2]
[load]
utilisation = [0.5]
[[routes]]
path = "/"
work = { law = "exponential", mean_ms = 10 }
class_factor = [1, 3]
[[servers]]
class = "a"
count = 2
cores = 4
[[servers]]
class = "b"
count = 1
cores = 4
speed = 2
"#;

fn parse(text: &str) -> Result<Scenario, SimError> {
    Scenario::parse(text, Path::new("small.toml"))
}

fn refusal(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    parse(&SMALL.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn capacity_is_that_of_a_router_blind_to_routes() {
    let scenario = parse(SMALL).unwrap();
    // 16 core-seconds a second, half of them on each class: 10 ms and 30 ms, 20 ms in the mean.
    assert!((scenario.capacity_rps() - 800.0).abs() < 1e-9);
    let cells = scenario.cells();
    assert_eq!(cells.len(), 2);
    assert_eq!(cells[0].rate_rps, 400.0);
    assert_eq!(cells[1].label(), "load 50 %, 2 proxies");
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_by_name() {
    for (from, to, expected) in [
        ("speed = 2", "sped = 2", "sped"),
        ("law = \"exponential\"", "law = \"weibull\"", "weibull"),
        ("count = 1", "count = 0", "servers.count = 0 is out of range: 1 to"),
        ("mean_ms = 10", "mean_ms = -1", "routes.work.mean_ms = -1 is out of range: above 0"),
        ("class_factor = [1, 3]", "class_factor = [1]", "one factor for each of 2 classes"),
        ("utilisation = [0.5]", "utilisation = [0.5]\nrate_rps = [3]", "either utilisation or rate_rps"),
        ("proxies = [1, 2]", "proxies = [0]", "clients.proxies = 0"),
        ("measure_secs = 2", "measure_secs = nan", "run.measure_secs"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{message}");
    }
    let event =
        format!("{SMALL}[[events]]\nkind = \"fail_fast\"\nfrom_secs = 1\nuntil_secs = 2\nfirst = 2\ncount = 2\n");
    assert!(parse(&event).unwrap_err().to_string().contains("a range of the 3 servers"));
    let mark = format!("{SMALL}[[marks]]\nmetric = \"p98\"\nagainst = \"best_peer\"\nat_most = 1\n");
    assert!(parse(&mark).unwrap_err().to_string().contains("window:NAME"));
    assert!(Scenario::load(Path::new("/nowhere.toml")).unwrap_err().to_string().contains("/nowhere.toml"));
}

#[test]
fn every_shipped_scenario_is_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let scenario = Scenario::load(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_string_lossy(), scenario.name());
            names.push(scenario.name().to_owned());
        }
    }
    assert!(names.len() >= 11, "{names:?}");
}
