//! Counters to OpenMetrics 1.0 text. Source: the OpenMetrics specification.

use super::family::{
    ADMISSION_LIMIT, ADMISSION_WAITING, ARM_SLOW, CLIENTS, CONFIG_REFUSALS, CONFIG_RELOADS, CONNECTS, DECISIONS,
    ENDPOINT_OPEN, FAILURE_REASONS, FAILURES, Family, HEALTH_CHECK_FAILURES, HEALTH_CHECKS, IN_FLIGHT, LATENCY,
    LATENCY_BOUNDS_US, LIVE_COVERAGE, LIVE_PINBALL, LIVE_SAMPLES, LOG_DROPPED, LOG_FAILURES, LOG_RECOVERED, LOG_ROWS,
    LOG_SEGMENTS, LOST_SAMPLES, MODEL_INFO, MODEL_LOADS, MODEL_REFUSALS, MODEL_TAKE_BACKS, OUTCOMES, PANICS,
    PROBE_FAILURES, PROBES, REASONS, REFUSED, REQUEST_BYTES, REQUESTS, RESPONSE_BYTES, RETRIES, RETRIES_DENIED, REUSES,
    SHED,
};
use super::{Counter, Metrics, NamedPool, PoolMetrics};
use crate::judge::{Harm, LiveQuantile};
use std::fmt::Write;
use std::sync::PoisonError;
use tailcast_balance::admission::ShedReason;

/// In-flight requests of one endpoint of a pool.
pub(crate) struct EndpointGauge<'a> {
    pub(crate) pool: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) in_flight: u32,
    pub(crate) is_open: bool,
}

/// One counter of a pool.
type OfPool = fn(&PoolMetrics) -> &Counter;

/// One number of a model's quantile.
type OfQuantile = fn(&LiveQuantile) -> Option<f64>;

/// A text under construction. Writing to a `String` cannot fail, so results are dropped.
struct Page(String);

impl Page {
    fn family(&mut self, family: &Family) {
        let _ = write!(self.0, "# TYPE {0} {1}\n# HELP {0} {2}\n", family.name, family.kind, family.help);
    }

    fn sample(&mut self, family: &Family, labels: &[(&str, &str)], value: u64) {
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        self.line(family.name, suffix, labels, &value.to_string());
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: &str) {
        let _ = write!(self.0, "{name}{suffix}");
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}

impl Metrics {
    /// The page of `/metrics`.
    pub(crate) fn render(&self, endpoints: &[EndpointGauge<'_>], model: Option<&str>) -> String {
        let pools = &self.pools();
        let mut page = Page(String::with_capacity(8_192));
        Self::labelled(&mut page, &REQUESTS, pools, "outcome", &OUTCOMES.map(|kind| kind.name()), |pool| {
            &pool.outcomes
        });
        Self::labelled(&mut page, &DECISIONS, pools, "reason", &REASONS.map(|reason| reason.name()), |pool| {
            &pool.reasons
        });
        let plain: [(&Family, OfPool); 11] = [
            (&PANICS, |pool| &pool.panics),
            (&REQUEST_BYTES, |pool| &pool.request_bytes),
            (&RESPONSE_BYTES, |pool| &pool.response_bytes),
            (&RETRIES, |pool| &pool.retries),
            (&RETRIES_DENIED, |pool| &pool.retries_denied),
            (&PROBES, |pool| &pool.probes),
            (&PROBE_FAILURES, |pool| &pool.probe_failures),
            (&CONNECTS, |pool| &pool.connects),
            (&REUSES, |pool| &pool.reuses),
            (&ADMISSION_LIMIT, |pool| &pool.limit),
            (&ADMISSION_WAITING, |pool| &pool.waiting),
        ];
        for (family, of) in plain {
            page.family(family);
            for pool in pools {
                page.sample(family, &[("pool", &pool.name)], pool.sum(|metrics| of(metrics).get()));
            }
        }
        page.family(&SHED);
        for pool in pools {
            for (class, counts) in pool.shed() {
                for (reason, count) in ShedReason::ALL.iter().zip(counts) {
                    page.sample(&SHED, &[("pool", &pool.name), ("class", &class), ("reason", reason.name())], count);
                }
            }
        }
        Self::latency(&mut page, pools);
        page.family(&FAILURES);
        for (i, reason) in FAILURE_REASONS.iter().enumerate() {
            let count = self.cores.iter().filter_map(|core| core.failures.get(i)).map(Counter::get).sum();
            page.sample(&FAILURES, &[("reason", reason)], count);
        }
        page.family(&IN_FLIGHT);
        for gauge in endpoints {
            let labels = [("pool", gauge.pool), ("endpoint", gauge.endpoint)];
            page.sample(&IN_FLIGHT, &labels, u64::from(gauge.in_flight));
        }
        page.family(&ENDPOINT_OPEN);
        for gauge in endpoints {
            let labels = [("pool", gauge.pool), ("endpoint", gauge.endpoint)];
            page.sample(&ENDPOINT_OPEN, &labels, u64::from(gauge.is_open));
        }
        let sum = |of: fn(&super::CoreMetrics) -> &Counter| self.cores.iter().map(|core| of(core).get()).sum::<u64>();
        page.family(&REFUSED);
        page.sample(&REFUSED, &[("reason", "address_limit")], sum(|core| &core.refused_address_limit));
        page.sample(&REFUSED, &[("reason", "proxy_header")], sum(|core| &core.refused_proxy_header));
        page.sample(&REFUSED, &[("reason", "tls")], sum(|core| &core.refused_tls));
        page.family(&LOG_DROPPED);
        page.sample(&LOG_DROPPED, &[("reason", "queue_full")], sum(|core| &core.log_overflow));
        page.sample(&LOG_DROPPED, &[("reason", "disk")], self.log.dropped.get());
        let single = [
            (&CLIENTS, sum(|core| &core.clients)),
            (&LOG_ROWS, self.log.rows.get()),
            (&LOG_FAILURES, self.log.failures.get()),
            (&LOG_SEGMENTS, self.log.segments.get()),
            (&LOG_RECOVERED, self.log.recovered.get()),
            (&MODEL_LOADS, self.model.loads.get()),
            (&MODEL_REFUSALS, self.model.refusals.get()),
            (&HEALTH_CHECKS, self.checks.done.get()),
            (&HEALTH_CHECK_FAILURES, self.checks.failed.get()),
            (&CONFIG_RELOADS, self.reload.reloads.get()),
            (&CONFIG_REFUSALS, self.reload.refusals.get()),
        ];
        for (family, value) in single {
            page.family(family);
            page.sample(family, &[], value);
        }
        self.models(&mut page);
        page.family(&MODEL_INFO);
        if let Some(id) = model {
            page.sample(&MODEL_INFO, &[("model", id)], 1);
        }
        page.0.push_str("# EOF\n");
        page.0
    }

    /// What the judge of models said, and what came of it.
    fn models(&self, page: &mut Page) {
        page.family(&MODEL_TAKE_BACKS);
        for (harm, counter) in Harm::ALL.iter().zip(&self.model.taken_back) {
            page.sample(&MODEL_TAKE_BACKS, &[("reason", harm.name())], counter.get());
        }
        page.family(&LOST_SAMPLES);
        page.sample(&LOST_SAMPLES, &[], self.model.lost_samples.get());
        let judged = self.model.judged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        page.family(&LIVE_SAMPLES);
        for score in &judged.scores {
            page.sample(&LIVE_SAMPLES, &[("role", score.role.name())], score.rows);
        }
        let gauges: [(&Family, OfQuantile); 2] =
            [(&LIVE_PINBALL, |quantile| quantile.pinball), (&LIVE_COVERAGE, |quantile| quantile.coverage_ratio)];
        for (family, of) in gauges {
            page.family(family);
            for (score, quantile) in
                judged.scores.iter().flat_map(|score| score.quantiles.iter().map(move |q| (score, q)))
            {
                let labels = [("role", score.role.name()), ("quantile", &quantile.level.to_string())];
                if let Some(value) = of(quantile) {
                    page.line(family.name, "", &labels, &format!("{value:?}"));
                }
            }
        }
        page.family(&ARM_SLOW);
        for pool in judged.pools.iter().filter(|pool| pool.arms.blocks > 0) {
            for (arm, ratio) in
                [("predictive", pool.arms.treated_slow_ratio), ("control", pool.arms.control_slow_ratio)]
            {
                page.line(ARM_SLOW.name, "", &[("pool", &pool.pool), ("arm", arm)], &format!("{ratio:?}"));
            }
        }
    }

    fn labelled<const N: usize>(
        page: &mut Page,
        family: &Family,
        pools: &[NamedPool],
        label: &str,
        values: &[&str; N],
        of: impl Fn(&PoolMetrics) -> &[Counter; N],
    ) {
        page.family(family);
        for pool in pools {
            for (i, value) in values.iter().enumerate() {
                let count = pool.sum(|metrics| of(metrics).get(i).map_or(0, Counter::get));
                page.sample(family, &[("pool", &pool.name), (label, value)], count);
            }
        }
    }

    fn latency(page: &mut Page, pools: &[NamedPool]) {
        page.family(&LATENCY);
        for pool in pools {
            let mut count = 0;
            for i in 0..=LATENCY_BOUNDS_US.len() {
                count += pool.sum(|metrics| metrics.latency.get(i).map_or(0, Counter::get));
                let bound = LATENCY_BOUNDS_US.get(i).map_or("+Inf".to_owned(), |us| format!("{:?}", *us as f64 / 1e6));
                page.line(LATENCY.name, "_bucket", &[("pool", &pool.name), ("le", &bound)], &count.to_string());
            }
            let sum = pool.sum(|metrics| metrics.latency_us.get()) as f64 / 1e6;
            page.line(LATENCY.name, "_sum", &[("pool", &pool.name)], &format!("{sum:?}"));
            page.line(LATENCY.name, "_count", &[("pool", &pool.name)], &count.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::ALL;
    use super::*;
    use std::time::Duration;
    use tailcast_features::OutcomeKind;

    fn page() -> String {
        let metrics = Metrics::new(1);
        let pool = metrics.of_pool("web");
        pool[0].ended(OutcomeKind::Success, Duration::from_micros(1_000));
        pool[0].ended(OutcomeKind::Success, Duration::from_secs(3_600));
        let gauge = EndpointGauge { pool: "web", endpoint: "a\"b", in_flight: 3, is_open: true };
        metrics.render(&[gauge], Some("m1"))
    }

    #[test]
    fn every_family_is_on_the_page_once_and_the_page_is_closed() {
        let page = page();
        for family in ALL {
            assert_eq!(page.matches(&format!("# TYPE {} ", family.name)).count(), 1, "{}", family.name);
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn buckets_are_cumulative_and_labels_are_escaped() {
        let page = page();
        assert!(page.contains("_bucket{pool=\"web\",le=\"0.0005\"} 0\n"), "{page}");
        assert!(page.contains("_bucket{pool=\"web\",le=\"0.001\"} 1\n"), "{page}");
        assert!(page.contains("_bucket{pool=\"web\",le=\"+Inf\"} 2\n"), "{page}");
        assert!(page.contains("tailcast_requests_total{pool=\"web\",outcome=\"success\"} 2\n"), "{page}");
        assert!(page.contains("{pool=\"web\",endpoint=\"a\\\"b\"} 3\n"), "{page}");
    }
}
