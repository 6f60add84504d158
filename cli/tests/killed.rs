//! `kill -9` of a proxy under traffic loses at most a second of its log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tailcast_testbed::endpoint::{EmulatedFleet, EndpointSpec};
use tailcast_testbed::load::{self, LoadOptions, Target};

/// What the log may lose.
const LOSS: Duration = Duration::from_secs(1);

#[test]
fn a_killed_proxy_has_every_request_on_disk_that_ended_more_than_a_second_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let fleet =
        EmulatedFleet::start(vec![EndpointSpec::uniform("a", 8, 1.0), EndpointSpec::uniform("b", 8, 1.0)]).unwrap();
    let endpoints: Vec<String> = fleet.addresses().iter().map(|address| format!("\"{address}\"")).collect();
    let config = folder.path().join("tailcast.toml");
    let text = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[pool]]\nname = \"web\"\nendpoints = [{}]\n[log]\ndirectory = {:?}\n",
        endpoints.join(", "),
        log.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_tailcast"))
        .args(["run", "--config", config.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(proxy.stderr.take().unwrap()).lines();
    let address = lines
        .find_map(|line| line.unwrap().strip_prefix("listening on http://").map(str::to_owned))
        .expect("it says where it listens");
    let target = Target::new(address.parse().unwrap());

    // Three seconds of traffic; killed when two thirds of it have ended.
    let rows = tailcast_datasets::demo_trace().unwrap().slice(Duration::ZERO, Duration::from_secs(9)).into_rows();
    let shots = load::shots(&rows, 3.0);
    let started = Instant::now();
    let (ended, enough) = mpsc::channel();
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            enough.recv().unwrap();
            proxy.kill().unwrap();
            let at = started.elapsed();
            proxy.wait().unwrap();
            at
        });
        let mut ended = Some(ended);
        let options = LoadOptions { timeout: Duration::from_secs(2), ..LoadOptions::default() };
        let result = load::run(&shots, &target, &options, &mut |done| {
            if done as usize > shots.len() * 2 / 3
                && let Some(ended) = ended.take()
            {
                ended.send(()).unwrap();
            }
        });
        (killer.join().unwrap(), result.unwrap())
    });
    let (killed, result) = killed;
    let due = killed.saturating_sub(LOSS);
    let owed = result.samples.iter().filter(|sample| !sample.is_error() && sample.at + sample.latency < due).count();
    assert!(owed > 500, "{owed} requests ended a second before the kill at {killed:?}");
    let (dataset, _) = tailcast_training::dataset(tailcast_training::Source::Log(log)).unwrap();
    assert!(dataset.len() >= owed, "{} rows on disk, {owed} are owed", dataset.len());
}
