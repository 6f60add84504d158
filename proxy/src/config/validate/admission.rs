//! Admission and tenant classes: raw ▸ validated.

use super::values::{millis, whole, within};
use crate::config::problem::Problems;
use crate::config::raw::{RawAdmission, RawTenantClass};
use crate::config::{PoolConfig, TenantClasses};
use crate::tenant::Tenant;
use std::ops::RangeInclusive;
use tailcast_balance::admission::{AdmissionOptions, Classes, PRIORITIES, Rate, TenantClass};
use tailcast_features::hash::hash_name;
use toml::Spanned;

/// Requests in flight of one worker: file descriptors end long before.
const LIMITS: RangeInclusive<i64> = 1..=1_000_000;
/// At 1 noise alone keeps the limit at its lowest; beyond 10 the endpoints are the queue.
const TOLERANCES: RangeInclusive<f64> = 1.01..=10.0;
/// More wait in a client's socket.
const QUEUES: RangeInclusive<i64> = 1..=100_000;
/// Weights are ratios; outside of this one tenant gets everything.
const WEIGHTS: RangeInclusive<f64> = 0.01..=100.0;
const PRIORITY: RangeInclusive<i64> = 0..=PRIORITIES as i64 - 1;
/// One request a quarter of an hour; beyond a million a second nothing is limited.
const RATES: RangeInclusive<f64> = 0.001..=1e6;
/// As for rates.
const BURSTS: RangeInclusive<f64> = 1.0..=1e6;

pub(super) fn admission(raw: RawAdmission, key: &str, problems: &mut Problems<'_>) -> AdmissionOptions {
    let mut options = AdmissionOptions::default();
    let key = |name: &str| format!("{key}.{name}");
    let limits = [
        ("initial_limit", &raw.initial_limit, &mut options.limiter.initial),
        ("min_limit", &raw.min_limit, &mut options.limiter.min),
        ("max_limit", &raw.max_limit, &mut options.limiter.max),
    ];
    for (name, value, target) in limits {
        if let Some(value) = value {
            *target = whole(value.clone(), &key(name), LIMITS, problems) as u32;
        }
    }
    let limiter = &options.limiter;
    if limiter.min > limiter.max {
        let message = format!("{} is above max_limit, {}", limiter.min, limiter.max);
        let span = raw.min_limit.as_ref().or(raw.max_limit.as_ref()).map_or(0..0, Spanned::span);
        problems.at(span, key("min_limit"), message);
    }
    if let Some(value) = raw.tolerance {
        options.limiter.tolerance = within(value, &key("tolerance"), &TOLERANCES, problems) as f32;
    }
    if let Some(value) = raw.queue_target_ms {
        options.patience.target = millis(value, &key("queue_target_ms"), problems);
    }
    if let Some(value) = raw.queue_interval_ms {
        options.patience.interval = millis(value, &key("queue_interval_ms"), problems);
    }
    if let Some(value) = raw.queue_requests {
        options.queue_requests = whole(value, &key("queue_requests"), QUEUES, problems) as usize;
    }
    options
}

/// All classes. Those whose limits nobody would look at are refused.
pub(super) fn classes(raw: Vec<RawTenantClass>, pools: &[PoolConfig], problems: &mut Problems<'_>) -> TenantClasses {
    let mut found = TenantClasses::default();
    let admits = pools.iter().any(|pool| pool.admission.is_some());
    let mut named: Vec<String> = Vec::new();
    let mut others = Vec::new();
    let mut for_all = None;
    for (i, raw) in raw.into_iter().enumerate() {
        let key = |name: &str| format!("tenant_class[{i}].{name}");
        let (span, name) = (raw.name.span(), raw.name.get_ref().clone());
        if name.is_empty() || named.contains(&name) {
            problems.at(span.clone(), key("name"), format!("{name:?} is empty or the name of another class"));
        }
        named.push(name.clone());
        let is_limited = raw.weight.is_some()
            || raw.priority.is_some()
            || raw.requests_per_sec.is_some()
            || raw.max_in_flight.is_some()
            || raw.deadline_ms.is_some();
        if is_limited && !admits {
            problems.at(span.clone(), format!("tenant_class[{i}]"), "has no effect: no pool has [pool.admission]");
        }
        let allowed = raw.pools.as_ref().map(|names| {
            let mut indices = Vec::with_capacity(names.len());
            for name in names {
                match pools.iter().position(|pool| pool.name == *name.get_ref()) {
                    Some(index) => indices.push(index),
                    None => {
                        let known: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
                        let message = format!("no pool {:?}, expected any of {}", name.get_ref(), known.join(", "));
                        problems.at(name.span(), key("pools"), message);
                    }
                }
            }
            indices
        });
        let mut tenants = Vec::new();
        let mut is_for_all = false;
        for tenant in &raw.tenants {
            // As the request's own name will be.
            match Tenant::sanitised(tenant.get_ref().as_bytes()) {
                _ if tenant.get_ref() == "*" => is_for_all = true,
                Some(name) => tenants.push(name.as_str().to_owned()),
                None => problems.at(tenant.span(), key("tenants"), "must not be empty"),
            }
        }
        if raw.tenants.is_empty() || (is_for_all && !tenants.is_empty()) {
            problems.at(span.clone(), key("tenants"), "expected names of tenants, or \"*\" alone for all others");
        }
        let class = class(raw, &key, problems);
        match (is_for_all, &for_all) {
            (true, Some(_)) => problems.at(span, key("tenants"), "\"*\" stands for another class already"),
            (true, None) => for_all = Some((class, name, allowed)),
            (false, _) => others.push((class, name, allowed, tenants)),
        }
    }
    if let Some((class, name, allowed)) = for_all {
        found.classes = Classes::new(class);
        found.names = vec![name];
        found.pools = vec![allowed];
    }
    for (class, name, allowed, tenants) in others {
        found.classes.add(class, tenants.iter().map(|tenant| hash_name(tenant)));
        found.names.push(name);
        found.pools.push(allowed);
        found.tenants.push(tenants);
    }
    found
}

fn class(raw: RawTenantClass, key: &impl Fn(&str) -> String, problems: &mut Problems<'_>) -> TenantClass {
    let mut class = TenantClass::default();
    if let Some(value) = raw.weight {
        class.weight = within(value, &key("weight"), &WEIGHTS, problems) as f32;
    }
    if let Some(value) = raw.priority {
        class.priority = whole(value, &key("priority"), PRIORITY, problems) as u8;
    }
    let burst = raw.burst.map(|value| (value.span(), within(value, &key("burst"), &BURSTS, problems)));
    match (raw.requests_per_sec, burst) {
        (Some(value), burst) => {
            let per_second = within(value, &key("requests_per_sec"), &RATES, problems);
            // A second's worth where nobody says: what a client with a timer saves up.
            let burst = burst.map_or(per_second.max(*BURSTS.start()), |(_, burst)| burst);
            class.rate = Some(Rate { per_second, burst });
        }
        (None, Some((span, _))) => problems.at(span, key("burst"), "has no effect without requests_per_sec"),
        (None, None) => {}
    }
    if let Some(value) = raw.max_in_flight {
        class.max_in_flight = Some(whole(value, &key("max_in_flight"), LIMITS, problems) as u32);
    }
    if let Some(value) = raw.deadline_ms {
        class.deadline = Some(millis(value, &key("deadline_ms"), problems));
    }
    class
}
