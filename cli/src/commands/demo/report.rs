//! The files that a demo leaves: the report and the picture of the result.

use crate::ab::Played;
use crate::report::{self, Event, ReportData};
use crate::summary::{Comparison, Summary};
use crate::table::millis;
use std::path::Path;
use tailcast_balance::PolicyKind;
use tailcast_training::TrainReport;

/// Writes `report.html` and `hero.svg`.
pub(super) fn write(
    out: &Path,
    summary: &Summary,
    played: &Played,
    events: &[Event],
    trained: &TrainReport,
) -> anyhow::Result<()> {
    let (control, treatment) = (PolicyKind::RoundRobin.name(), PolicyKind::Predictive.name());
    let all = Comparison {
        name: "all".to_owned(),
        control: summary.round_robin.clone(),
        treatment: summary.predictive.clone(),
        p99_ratio: summary.p99_ratio,
    };
    let swap = &summary.hot_load;
    let data = ReportData::of_ab(&format!("{treatment} against {control}"), [control, treatment], &all, played)
        .with_groups(&summary.routes, &summary.tenant_groups)
        .with_events(events, &summary.phases)
        .with_model(trained)
        .with_fact("endpoints", "12 emulated ones on loopback: two classes of hardware, a cache of tenants each")
        .with_fact(
            "model loaded under traffic",
            format!(
                "{} of {} requests failed, live after {} ms",
                swap.failed_requests,
                swap.requests,
                millis(swap.millis)
            ),
        )
        .with_fact(
            "rows in the proxy's log",
            format!("{} written, {} dropped", summary.log_rows, summary.log_rows_dropped),
        )
        .with_fact("seed", summary.seed.to_string())
        .with_fact("again", if summary.quick { "tailcast demo --quick" } else { "tailcast demo" });
    report::write(&out.join("report.html"), &data)?;
    report::write_hero(&out.join("hero.svg"), &data)
}
