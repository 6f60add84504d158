//! Marks: what a scenario asks of `predictive`, as a ratio against other rows of the same cell.

use serde::Serialize;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Metric {
    /// 90th percentile of latency.
    P90,
    /// 99th percentile of latency.
    P99,
    /// Requests that failed (errors and timeouts).
    Failed,
    /// 99th percentile within a named window.
    Window(String),
    /// 99th percentile of the newcomers' first 200 requests over their later ones.
    Newcomers,
    /// Answers missing in a named window, as a share of what the servers could have given.
    LostGoodput(String),
    /// Largest shortfall of a tenant under its max-min share of the answers of a named window.
    Shortfall(String),
    /// Seconds after the last event until the 1-second p99 stays within 1.3 of the oracle's.
    Recovery,
}

/// Against what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Against {
    /// The best of the peers (all but `predictive` and `oracle`) in that metric.
    BestPeer,
    /// A row by its name.
    Policy(String),
    /// The same row in another window.
    OwnWindow(String),
    /// Nothing: the value itself is bounded.
    Absolute,
}

/// One mark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// What is compared.
    pub metric: Metric,
    /// Against what.
    pub against: Against,
    /// The ratio (or value) that must not be passed.
    pub at_most: f64,
}

impl Mark {
    /// Parses the strings of a scenario file.
    pub(crate) fn parse(metric: &str, against: &str, at_most: f64) -> Option<Self> {
        let metric = match metric.split_once(':') {
            Some(("window", name)) => Metric::Window(name.to_owned()),
            Some(("lost_goodput", name)) => Metric::LostGoodput(name.to_owned()),
            Some(("shortfall", name)) => Metric::Shortfall(name.to_owned()),
            _ => match metric {
                "p90" => Metric::P90,
                "p99" => Metric::P99,
                "failed" => Metric::Failed,
                "newcomers" => Metric::Newcomers,
                "recovery_secs" => Metric::Recovery,
                _ => return None,
            },
        };
        let against = match against.split_once(':') {
            Some(("own_window", name)) => Against::OwnWindow(name.to_owned()),
            _ => match against {
                "best_peer" => Against::BestPeer,
                "absolute" => Against::Absolute,
                name => Against::Policy(name.parse::<crate::policy::Policy>().ok()?.name()),
            },
        };
        Some(Self { metric, against, at_most })
    }
}
