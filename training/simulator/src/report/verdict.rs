//! Marks against figures.

use super::{CellReport, PolicyReport, WindowReport, recovery};
use crate::intervals::Estimate;
use crate::marks::{Against, Mark, Metric};
use serde::Serialize;

/// Names of the learned rows that are judged.
const JUDGED: [&str; 2] = ["predictive", "predictive_hidden"];

/// One mark of one row.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The row that is judged.
    pub policy: String,
    /// What is compared with what, in words.
    pub what: String,
    /// What was found.
    pub found: f64,
    /// What it may be at most.
    pub at_most: f64,
    /// Whether it is.
    pub met: bool,
}

impl CellReport {
    /// Judges the learned rows by the marks of the scenario.
    pub(crate) fn judge(&mut self, marks: &[Mark]) {
        if marks.iter().any(|mark| mark.metric == Metric::Recovery) {
            self.recoveries();
        }
        let mut verdicts = Vec::new();
        for policy in JUDGED {
            let Some(row) = self.row(policy) else { continue };
            for mark in marks {
                if let Some((what, found)) = self.found(row, mark) {
                    let met = found <= mark.at_most;
                    verdicts.push(Verdict { policy: policy.to_owned(), what, found, at_most: mark.at_most, met });
                }
            }
        }
        self.marks = verdicts;
    }

    fn found(&self, row: &PolicyReport, mark: &Mark) -> Option<(String, f64)> {
        let name = metric_name(&mark.metric);
        if mark.metric == Metric::Newcomers {
            let (first, later) = row.newcomers_ms?;
            return Some((format!("{name}: first 200 / steady"), first.mean / later.mean));
        }
        let own = value(row, &mark.metric)?;
        match &mark.against {
            Against::Absolute => Some((name, own)),
            Against::OwnWindow(other) => {
                let base = value(row, &Metric::Window(other.clone()))?;
                Some((format!("{name} / own {other}"), own / base))
            }
            Against::Policy(policy) => {
                let base = value(self.row(policy)?, &mark.metric)?;
                Some((format!("{name} / {policy}"), own / base))
            }
            Against::BestPeer => {
                let peers = self.rows.iter().filter(|row| row.is_peer);
                let valued = peers.filter_map(|peer| Some((peer, value(peer, &mark.metric)?)));
                let (best, base) = valued.min_by(|a, b| a.1.total_cmp(&b.1))?;
                Some((format!("{name} / best peer ({})", best.policy), own / base))
            }
        }
    }

    /// Fills in the recovery of every row, from the last window's start (the change) on.
    fn recoveries(&mut self) {
        let change = self.change_second;
        let Some(oracle) = self.row("oracle").map(|row| row.seconds_p99.clone()) else { return };
        for row in &mut self.rows {
            let found: Vec<f64> = row
                .seconds_p99
                .iter()
                .zip(&oracle)
                .map(|(own, oracle)| recovery::seconds(own, oracle, change))
                .collect();
            row.recovery_secs = Some(Estimate::of(&found));
        }
    }
}

fn metric_name(metric: &Metric) -> String {
    match metric {
        Metric::P90 => "p90".to_owned(),
        Metric::P99 => "p99".to_owned(),
        Metric::Failed => "failed requests".to_owned(),
        Metric::Window(name) => format!("p99 in {name}"),
        Metric::LostGoodput(name) => format!("goodput lost in {name}"),
        Metric::Shortfall(name) => format!("worst tenant under its fair share in {name}"),
        Metric::Newcomers => "p99 of newcomers".to_owned(),
        Metric::Recovery => "seconds to within 1.3x of the oracle".to_owned(),
    }
}

fn value(row: &PolicyReport, metric: &Metric) -> Option<f64> {
    match metric {
        Metric::P90 => Some(row.p90_ms.mean),
        Metric::P99 => Some(row.p99_ms.mean),
        Metric::Failed => Some(row.errors + row.timeouts),
        Metric::Window(name) => window(row, name).map(|window| window.p99_ms.mean),
        Metric::LostGoodput(name) => window(row, name).map(|window| 1.0 - window.goodput_ratio.mean),
        Metric::Shortfall(name) => window(row, name).map(|window| window.shortfall.mean),
        Metric::Newcomers => row.newcomers_ms.map(|(first, _)| first.mean),
        Metric::Recovery => row.recovery_secs.map(|secs| secs.mean),
    }
}

fn window<'a>(row: &'a PolicyReport, name: &str) -> Option<&'a WindowReport> {
    row.windows.iter().find(|window| window.name == name)
}
