//! Drafts to a trace: names cleaned and shared, paths made templates, whole seconds spread, order restored.

use super::draft::{BAD_ARRIVAL, Draft, Reason, Target};
use super::report::ImportReport;
use super::time::SECOND_US;
use crate::trace::{Trace, TraceRow};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tailcast_features::route::RouteTable;

/// Routes told apart: as many as the feature store keeps state for, so that a scanner's junk cannot crowd it.
const MAX_ROUTES: usize = 1_024;

/// Longest name of a tenant, endpoint or operation; DNS names end at 253 bytes.
const MAX_NAME_BYTES: usize = 256;

/// Collects drafts in the order of the log.
pub(super) struct Collector {
    rows: Vec<TraceRow>,
    /// Second of each row's time stamp, while all stamps are whole seconds.
    seconds: Option<Vec<i64>>,
    routes: RouteTable,
    names: HashSet<Arc<str>>,
    /// Full name of a grouped endpoint → (group, name).
    grouped: HashMap<Arc<str>, (Arc<str>, Arc<str>)>,
    tenant: Arc<str>,
}

impl Collector {
    /// `tenant` is given to rows that name none; `spread` whether times in whole seconds are an effect of logging.
    pub(super) fn new(tenant: &str, spread: bool) -> Self {
        Self {
            rows: Vec::new(),
            seconds: spread.then(Vec::new),
            routes: RouteTable::new(MAX_ROUTES),
            names: HashSet::new(),
            grouped: HashMap::new(),
            tenant: Arc::from(tenant),
        }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes a draft as the next row.
    pub(super) fn push(&mut self, draft: Draft<'_>) -> Result<(), Reason> {
        let before = i64::try_from(draft.before_stamp_us).map_err(|_| BAD_ARRIVAL)?;
        let arrival_us = draft.stamp.0.checked_sub(before).ok_or(BAD_ARRIVAL)?;
        let tenant = draft.tenant.as_deref().and_then(clean).map(|name| self.share(&name));
        let route = match &draft.target {
            Target::Path(path) => self.routes.route(path),
            Target::Name(name) => match clean(name) {
                Some(name) => self.routes.name(&name),
                None => self.routes.route("/"),
            },
        };
        let has_body = draft.request_bytes.is_some_and(|bytes| bytes > 0);
        let method = draft.method.as_deref().unwrap_or(if has_body { "POST" } else { "GET" });
        let endpoint = draft.endpoint.as_deref().and_then(clean).map(|name| self.endpoint(draft.group, &name));
        if draft.stamp.0.rem_euclid(SECOND_US) != 0 {
            self.seconds = None;
        }
        if let Some(seconds) = &mut self.seconds {
            seconds.push(draft.stamp.0.div_euclid(SECOND_US));
        }
        let method = self.share(method);
        self.rows.push(TraceRow {
            arrival_us,
            tenant: tenant.unwrap_or_else(|| Arc::clone(&self.tenant)),
            route,
            method,
            request_bytes: draft.request_bytes,
            response_bytes: draft.response_bytes,
            endpoint,
            status: draft.status,
            latency_us: draft.latency_us,
        });
        Ok(())
    }

    /// The trace, and its part of the report.
    pub(super) fn finish(mut self, report: &mut ImportReport) -> Trace {
        report.spread = self.spread();
        self.shorten_groups();
        report.imported = self.rows.len() as u64;
        report.out_of_order = out_of_order(&self.rows);
        report.in_other_route = self.routes.overflowed();
        let count = |has: fn(&TraceRow) -> bool| self.rows.iter().filter(|row| has(row)).count() as u64;
        report.with_endpoint = count(|row| row.endpoint.is_some());
        report.with_latency = count(|row| row.latency_us.is_some());
        report.with_status = count(|row| row.status.is_some());
        let trace = Trace::new(self.rows);
        report.tenants = trace.tenants();
        report.routes = trace.routes();
        report.endpoints = trace.endpoints();
        report.from_us = trace.rows().first().map(|row| row.arrival_us);
        report.until_us = trace.rows().last().map(|row| row.arrival_us);
        trace
    }

    /// Where the log has whole seconds only, rows of one second are spread evenly over it in the log's order.
    /// Left as they are, a replay would send a second's requests at once, and nothing but the first of them would
    /// ever find an endpoint idle.
    fn spread(&mut self) -> u64 {
        let Some(seconds) = self.seconds.take() else { return 0 };
        let mut sizes: HashMap<i64, (i64, i64)> = HashMap::new();
        for second in &seconds {
            sizes.entry(*second).or_default().1 += 1;
        }
        let mut moved = 0;
        for (row, second) in self.rows.iter_mut().zip(&seconds) {
            let Some((place, size)) = sizes.get_mut(second) else { continue };
            let offset = *place * SECOND_US / (*size).max(1);
            *place += 1;
            if offset > 0 {
                row.arrival_us = row.arrival_us.saturating_add(offset);
                moved += 1;
            }
        }
        moved
    }

    /// The name of an endpoint: `group/name` until [`Self::shorten_groups`].
    fn endpoint(&mut self, group: Option<&str>, name: &str) -> Arc<str> {
        let Some(group) = group else { return self.share(name) };
        let full = self.share(&format!("{group}/{name}"));
        if !self.grouped.contains_key(&full) {
            let parts = (self.share(group), self.share(name));
            self.grouped.insert(Arc::clone(&full), parts);
        }
        full
    }

    /// `group/name` becomes `name` where no other group has that name: two backends may each have a `server1`.
    fn shorten_groups(&mut self) {
        let mut groups: HashMap<Arc<str>, usize> = HashMap::new();
        for (_, name) in self.grouped.values() {
            *groups.entry(Arc::clone(name)).or_default() += 1;
        }
        for row in &mut self.rows {
            let short = row.endpoint.as_ref().and_then(|full| self.grouped.get(full)).map(|(_, name)| name);
            if let Some(short) = short.filter(|name| groups.get(*name) == Some(&1)) {
                row.endpoint = Some(Arc::clone(short));
            }
        }
    }

    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&name));
        name
    }
}

fn out_of_order(rows: &[TraceRow]) -> u64 {
    rows.windows(2).filter(|pair| matches!(pair, [a, b] if b.arrival_us < a.arrival_us)).count() as u64
}

/// A name without control characters, not longer than [`MAX_NAME_BYTES`]; `None` where nothing is named.
fn clean(name: &str) -> Option<Cow<'_, str>> {
    let name = super::request::present(name)?;
    let name = name.get(..name.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or(name);
    if name.chars().any(char::is_control) {
        return Some(Cow::Owned(name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()));
    }
    Some(Cow::Borrowed(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::format::Format;
    use super::super::time::Instant;
    use super::*;

    fn draft(stamp_us: i64) -> Draft<'static> {
        Draft::new(Instant(stamp_us), Target::Path("/a/7".into()))
    }

    fn collected(drafts: Vec<Draft<'_>>) -> (Trace, ImportReport) {
        let mut collector = Collector::new("shop", true);
        for draft in drafts {
            collector.push(draft).unwrap();
        }
        let mut report = ImportReport::new(Format::Clf);
        (collector.finish(&mut report), report)
    }

    fn arrivals(trace: &Trace) -> Vec<i64> {
        trace.rows().iter().map(|row| row.arrival_us).collect()
    }

    #[test]
    fn whole_seconds_are_spread_in_the_order_of_the_log() {
        let (trace, report) = collected([1, 1, 2, 1, 1].map(|second| draft(second * SECOND_US)).to_vec());
        assert_eq!(arrivals(&trace), [1_000_000, 1_250_000, 1_500_000, 1_750_000, 2_000_000]);
        assert_eq!((report.spread, report.out_of_order), (3, 1));
    }

    #[test]
    fn one_fraction_shows_that_seconds_are_not_rounded() {
        let (trace, report) = collected(vec![draft(1_000_000), draft(1_000_000), draft(1_500_000)]);
        assert_eq!(arrivals(&trace), [1_000_000, 1_000_000, 1_500_000]);
        assert_eq!(report.spread, 0);
    }

    #[test]
    fn a_server_name_that_two_groups_have_keeps_its_group() {
        let served = |group, name: &'static str| Draft { group: Some(group), endpoint: Some(name.into()), ..draft(1) };
        let (trace, report) = collected(vec![served("api", "s1"), served("static", "s1"), served("api", "s2")]);
        let names: Vec<_> = trace.rows().iter().map(|row| row.endpoint.as_deref().unwrap()).collect();
        assert_eq!(names, ["api/s1", "static/s1", "s2"]);
        assert_eq!(report.endpoints, 3);
    }

    #[test]
    fn what_a_log_leaves_out_gets_the_stated_defaults() {
        let posted = Draft { request_bytes: Some(3), tenant: Some("a\u{0}b".into()), ..draft(2) };
        let (trace, _) = collected(vec![draft(1), posted]);
        let row = &trace.rows()[0];
        assert_eq!((&*row.tenant, &*row.method, &*row.route), ("shop", "GET", "/a/{id}"));
        let row = &trace.rows()[1];
        assert_eq!((&*row.tenant, &*row.method), ("a\u{fffd}b", "POST"));
    }

    #[test]
    fn an_arrival_before_all_time_is_a_reason_and_not_a_panic() {
        let mut collector = Collector::new("shop", false);
        let impossible = Draft { before_stamp_us: u64::MAX, ..draft(0) };
        assert_eq!(collector.push(impossible), Err(BAD_ARRIVAL));
        assert_eq!(collector.len(), 0);
    }
}
