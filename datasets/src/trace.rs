//! Recorded traffic in memory: one row a request, sorted by arrival.
//!
//! Rows share their names through `Arc<str>`, so a row is 120 bytes and a hundred thousand requests fit the
//! cache of a laptop. Rejected: an Arrow batch as the type in memory, because every user of a trace (replay,
//! training, simulation) walks it row by row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Status of a request whose client left before a response: nginx's code, used for all recorders, because
/// HAProxy writes -1, Envoy 0 and AWS 460 for the same event.
pub const CLIENT_LEFT: u16 = 499;

/// One recorded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRow {
    /// When the request reached the recorder, in microseconds since 1970 (or since the trace's own zero).
    pub arrival_us: i64,
    /// Whose request it was.
    pub tenant: Arc<str>,
    /// Route template, e.g. `/api/items/{id}`.
    pub route: Arc<str>,
    /// HTTP method.
    pub method: Arc<str>,
    /// Size of the request in bytes (of the body where the recorder tells it apart).
    pub request_bytes: Option<u64>,
    /// Size of the response in bytes.
    pub response_bytes: Option<u64>,
    /// The endpoint that served it.
    pub endpoint: Option<Arc<str>>,
    /// HTTP status; [`CLIENT_LEFT`] where the client left first.
    pub status: Option<u16>,
    /// Time the endpoint took, in microseconds.
    pub latency_us: Option<u64>,
}

/// Recorded requests, sorted by arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    rows: Vec<TraceRow>,
}

/// Size class of a tenant by its share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TenantGroup {
    /// The busiest tenants, which together send half of all requests.
    Large,
    /// The next, up to four fifths of all requests.
    Medium,
    /// The rest.
    Small,
}

impl TenantGroup {
    /// `large`, `medium` or `small`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Medium => "medium",
            Self::Small => "small",
        }
    }
}

/// Share of requests at which the large tenants end.
const LARGE_SHARE: f64 = 0.5;
/// Share of requests at which the medium tenants end.
const MEDIUM_SHARE: f64 = 0.8;

impl Trace {
    /// A trace of these rows, sorted by arrival; rows that arrived together keep their order.
    pub fn new(mut rows: Vec<TraceRow>) -> Self {
        if !rows.is_sorted_by_key(|row| row.arrival_us) {
            rows.sort_by_key(|row| row.arrival_us);
        }
        Self { rows }
    }

    /// The rows in order of arrival.
    pub fn rows(&self) -> &[TraceRow] {
        &self.rows
    }

    /// The rows, owned.
    pub fn into_rows(self) -> Vec<TraceRow> {
        self.rows
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// From the first arrival to the last.
    pub fn duration(&self) -> Duration {
        match (self.rows.first(), self.rows.last()) {
            (Some(first), Some(last)) => Duration::from_micros(last.arrival_us.abs_diff(first.arrival_us)),
            _ => Duration::ZERO,
        }
    }

    /// Mean requests per second over [`Trace::duration`]; zero where that is zero.
    pub fn mean_rate(&self) -> f64 {
        let secs = self.duration().as_secs_f64();
        if secs > 0.0 { self.rows.len() as f64 / secs } else { 0.0 }
    }

    /// The requests that arrived in `[from, to)` after the first arrival.
    pub fn slice(&self, from: Duration, to: Duration) -> Self {
        let Some(first) = self.rows.first().map(|row| row.arrival_us) else { return Self::default() };
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        let start = self.rows.partition_point(|row| row.arrival_us < first.saturating_add(micros(from)));
        let end = self.rows.partition_point(|row| row.arrival_us < first.saturating_add(micros(to)));
        Self { rows: self.rows.get(start..end.max(start)).unwrap_or_default().to_vec() }
    }

    /// Number of distinct tenants.
    pub fn tenants(&self) -> usize {
        distinct(self.rows.iter().map(|row| &*row.tenant))
    }

    /// Number of distinct routes.
    pub fn routes(&self) -> usize {
        distinct(self.rows.iter().map(|row| &*row.route))
    }

    /// Number of distinct endpoints.
    pub fn endpoints(&self) -> usize {
        distinct(self.rows.iter().filter_map(|row| row.endpoint.as_deref()))
    }

    /// The size class of each tenant, by its share of the requests.
    pub fn tenant_groups(&self) -> BTreeMap<Arc<str>, TenantGroup> {
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        for row in &self.rows {
            *counts.entry(&row.tenant).or_default() += 1;
        }
        let mut ranked: Vec<_> = counts.into_iter().collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let total = self.rows.len() as f64;
        let mut before = 0usize;
        let mut groups = BTreeMap::new();
        for (tenant, count) in ranked {
            let share = before as f64 / total;
            let group = if share < LARGE_SHARE {
                TenantGroup::Large
            } else if share < MEDIUM_SHARE {
                TenantGroup::Medium
            } else {
                TenantGroup::Small
            };
            groups.insert(Arc::clone(tenant), group);
            before += count;
        }
        groups
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.collect::<HashSet<_>>().len()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn row(arrival_us: i64, tenant: &str) -> TraceRow {
        TraceRow {
            arrival_us,
            tenant: Arc::from(tenant),
            route: Arc::from("/"),
            method: Arc::from("GET"),
            request_bytes: None,
            response_bytes: None,
            endpoint: None,
            status: None,
            latency_us: None,
        }
    }

    #[test]
    fn rows_are_sorted_by_arrival_and_ties_keep_their_order() {
        let trace = Trace::new(vec![row(5, "a"), row(1, "b"), row(5, "c"), row(1, "d")]);
        let order: Vec<&str> = trace.rows().iter().map(|row| &*row.tenant).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
    }

    #[test]
    fn an_empty_trace_has_no_duration_and_no_rate() {
        let trace = Trace::default();
        assert_eq!(trace.duration(), Duration::ZERO);
        assert_eq!(trace.mean_rate(), 0.0);
        assert!(trace.slice(Duration::ZERO, Duration::MAX).is_empty());
        assert!(trace.tenant_groups().is_empty());
    }

    #[test]
    fn groups_follow_the_share_of_traffic() {
        let mut rows = Vec::new();
        for (tenant, count) in [("big", 60), ("mid", 25), ("low", 15)] {
            rows.extend((0..count).map(|i| row(i, tenant)));
        }
        let groups = Trace::new(rows).tenant_groups();
        assert_eq!(groups["big"], TenantGroup::Large);
        assert_eq!(groups["mid"], TenantGroup::Medium);
        assert_eq!(groups["low"], TenantGroup::Small);
    }

    proptest! {
        #[test]
        fn two_slices_that_meet_hold_every_row_once(
            arrivals in proptest::collection::vec(-1_000_000i64..1_000_000, 1..80),
            cut in 0u64..2_100_000,
        ) {
            let trace = Trace::new(arrivals.iter().map(|at| row(*at, "t")).collect());
            let cut = Duration::from_micros(cut);
            let before = trace.slice(Duration::ZERO, cut);
            let after = trace.slice(cut, Duration::MAX);
            let joined: Vec<_> = before.rows().iter().chain(after.rows()).cloned().collect();
            prop_assert_eq!(joined, trace.into_rows());
        }
    }
}
