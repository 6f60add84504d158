//! What a real Prometheus makes of the metrics, the rules and the dashboard in `deploy`: it scrapes a proxy, loads the rules,
//! and evaluates every expression that an operator would copy.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::clients::{absent, run};
use support::{Client, Endpoint, proxy, shutdown};
use tailcast_proxy::RunningProxy;

/// Prometheus starts in a second; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// A proxy with an admin listener that has served some requests.
async fn served() -> RunningProxy {
    let endpoint = Endpoint::saying("ok").await;
    let proxy = proxy(&[endpoint.address], "[admin]\naddress = '127.0.0.1:0'\n");
    let mut client = Client::to(&proxy).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.0, 200);
    }
    proxy
}

/// A Prometheus, killed when dropped.
struct Prometheus {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes `target` twice a second with the rules of `deploy`; `None` where this machine has none.
    fn start(target: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 500ms\n  evaluation_interval: 500ms\nrule_files:\n  - '{}'\nscrape_configs:\n  - \
             job_name: tailcast\n    static_configs:\n      - targets: ['{target}']\n",
            deploy("prometheus/tailcast.rules.yml").display()
        );
        std::fs::write(&config, text).unwrap();
        // It says nowhere which port the system gave it: one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self { child, address, _directory: directory }),
            Err(_) => {
                absent("prometheus");
                None
            }
        }
    }

    /// The answer of its API; `None` while it is not ready.
    async fn api(&self, path: &str) -> Option<serde_json::Value> {
        let ended =
            run("curl", &["--silent", "--max-time", "10", &format!("http://{}/api/v1/{path}", self.address)]).await?;
        let value: serde_json::Value = serde_json::from_str(&ended.stdout).ok()?;
        (value["status"] == "success").then(|| value["data"].clone())
    }

    /// The same when it has come to what `is_there` waits for.
    async fn until(&self, path: &str, is_there: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let start = Instant::now();
        loop {
            let answer = self.api(path).await;
            if let Some(value) = answer.as_ref().filter(|value| is_there(value)) {
                return value.clone();
            }
            assert!(start.elapsed() < PATIENCE, "{path} is still {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_prometheus_scrapes_the_proxy_and_evaluates_every_rule_and_panel() {
    let proxy = served().await;
    let Some(prometheus) = Prometheus::start(&proxy.admin_address().unwrap().to_string()) else { return };
    let found = prometheus
        .until("query?query=sum(tailcast_requests_total)", |data| data["result"][0]["value"][1] == "20")
        .await;
    assert_eq!(found["resultType"], "vector");
    let evaluated = |data: &serde_json::Value| {
        let rules = data["groups"][0]["rules"].as_array();
        rules.is_some_and(|rules| rules.iter().all(|rule| rule["health"] != "unknown"))
    };
    let rules = prometheus.until("rules", evaluated).await;
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 10, "{rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        if rule["type"] == "alerting" {
            assert_ne!(rule["state"], "firing", "a healthy proxy raises no alert: {rule}");
            assert!(rule["annotations"]["action"].is_string(), "{} says nothing of what to do", rule["name"]);
        }
    }
    for expression in panels() {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert!(prometheus.api(&format!("query?query={encoded}")).await.is_some(), "{expression} is no query");
    }
    shutdown(proxy).await;
}

/// Every expression of the dashboard, with its variables filled in as Grafana would.
fn panels() -> Vec<String> {
    let text = std::fs::read_to_string(deploy("grafana/tailcast.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let filled = |target: &serde_json::Value| {
        let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
        text.replace("$instance", ".*").replace("$pool", ".*")
    };
    targets.map(filled).collect()
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("tailcast_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_exist() {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let known = names(&read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")));
    let asked = names(&read(deploy("prometheus/tailcast.rules.yml")))
        .into_iter()
        .chain(names(&read(deploy("grafana/tailcast.json"))));
    for name in asked {
        let family = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(known.contains(family.unwrap_or(&name)), "{name} is no metric of docs/metrics.md");
    }
}

#[tokio::test]
async fn promtool_accepts_the_rules() {
    let rules = deploy("prometheus/tailcast.rules.yml").display().to_string();
    if let Some(ended) = run("promtool", &["check", "rules", &rules]).await {
        ended.success();
    }
}
