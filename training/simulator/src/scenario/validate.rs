//! Raw to checked: every range, with the key and what would be right. Nothing is clamped.

use super::raw::{RawEvent, RawScenario};
use super::{Antagonists, Cache, Class, Event, Load, Route, Scenario, Tenants, Trace, Training, Window};
use crate::error::SimError;
use crate::marks::Mark;
use crate::traces::TraceFormat;
use std::path::Path;
use std::time::Duration;
use tailcast_balance::admission::AdmissionOptions;

/// More servers or proxies would not fit the 16-bit numbers that requests carry.
const MOST: usize = 4_096;

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<f64, SimError> {
    if value.is_finite() && value >= low && value <= high {
        return Ok(value);
    }
    Err(SimError::value(key, value, format!("{low} to {high}")))
}

fn count(key: &str, value: usize, low: usize, high: usize) -> Result<usize, SimError> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(SimError::value(key, value, format!("{low} to {high}"))) }
}

pub(super) fn validate(raw: RawScenario, path: &Path) -> Result<Scenario, SimError> {
    let classes = classes(&raw)?;
    let servers: usize = classes.iter().map(|class| class.count).sum();
    count("servers.count (sum)", servers, 1, MOST)?;
    if classes.iter().all(|class| class.joins_at_secs.is_some()) {
        return Err(SimError::value(
            "servers.joins_at_secs",
            "set for all",
            "at least one class is there at the start",
        ));
    }
    let trace = trace(&raw, path)?;
    let routes = routes(&raw, classes.len(), trace.is_some())?;
    if raw.clients.proxies.is_empty() {
        return Err(SimError::value("clients.proxies", "[]", "at least one number"));
    }
    for proxies in &raw.clients.proxies {
        count("clients.proxies", *proxies, 1, MOST)?;
    }
    let mut report_periods_ms = raw.signals.period_ms.clone();
    for period in &report_periods_ms {
        within("signals.period_ms", *period, 0.0, 60_000.0)?;
    }
    if report_periods_ms.is_empty() {
        report_periods_ms.push(0.0);
    }
    let tenants = &raw.tenants;
    let most_tenants = 1_000_000;
    let marks = raw
        .marks
        .iter()
        .map(|mark| {
            within("marks.at_most", mark.at_most, 0.0, 1e6)?;
            Mark::parse(&mark.metric, &mark.against, mark.at_most).ok_or_else(|| {
                SimError::value(
                    "marks",
                    format!("{} against {}", mark.metric, mark.against),
                    "metric p90, p99, failed, newcomers, recovery_secs, window:NAME, lost_goodput:NAME or shortfall:NAME; against best_peer, absolute, \
                     own_window:NAME or a policy",
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let (events, windows) = (events(&raw, servers, &routes)?, windows(&raw)?);
    let (loads, profile) = (loads(&raw)?, profile(&raw)?);
    let admission = admission(&raw)?;
    Ok(Scenario {
        warmup_secs: within("run.warmup_secs", raw.run.warmup_secs, 0.0, 1e5)?,
        measure_secs: within("run.measure_secs", raw.run.measure_secs, 0.1, 1e5)?,
        timeout_ms: within("clients.timeout_ms", raw.clients.timeout_ms, 1.0, 1e6)?,
        cancel_on_timeout: raw.clients.cancel_on_timeout,
        network_delay_ms: within("clients.network_delay_ms", raw.clients.network_delay_ms, 0.0, 1e4)?,
        loads,
        profile,
        tenants: Tenants {
            count: count("tenants.count", tenants.count, 1, most_tenants)?,
            zipf: within("tenants.zipf", tenants.zipf, 0.0, 5.0)?,
            newcomers: count("tenants.newcomers", tenants.newcomers, 0, most_tenants)?,
            newcomers_at_secs: within("tenants.newcomers_at_secs", tenants.newcomers_at_secs, 0.0, 1e5)?,
            newcomers_share: within("tenants.newcomers_share", tenants.newcomers_share, 0.0, 1.0)?,
        },
        cache: match raw.cache {
            Some(cache) => Some(Cache {
                tenants: count("cache.tenants", cache.tenants, 1, 10_000)?,
                miss_factor: within("cache.miss_factor", cache.miss_factor, 1.0, 1e3)?,
            }),
            None => None,
        },
        antagonists: match raw.antagonists {
            Some(other) => Some(Antagonists {
                share: within("antagonists.share", other.share, 0.0, 0.99)?,
                mean_on_secs: within("antagonists.mean_on_secs", other.mean_on_secs, 0.01, 1e4)?,
                guarantee: within("antagonists.guarantee", other.guarantee, 0.01, 100.0)?,
                spill: within("antagonists.spill", other.spill, 0.01, 100.0)?,
                speed: within("antagonists.speed", other.speed, 0.01, 1.0)?,
            }),
            None => None,
        },
        piggyback: if raw.signals.piggyback.is_empty() { vec![false] } else { raw.signals.piggyback },
        report_periods_ms,
        stale_probes: raw.signals.stale_probes,
        probes: count("signals.probes", raw.signals.probes, 0, 100)?,
        signal_delay_ms: within("signals.delay_ms", raw.signals.delay_ms, 0.0, 60_000.0)?,
        events,
        windows,
        training: Training {
            log_secs: within("training.log_secs", raw.training.log_secs, 1.0, 1e5)?,
            rounds: count("training.rounds", raw.training.rounds, 1, 10)?,
            retrain_every_secs: within("training.retrain_every_secs", raw.training.retrain_every_secs, 0.0, 1e5)?,
            max_rows: count("training.max_rows", raw.training.max_rows, 1_000, 10_000_000)?,
        },
        marks,
        admission,
        proxies: raw.clients.proxies,
        name: raw.name,
        about: raw.about,
        routes,
        classes,
        trace,
    })
}

fn classes(raw: &RawScenario) -> Result<Vec<Class>, SimError> {
    if raw.servers.is_empty() {
        return Err(SimError::value("servers", "[]", "at least one [[servers]]"));
    }
    let mut classes = Vec::new();
    for servers in &raw.servers {
        let fifo = match (servers.workers, servers.queue) {
            (None, None) => None,
            (Some(workers), queue) if workers > 0 => Some((workers, queue.unwrap_or(u32::MAX))),
            (workers, _) => {
                return Err(SimError::value("servers.workers", format!("{workers:?}"), "1 or more where queue is set"));
            }
        };
        classes.push(Class {
            name: servers.class.clone(),
            count: count("servers.count", servers.count, 1, MOST)?,
            cores: within("servers.cores", servers.cores, 0.01, 1e4)?,
            speed: within("servers.speed", servers.speed, 0.001, 1e3)?,
            fifo,
            joins_at_secs: match servers.joins_at_secs {
                Some(at) => Some(within("servers.joins_at_secs", at, 0.0, 1e5)?),
                None => None,
            },
            warms_over_secs: within("servers.warms_over_secs", servers.warms_over_secs, 0.0, 1e4)?,
            warms_from: within("servers.warms_from", servers.warms_from, 0.01, 1.0)?,
        });
    }
    // Slots of late joiners come last, so that a pool grows at its end.
    let late = |class: &Class| class.joins_at_secs.unwrap_or(-1.0);
    if classes.windows(2).any(|pair| late(&pair[0]) > late(&pair[1])) {
        return Err(SimError::value(
            "servers.joins_at_secs",
            "out of order",
            "classes in the order in which they join",
        ));
    }
    Ok(classes)
}

fn routes(raw: &RawScenario, classes: usize, traced: bool) -> Result<Vec<Route>, SimError> {
    if raw.routes.is_empty() {
        return Err(SimError::value("routes", "[]", "at least one [[routes]]"));
    }
    if traced && raw.routes.len() != 1 {
        return Err(SimError::value("routes", raw.routes.len(), "exactly 1 beside a trace"));
    }
    let mut routes = Vec::new();
    for route in &raw.routes {
        if let Some((name, value)) = route.work.wrong() {
            return Err(SimError::value(format!("routes.work.{name}"), value, "above 0"));
        }
        let mut class_factor = route.class_factor.clone();
        if class_factor.is_empty() {
            class_factor = vec![1.0; classes];
        }
        if class_factor.len() != classes {
            let allowed = format!("one factor for each of {classes} classes");
            return Err(SimError::value("routes.class_factor", format!("{class_factor:?}"), allowed));
        }
        for factor in &class_factor {
            within("routes.class_factor", *factor, 0.001, 1e3)?;
        }
        if let Some(bytes) = route.body_bytes_per_ms {
            within("routes.body_bytes_per_ms", bytes, 0.0, 1e9)?;
        }
        routes.push(Route {
            path: route.path.clone(),
            share: within("routes.share", route.share, 1e-6, 1e6)?,
            work: route.work,
            class_factor,
            body_bytes_per_ms: route.body_bytes_per_ms,
            body_sigma: within("routes.body_sigma", route.body_sigma, 0.0, 5.0)?,
        });
    }
    Ok(routes)
}

fn loads(raw: &RawScenario) -> Result<Vec<Load>, SimError> {
    let (utilisation, rates) = (&raw.load.utilisation, &raw.load.rate_rps);
    if utilisation.is_empty() == rates.is_empty() {
        let value = format!("utilisation {utilisation:?} and rate_rps {rates:?}");
        return Err(SimError::value("load", value, "either utilisation or rate_rps"));
    }
    let ratios =
        utilisation.iter().map(|ratio| Ok(Load::Utilisation(within("load.utilisation", *ratio, 0.001, 10.0)?)));
    let rates = rates.iter().map(|rate| Ok(Load::Rate(within("load.rate_rps", *rate, 0.001, 1e7)?)));
    ratios.chain(rates).collect()
}

fn profile(raw: &RawScenario) -> Result<Vec<(f64, f64)>, SimError> {
    let mut profile = Vec::new();
    for point in &raw.load.profile {
        let at = within("load.profile.at_secs", point.at_secs, 0.0, 1e5)?;
        if profile.last().is_some_and(|(before, _)| *before > at) {
            return Err(SimError::value("load.profile.at_secs", at, "points in rising order of time"));
        }
        profile.push((at, within("load.profile.factor", point.factor, 0.0, 1e3)?));
    }
    Ok(profile)
}

fn events(raw: &RawScenario, servers: usize, routes: &[Route]) -> Result<Vec<Event>, SimError> {
    let span = |from: f64, until: f64, first: usize, count: usize| {
        within("events.from_secs", from, 0.0, 1e5)?;
        within("events.until_secs", until, from, 1e5)?;
        if count == 0 || first + count > servers {
            let value = format!("first {first}, count {count}");
            return Err(SimError::value("events.first", value, format!("a range of the {servers} servers")));
        }
        Ok(())
    };
    let mut events = Vec::new();
    for event in &raw.events {
        events.push(match *event {
            RawEvent::BrownOut { from_secs, until_secs, first, count, factor } => {
                span(from_secs, until_secs, first, count)?;
                let factor = within("events.factor", factor, 0.001, 1e3)?;
                Event::BrownOut { from_secs, until_secs, first, count, factor }
            }
            RawEvent::FailFast { from_secs, until_secs, first, count } => {
                span(from_secs, until_secs, first, count)?;
                Event::FailFast { from_secs, until_secs, first, count }
            }
            RawEvent::SwapClasses { at_secs, route } => {
                within("events.at_secs", at_secs, 0.0, 1e5)?;
                if route >= routes.len() {
                    return Err(SimError::value("events.route", route, format!("0 to {}", routes.len() - 1)));
                }
                Event::SwapClasses { at_secs, route }
            }
        });
    }
    Ok(events)
}

fn windows(raw: &RawScenario) -> Result<Vec<Window>, SimError> {
    let mut windows = Vec::new();
    for window in &raw.windows {
        let from_secs = within("windows.from_secs", window.from_secs, 0.0, 1e5)?;
        let until_secs = within("windows.until_secs", window.until_secs, from_secs, 1e5)?;
        windows.push(Window { name: window.name.clone(), from_secs, until_secs });
    }
    Ok(windows)
}

fn admission(raw: &RawScenario) -> Result<Option<AdmissionOptions>, SimError> {
    let Some(raw) = raw.admission else { return Ok(None) };
    let mut options = AdmissionOptions::default();
    if let Some(tolerance) = raw.tolerance {
        options.limiter.tolerance = within("admission.tolerance", tolerance, 1.01, 10.0)? as f32;
    }
    if let Some(ms) = raw.queue_target_ms {
        options.patience.target = Duration::from_secs_f64(within("admission.queue_target_ms", ms, 0.1, 1e4)? * 1e-3);
    }
    if let Some(ms) = raw.queue_interval_ms {
        options.patience.interval =
            Duration::from_secs_f64(within("admission.queue_interval_ms", ms, 0.1, 1e4)? * 1e-3);
    }
    if let Some(most) = raw.queue_requests {
        options.queue_requests = count("admission.queue_requests", most, 1, 100_000)?;
    }
    Ok(Some(options))
}

fn trace(raw: &RawScenario, path: &Path) -> Result<Option<Trace>, SimError> {
    let Some(trace) = &raw.trace else { return Ok(None) };
    let format: TraceFormat = trace.format.parse()?;
    // `../shared/traces` beside the project's root, wherever in the project the scenario lies.
    let found = path
        .ancestors()
        .skip(1)
        .map(|directory| directory.join("../shared/traces").join(&trace.file))
        .find(|file| file.exists())
        .unwrap_or_else(|| Path::new("../shared/traces").join(&trace.file));
    Ok(Some(Trace { format, file: found }))
}
