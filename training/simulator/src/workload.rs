//! The requests: when they arrive, of which tenant and route, and how much work they are.
//!
//! Open loop: arrivals do not wait for answers, so a slow policy cannot slow its own load down (coordinated
//! omission). A load profile is followed by thinning (Lewis & Shedler 1979).

use crate::chance::{Alias, exponential, normal, stream, zipf};
use crate::error::SimError;
use crate::scenario::{Cell, Scenario};
use crate::traces::{self, TraceRow};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Nanoseconds in a second and in a millisecond.
pub(crate) const SECOND: f64 = 1e9;
/// See [`SECOND`].
pub(crate) const MILLISECOND: f64 = 1e6;

/// One request before it is routed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) at: u64,
    pub(crate) proxy: u16,
    pub(crate) tenant: u32,
    pub(crate) route: u16,
    /// Nanoseconds on one reference core.
    pub(crate) work: f64,
    pub(crate) body_bytes: Option<u64>,
}

enum Source {
    Poisson { routes: Alias, tenants: Alias, peak: f64 },
    Trace { rows: Vec<TraceRow>, next: usize, stretch: f64, span: f64, lap: f64 },
}

/// The stream of requests of one seed.
pub(crate) struct Workload<'a> {
    scenario: &'a Scenario,
    rate_rps: f64,
    proxies: usize,
    until: f64,
    source: Source,
    at: f64,
    rng: Pcg64Mcg,
    works: Pcg64Mcg,
    work_scale: f64,
}

impl<'a> Workload<'a> {
    pub(crate) fn new(scenario: &'a Scenario, cell: &Cell, seed: u64, until_secs: f64) -> Result<Self, SimError> {
        let (mut work_scale, until) = (1.0, until_secs * SECOND);
        let source = match &scenario.trace {
            None => Source::Poisson {
                routes: Alias::new(&scenario.routes.iter().map(|route| route.share).collect::<Vec<_>>()),
                tenants: Alias::new(&zipf(scenario.tenants.count, scenario.tenants.zipf)),
                peak: scenario.profile.iter().map(|(_, factor)| *factor).fold(1.0, f64::max),
            },
            Some(trace) => {
                let rows = traces::read(trace.format, &trace.file, scenario.tenants.count)?;
                let span = rows.last().map_or(1.0, |row| row.at_secs).max(1e-3) * SECOND;
                let own_rate = rows.len() as f64 / (span / SECOND);
                let mean = rows.iter().map(|row| row.cost).sum::<f64>() / rows.len().max(1) as f64;
                work_scale = scenario.routes.first().map_or(1.0, |route| route.work.mean_ms()) / mean.max(1e-12);
                // Different seeds start at different places of the trace.
                let next = (seed as usize).wrapping_mul(7_919) % rows.len().max(1);
                Source::Trace { rows, next, stretch: own_rate / cell.rate_rps, span, lap: 0.0 }
            }
        };
        let mut workload = Self {
            scenario,
            rate_rps: cell.rate_rps,
            proxies: cell.proxies,
            until,
            source,
            at: 0.0,
            rng: stream(seed, 1),
            works: stream(seed, 2),
            work_scale,
        };
        if let Source::Trace { rows, next, stretch, lap, .. } = &mut workload.source {
            *lap = -rows.get(*next).map_or(0.0, |row| row.at_secs * SECOND) * *stretch;
        }
        Ok(workload)
    }

    /// Factor of the load at a time, linear between the points of the profile.
    fn factor(&self, at: f64) -> f64 {
        let profile = &self.scenario.profile;
        let secs = at / SECOND;
        match profile.iter().position(|(point, _)| *point > secs) {
            None => profile.last().map_or(1.0, |(_, factor)| *factor),
            Some(0) => profile.first().map_or(1.0, |(_, factor)| *factor),
            Some(after) => {
                let ((t0, f0), (t1, f1)) = (profile[after - 1], profile[after]);
                f0 + (f1 - f0) * (secs - t0) / (t1 - t0).max(1e-9)
            }
        }
    }

    /// The next request; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Arrival> {
        let newcomer = self.draw_newcomer();
        match &mut self.source {
            Source::Poisson { peak, .. } => {
                let peak = *peak;
                loop {
                    self.at += exponential(&mut self.rng) * SECOND / (self.rate_rps * peak);
                    if self.at >= self.until {
                        return None;
                    }
                    if self.scenario.profile.is_empty() || self.rng.random::<f64>() * peak <= self.factor(self.at) {
                        break;
                    }
                }
            }
            Source::Trace { rows, next, stretch, span, lap } => {
                if *next >= rows.len() {
                    *next = 0;
                    *lap += *span * *stretch;
                }
                let row = *rows.get(*next)?;
                *next += 1;
                self.at = (row.at_secs * SECOND * *stretch + *lap).max(self.at);
                if self.at >= self.until {
                    return None;
                }
                let proxy = self.rng.random_range(0..self.proxies) as u16;
                let body_bytes = row.body_bytes;
                let work = row.cost * self.work_scale * MILLISECOND;
                return Some(Arrival { at: self.at as u64, proxy, tenant: row.tenant, route: 0, work, body_bytes });
            }
        }
        let Source::Poisson { routes, tenants, .. } = &self.source else { return None };
        let route = routes.draw(&mut self.rng);
        let tenant = tenants.draw(&mut self.rng) as u32;
        let tenant = newcomer.filter(|_| self.at >= self.scenario.tenants.newcomers_at_secs * SECOND).unwrap_or(tenant);
        let proxy = self.rng.random_range(0..self.proxies) as u16;
        let of = &self.scenario.routes[route];
        let work_ms = of.work.draw(&mut self.works);
        let body_bytes = of.body_bytes_per_ms.map(|bytes| {
            let noise = if of.body_sigma > 0.0 { (of.body_sigma * normal(&mut self.works)).exp() } else { 1.0 };
            (bytes * work_ms * noise) as u64
        });
        Some(Arrival {
            at: self.at as u64,
            proxy,
            tenant,
            route: route as u16,
            work: work_ms * MILLISECOND,
            body_bytes,
        })
    }

    /// A newcomer in its share of draws; whether newcomers are there yet is decided by the time of arrival.
    fn draw_newcomer(&mut self) -> Option<u32> {
        let tenants = &self.scenario.tenants;
        if tenants.newcomers == 0 || self.rng.random::<f64>() >= tenants.newcomers_share {
            return None;
        }
        Some((tenants.count + self.rng.random_range(0..tenants.newcomers)) as u32)
    }
}

/// Tenants of a scenario, newcomers included.
pub(crate) fn tenant_count(scenario: &Scenario) -> usize {
    scenario.tenants.count + scenario.tenants.newcomers
}
