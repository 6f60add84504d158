//! From a foreign log to a model that a proxy would take: import, train, inspect, verify, evaluate.

#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Ran, repository, tailcast};
use tailcast_proxy::{Config, Proxy};
use tailcast_testbed::endpoint::{EmulatedFleet, EndpointSpec};
use tailcast_testbed::load::{self, LoadOptions, Target};

/// Routes, endpoints and what a request of that route takes there, ms: the pair is what counts.
const PAIRS: [(&str, [f64; 3]); 3] =
    [("/search", [8.0, 40.0, 24.0]), ("/items", [60.0, 12.0, 20.0]), ("/feed", [25.0, 25.0, 6.0])];

/// How far requests are from that mean on each endpoint: what a forecast of the mean alone does not see.
const SPREADS: [f64; 3] = [0.05, 0.3, 0.7];

/// A log of a balancer that chose by chance.
fn log(rows: u32) -> String {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut log = String::from("ts,customer,path,pod,code,took\n");
    let mut at = 1_700_000_000_000.0;
    for _ in 0..rows {
        at += draw() * 40.0;
        let (route, means) = PAIRS[(draw() * 3.0) as usize];
        let endpoint = (draw() * 3.0) as usize;
        let took = means[endpoint] * (1.0 + SPREADS[endpoint] * (2.0 * draw() - 1.0));
        let tenant = (draw() * 5.0) as u32;
        let _ = writeln!(log, "{},t{tenant},{route},pod-{endpoint},200,{took:.3}", at as u64);
    }
    log
}

/// The arguments, paths among them.
fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Ran {
    tailcast(arguments.iter().map(|argument| argument.as_ref()))
}

fn imported(folder: &Path, rows: u32) -> PathBuf {
    let (input, trace) = (folder.join("requests.csv"), folder.join("trace.parquet"));
    std::fs::write(&input, log(rows)).unwrap();
    let map = "arrival=ts:ms,tenant=customer,route=path,endpoint=pod,status=code,latency=took:ms";
    let ran =
        run(&[&"replay", &"import", &"--format", &"csv", &"--map", &map, &"--json", &input, &trace]).expect_code(0);
    assert_eq!(ran.json()["imported"], rows, "{}", ran.stdout());
    trace
}

fn fixture(name: &str) -> PathBuf {
    repository("training/src/import/fixtures").join(name)
}

#[test]
fn a_model_that_was_trained_elsewhere_is_imported_inspected_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("m.tailcast");
    let (p50, p90) = (fixture("lightgbm-p0.5.txt"), fixture("lightgbm-p0.9.txt"));
    let import = |p50: &Path| run(&[&"model", &"import", &"--lightgbm", &p90, &"--lightgbm", &p50, &"--out", &model]);
    let text = import(&p50).expect_code(0).stdout();
    assert!(text.contains("p50, p90 of 8 trees by LightGBM"), "{text}");
    run(&[&"model", &"verify", &model]).expect_code(0);
    let inspected = run(&[&"model", &"inspect", &"--json", &model]).expect_code(0).json();
    assert_eq!((&inspected["trained_by"], &inspected["format_version"]), (&"LightGBM".into(), &2.into()));
    assert!(run(&[&"model", &"inspect", &model]).expect_code(0).stdout().contains("trained by  LightGBM"));
    let before = std::fs::read(&model).unwrap();
    let mut of_another_level = p50.into_os_string();
    of_another_level.push("=0.75");
    let ran = import(Path::new(&of_another_level)).expect_code(1);
    assert!(
        ran.stderr().contains("lightgbm-p0.5.txt: quantile levels: the model was trained for 0.5"),
        "{}",
        ran.stderr()
    );
    let ran = run(&[&"model", &"import", &"--xgboost", &p90, &"--out", &model]).expect_code(1);
    assert!(ran.stderr().contains("this is no XGBoost JSON model"), "{}", ran.stderr());
    assert_eq!(std::fs::read(&model).unwrap(), before, "a refused model changes nothing");
}

#[test]
fn an_imported_log_trains_a_model_that_is_inspected_verified_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let trace = imported(folder.path(), 4_000);
    let (model, report) = (folder.path().join("m.tailcast"), folder.path().join("training.html"));
    let ran =
        run(&[&"train", &"--trace", &trace, &"--out", &model, &"--rounds", &"40", &"--report", &report, &"--json"]);
    let trained = ran.expect_code(0).json();
    assert_eq!((&trained["written"], &trained["rows"]), (&true.into(), &4_000.into()), "{trained}");
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("What the trees look at") && !html.contains("<script"), "the report lacks its plots");

    let inspected = run(&[&"model", &"inspect", &"--json", &model]).expect_code(0).json();
    assert_eq!(inspected["id"], trained["model_id"]);
    assert!(inspected["created_unix_secs"].as_u64().unwrap() > 1_700_000_000);
    let text = run(&[&"model", &"inspect", &model]).expect_code(0).stdout();
    assert!(text.contains("p50, p95, p99") && text.contains("share of gain"), "{text}");
    assert!(run(&[&"model", &"verify", &model]).expect_code(0).stdout().starts_with("ok: "));

    let rows = folder.path().join("rows.jsonl");
    let found = run(&[&"eval", &"ope", &"--trace", &trace, &"--model", &model, &"--json", &"--rows", &rows]);
    let found = found.expect_code(0).json();
    let decisions = std::fs::read_to_string(&rows).unwrap().lines().count();
    assert_eq!(found["targets"][2]["rows"], decisions);
    let mean = |target: usize| found["targets"][target]["mean_ms_snips"]["value"].as_f64().unwrap();
    assert!(mean(2) < 0.8 * mean(0), "routing by the model is estimated at {} ms, the log at {} ms", mean(2), mean(0));
    let text = run(&[&"eval", &"ope", &"--trace", &trace, &"--model", &model]).expect_code(0).stdout();
    assert!(text.contains("effective rows") && text.contains("They do not answer"), "{text}");
    assert!(text.contains("doubly robust") && text.contains("Switch-DR") && text.contains("at any time"), "{text}");

    flipped_bytes_are_refused(folder.path(), &model);
}

/// Any byte: the first, some in between, the last.
fn flipped_bytes_are_refused(folder: &Path, model: &Path) {
    let bytes = std::fs::read(model).unwrap();
    for at in [0, 9, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        let path = folder.join("broken.tailcast");
        std::fs::write(&path, broken).unwrap();
        let ran = run(&[&"model", &"verify", &path]).expect_code(1);
        assert!(ran.stderr().contains("refused: ") && ran.stdout().is_empty(), "byte {at}: {}", ran.stderr());
        let verdict = run(&[&"model", &"verify", &"--json", &path]).expect_code(1).json();
        assert_eq!(verdict["valid"], false);
        assert!(!verdict["reason"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_registry_numbers_models_promotes_what_passes_and_takes_back() {
    let folder = tempfile::tempdir().unwrap();
    let trace = imported(folder.path(), 4_000);
    let registry = folder.path().join("models");
    let train = |rounds: &str, seed: &str, more: &[&str]| {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            vec![&"train", &"--trace", &trace, &"--registry", &registry, &"--rounds", &rounds, &"--seed", &seed];
        arguments.extend(more.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>));
        run(&arguments)
    };
    let first = train("30", "1", &["--json"]).expect_code(0).json();
    assert_eq!((&first["published"]["number"], &first["published"]["promoted"]), (&1.into(), &true.into()));
    assert_eq!(first["written"], false, "nothing is written where no --out is given");
    // The same again is no better; it is kept with the reason, and the exit status says so.
    let again = train("30", "1", &[]).expect_code(1);
    assert!(again.stderr().contains("model 2 is kept and not promoted") && again.stderr().contains("not below"));
    train("1", "1", &["--force"]).expect_code(0);
    let list = || run(&[&"model", &"list", &registry, &"--json"]).expect_code(0).json();
    assert_eq!(list()["pointers"], serde_json::json!({"champion": 3, "previous": 1, "shadow": null}));
    run(&[&"model", &"verify", &registry.join("champion")]).expect_code(0);
    let back = run(&[&"model", &"rollback", &registry, &"--why", &"one tree is too few"]).expect_code(0);
    assert_eq!(back.stdout(), "champion 1, previous none, shadow 3\n");
    let refused = run(&[&"model", &"rollback", &registry]).expect_code(1);
    assert!(refused.stderr().contains("no previous model"), "{}", refused.stderr());
    run(&[&"model", &"promote", &registry, &"2"]).expect_code(0);
    let text = run(&[&"model", &"list", &registry, &"--changes"]).expect_code(0).stdout();
    assert!(text.contains("one tree is too few") && text.contains("champion") && text.contains("passed"), "{text}");
    let unknown = run(&[&"model", &"promote", &registry, &"9"]).expect_code(1);
    assert!(unknown.stderr().contains("no model 9"), "{}", unknown.stderr());
    let foreign = run(&[&"model", &"list", &folder.path()]).expect_code(1);
    assert!(foreign.stderr().contains("is no registry"), "{}", foreign.stderr());
}

/// A proxy that writes a log and follows the registry's champion; a trainer that is killed again and again, and then
/// is not. The proxy serves with its first champion within seconds of the traffic that taught it.
#[test]
fn a_followed_log_becomes_the_champion_of_a_running_proxy_however_often_the_trainer_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, registry) = (folder.path().join("log"), folder.path().join("models"));
    let fleet =
        EmulatedFleet::start(vec![EndpointSpec::uniform("a", 8, 1.0), EndpointSpec::uniform("b", 8, 3.0)]).unwrap();
    let endpoints: Vec<String> = fleet.addresses().iter().map(|address| format!("\"{address}\"")).collect();
    let text = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[pool]]\nname = \"web\"\nendpoints = [{}]\n\
         [model]\nregistry = {:?}\n[log]\ndirectory = {:?}\n",
        endpoints.join(", "),
        registry.display().to_string(),
        log.display().to_string()
    );
    let config = folder.path().join("tailcast.toml");
    std::fs::write(&config, text).unwrap();
    let proxy = Proxy::start(Config::load(&config).unwrap()).unwrap();
    let rows = tailcast_datasets::demo_trace().unwrap().slice(Duration::ZERO, Duration::from_secs(12)).into_rows();
    let options = LoadOptions { timeout: Duration::from_secs(5), ..LoadOptions::default() };
    load::run(&load::shots(&rows, 4.0), &Target::new(proxy.addresses()[0]), &options, &mut |_| {}).unwrap();
    proxy.rotate_log();
    assert_eq!(proxy.model_id(), None);
    let refused = run(&[&"eval", &"live", &"--from-log", &log]).expect_code(1);
    assert!(refused.stderr().contains("0 rows of the policy \"predictive\""), "{}", refused.stderr());

    let follow = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailcast"));
        command.args(["train", "--follow", "--every", "1s", "--force", "--rounds", "30", "--log"]).arg(&log);
        command.arg("--registry").arg(&registry).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    for round in 0..8 {
        let mut trainer = follow(&[]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + 90 * round));
        trainer.kill().unwrap();
        trainer.wait().unwrap();
        if registry.join("REGISTRY").exists() {
            let listed = run(&[&"model", &"list", &registry, &"--json"]).expect_code(0).json();
            if !listed["pointers"]["champion"].is_null() {
                run(&[&"model", &"verify", &registry.join("champion")]).expect_code(0);
            }
        }
    }
    let output = follow(&["--runs", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ran: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&ran["promoted"], &ran["segments"]), (&true.into(), &1.into()), "{ran}");
    let secs = ["load_secs", "train_secs", "publish_secs"].map(|name| ran[name].as_f64().unwrap());
    assert!(secs.iter().sum::<f64>() < 10.0, "{ran}");
    let listed = run(&[&"model", &"list", &registry, &"--json"]).expect_code(0).json();
    let champion = &listed["pointers"]["champion"];
    let is_champion = |record: &&serde_json::Value| &record["number"] == champion;
    let expected = listed["models"].as_array().unwrap().iter().find(is_champion).unwrap()["model_id"].clone();
    let waited = Instant::now();
    while proxy.model_id().map(serde_json::Value::from) != Some(expected.clone()) {
        assert!(waited.elapsed() < Duration::from_secs(5), "the proxy has {:?}, not {expected}", proxy.model_id());
        std::thread::yield_now();
    }
    proxy.shutdown();
}

#[test]
fn too_little_to_learn_from_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let trace = imported(folder.path(), 100);
    let model = folder.path().join("m.tailcast");
    let ran = run(&[&"train", &"--trace", &trace, &"--out", &model]).expect_code(1);
    assert!(ran.stderr().contains("too few"), "{}", ran.stderr());
    assert!(!model.exists());
    let ran = run(&[&"train", &"--log", &folder.path(), &"--out", &model]).expect_code(1);
    assert!(ran.stderr().contains("no usable log segment"), "{}", ran.stderr());
}

#[test]
fn a_trace_without_endpoints_is_refused_with_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (input, trace) = (folder.path().join("access.log"), folder.path().join("trace.parquet"));
    let line = "10.0.0.1 - - [10/Oct/2023:13:55:36 +0000] \"GET /index.html HTTP/1.1\" 200 2326\n";
    std::fs::write(&input, format!("{line}not a log line\n{line}")).unwrap();
    let ran = run(&[&"replay", &"import", &"--format", &"clf", &input, &trace]).expect_code(0);
    assert!(ran.stdout().contains("2 of 3 lines") && ran.stdout().contains("rejected"), "{}", ran.stdout());
    assert!(folder.path().join("trace.parquet.rejects").exists());
    let ran = run(&[&"train", &"--trace", &trace, &"--out", &folder.path().join("m")]).expect_code(1);
    assert!(ran.stderr().contains("endpoint"), "{}", ran.stderr());
}

#[test]
fn every_sample_log_imports() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [
        ("apache.log", "clf"),
        ("nginx.log", "nginx"),
        ("haproxy.log", "haproxy"),
        ("elb.log", "elb"),
        ("heroku.log", "heroku"),
        ("envoy.log", "envoy"),
    ];
    for (name, format) in samples {
        let (input, trace) = (repository("datasets/samples").join(name), folder.path().join("t.parquet"));
        let ran = run(&[&"replay", &"import", &"--format", &format, &"--json", &input, &trace]).expect_code(0);
        assert!(ran.json()["imported"].as_u64().unwrap() > 0, "{name}: {}", ran.stdout());
        assert!(trace.exists());
    }
}
