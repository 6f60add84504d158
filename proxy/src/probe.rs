//! Probes: asking endpoints for their load beside the traffic, paced by it.
//!
//! Each request earns a share of a probe; a probe goes to an endpoint drawn by chance, and nobody waits for it. Its
//! answer's load report (`endpoint-load-metrics`) reaches the balancer as one that came with a response would, with its
//! age. So a rule that knows the queues that other proxies made works where endpoints are seldom asked by this one. Source:
//! *Load is not what you should balance* (NSDI'24) §4: asynchronous, pooled, three a query.

use crate::config::Probes;
use crate::core::Core;
use crate::load_report;
use crate::site::Pool;
use crate::upstream::{RequestBody, Upstream};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use std::cell::Cell;
use std::rc::Rc;
use tailcast_features::hash::mix;

/// Probes on their way from one worker to one pool: endpoints that hang must not pile them up.
const MAX_OPEN: u32 = 64;

/// The longest answer that is read to its end; a connection with a longer one is closed.
const MAX_ANSWER_BYTES: usize = 4 * 1_024;

/// When the next probe of a pool is due.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    earned: Cell<f64>,
    open: Cell<u32>,
    drawn: Cell<u64>,
}

impl Pace {
    /// A request came: its share is added. The number of probes that are due, each a random number.
    fn due(&self, options: &Probes) -> impl Iterator<Item = u64> {
        let earned = self.earned.get() + options.per_request;
        self.earned.set(earned.fract());
        let room = u64::from(MAX_OPEN.saturating_sub(self.open.get()));
        let first = self.drawn.get();
        let count = (earned as u64).min(room);
        self.drawn.set(first + count);
        (first..first + count).map(|number| mix(number, 0x9e37_79b9_7f4a_7c15))
    }
}

/// A request came to a pool: sends the probes that are due.
pub(crate) fn earned(core: &Rc<Core>, pool: &Rc<Pool>) {
    let Some(options) = pool.probes() else { return };
    for chance in pool.pace().due(options) {
        let Some((key, upstream)) = pool.upstream_at(chance) else { return };
        pool.pace().open.set(pool.pace().open.get() + 1);
        let (core, pool) = (Rc::clone(core), Rc::clone(pool));
        tokio::task::spawn_local(async move {
            if let Some(options) = pool.probes() {
                let metrics = pool.metrics();
                metrics.probes.add(1);
                match tokio::time::timeout(options.timeout, ask(&core, &upstream, options)).await {
                    Ok(Some(report)) => core.report(&pool, key, report),
                    // Slow, broken or silent about its load: not for a probe to judge, only to count.
                    Ok(None) | Err(_) => metrics.probe_failures.add(1),
                }
            }
            pool.pace().open.set(pool.pace().open.get() - 1);
        });
    }
}

/// One probe on a kept connection, or a new one.
async fn ask(
    core: &Rc<Core>,
    upstream: &Rc<Upstream>,
    options: &Probes,
) -> Option<tailcast_features::store::LoadReport> {
    let mut sender = match upstream.take(core.now()) {
        Some(kept) => kept,
        None => upstream.connect(options.timeout).await.ok()?,
    };
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = Uri::from(options.path.clone());
    let host = HeaderValue::try_from(upstream.address().to_string()).ok()?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("tailcast-probe"));
    let response = sender.try_send_request(request).await.ok()?;
    let (mut head, body) = response.into_parts();
    let report = load_report::take(&mut head.headers);
    if Limited::new(body, MAX_ANSWER_BYTES).collect().await.is_ok() {
        upstream.put(sender, core.now());
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;
    use std::time::Duration;

    fn options(per_request: f64) -> Probes {
        Probes { path: PathAndQuery::from_static("/"), per_request, timeout: Duration::from_secs(1) }
    }

    #[test]
    fn probes_follow_the_requests_at_their_rate_and_stop_where_none_come_back() {
        let pace = Pace::default();
        let sent: usize = (0..100).map(|_| pace.due(&options(0.25)).count()).sum();
        assert_eq!(sent, 25);
        let sent: usize = (0..100).map(|_| pace.due(&options(3.0)).count()).sum();
        assert_eq!(sent, 300);
        pace.open.set(MAX_OPEN - 1);
        assert_eq!(pace.due(&options(3.0)).count(), 1);
        pace.open.set(MAX_OPEN);
        assert_eq!(pace.due(&options(3.0)).count(), 0);
    }

    #[test]
    fn probes_go_everywhere_alike() {
        let pace = Pace::default();
        let mut counts = [0; 8];
        for chance in (0..1_000).flat_map(|_| pace.due(&options(3.0)).collect::<Vec<_>>()) {
            counts[(chance % 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (300..450).contains(count)), "{counts:?}");
    }
}
