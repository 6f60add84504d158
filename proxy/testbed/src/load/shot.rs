//! What is sent and when.

use std::sync::Arc;
use std::time::Duration;
use tailcast_datasets::TraceRow;

/// One request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// Intended time, from the start of the run.
    pub at: Duration,
    /// Tenant.
    pub tenant: Arc<str>,
    /// Route template; `{…}` segments are filled with numbers.
    pub route: Arc<str>,
    /// Method.
    pub method: Arc<str>,
    /// Bytes of the request's body.
    pub body_bytes: u64,
    /// Bytes of the answer that an emulated endpoint is asked for.
    pub response_bytes: Option<u64>,
}

/// Numbers that `{id}` segments take: enough for distinct URLs, few enough to be repeated.
const DISTINCT_IDS: usize = 1_000;

impl Shot {
    /// The path: the route with its placeholders filled, different for each `number`.
    pub fn path(&self, number: usize) -> String {
        let mut path = String::with_capacity(self.route.len() + 4);
        let mut rest: &str = &self.route;
        if !rest.starts_with('/') {
            path.push('/');
        }
        while let Some((before, after)) = rest.split_once('{') {
            path.push_str(before);
            path.push_str(&(number % DISTINCT_IDS).to_string());
            rest = after.split_once('}').map_or("", |(_, rest)| rest);
        }
        path.push_str(rest);
        path
    }
}

/// Rows of a trace as shots: the first row is due at once, time runs `speed` times faster.
pub fn shots(rows: &[TraceRow], speed: f64) -> Vec<Shot> {
    let start = rows.first().map_or(0, |row| row.arrival_us);
    let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
    rows.iter()
        .map(|row| Shot {
            at: Duration::from_micros(row.arrival_us.abs_diff(start)).div_f64(speed),
            tenant: Arc::clone(&row.tenant),
            route: Arc::clone(&row.route),
            method: Arc::clone(&row.method),
            body_bytes: row.request_bytes.unwrap_or(0),
            response_bytes: row.response_bytes,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(route: &str) -> Shot {
        let text = |text: &str| Arc::from(text);
        Shot {
            at: Duration::ZERO,
            tenant: text("t"),
            route: text(route),
            method: text("GET"),
            body_bytes: 0,
            response_bytes: None,
        }
    }

    #[test]
    fn placeholders_become_numbers() {
        assert_eq!(shot("/api/items/{id}").path(7), "/api/items/7");
        assert_eq!(shot("/a/{id}/b/{file}.png").path(1_003), "/a/3/b/3.png");
        assert_eq!(shot("/plain").path(7), "/plain");
        assert_eq!(shot("no-slash").path(7), "/no-slash");
        assert_eq!(shot("/broken/{id").path(7), "/broken/7");
    }

    #[test]
    fn time_starts_at_the_first_row_and_runs_faster_with_speed() {
        let row = |arrival_us| TraceRow {
            arrival_us,
            tenant: Arc::from("t"),
            route: Arc::from("/"),
            method: Arc::from("GET"),
            request_bytes: None,
            response_bytes: None,
            endpoint: None,
            status: None,
            latency_us: None,
        };
        let shots = shots(&[row(5_000_000), row(6_000_000)], 4.0);
        assert_eq!(shots[0].at, Duration::ZERO);
        assert_eq!(shots[1].at, Duration::from_millis(250));
    }
}
