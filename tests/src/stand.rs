//! A fleet of emulated endpoints with a proxy in front, for tests that need the whole loop on real sockets.

use std::path::Path;
use std::time::{Duration, Instant};
use tailcast_datasets::{Trace, TraceRow};
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tailcast_testbed::endpoint::{EmulatedFleet, EndpointSpec};
use tailcast_testbed::load::{self, LoadOptions, LoadResult, Target};

/// Name of the stand's only pool.
pub const POOL: &str = "web";

/// How long a test waits for something that another thread does.
const PATIENCE: Duration = Duration::from_secs(20);

/// Endpoints and proxy, running on ports that the system chose.
#[derive(Debug)]
pub struct Stand {
    /// The endpoints.
    pub fleet: EmulatedFleet,
    /// The proxy.
    pub proxy: RunningProxy,
    target: Target,
}

impl Stand {
    /// Starts both. The proxy logs to `folder/log` and watches `folder/model.tailcast`.
    ///
    /// # Errors
    /// Where a port, a thread or the configuration is refused.
    pub fn start(specs: Vec<EndpointSpec>, folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let fleet = EmulatedFleet::start(specs)?;
        let endpoints: Vec<String> = fleet
            .names()
            .iter()
            .zip(fleet.addresses())
            .map(|(name, address)| format!("{{ address = \"{address}\", name = \"{name}\" }}"))
            .collect();
        let config = format!(
            "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[pool]]\nname = \"{POOL}\"\nendpoints = [{}]\n\
             [model]\npath = {:?}\n[log]\ndirectory = {:?}\ncandidate_features_share = 0.5\n",
            endpoints.join(", "),
            folder.join("model.tailcast").display().to_string(),
            folder.join("log").display().to_string(),
        );
        let proxy = Proxy::start(Config::parse(&config)?)?;
        let address = proxy.addresses().first().copied().ok_or("the proxy has no listener")?;
        Ok(Self { fleet, proxy, target: Target::new(address) })
    }

    /// Replays rows, open loop, `speed` times faster.
    ///
    /// # Errors
    /// Where the load cannot be sent at all.
    pub fn replay(&self, rows: &[TraceRow], speed: f64) -> std::io::Result<LoadResult> {
        load::run(&load::shots(rows, speed), &self.target, &LoadOptions::default(), &mut |_| {})
    }
}

/// Waits until something holds; false where it does not within twenty seconds.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if holds() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// The first `count` rows of a trace with responses small enough for a test.
pub fn head(trace: &Trace, count: usize) -> Vec<TraceRow> {
    let small =
        |row: &TraceRow| TraceRow { response_bytes: row.response_bytes.map(|bytes| bytes.min(4_096)), ..row.clone() };
    trace.rows().iter().take(count).map(small).collect()
}
