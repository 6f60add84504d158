//! Pools and their endpoints: raw ▸ validated.

use super::values::{millis, range, secs, whole, within};
use super::{admission, transport};
use crate::config::problem::Problems;
use crate::config::raw::{
    RawConnections, RawEndpoint, RawHealthCheck, RawPool, RawProbes, RawRetries, RawTimeouts, default,
};
use crate::config::{
    CheckKind, Connections, EndpointConfig, HealthCheck, PoolConfig, Probes, Retries, RetryOn, Timeouts,
};
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::ops::RangeInclusive;
use std::time::Duration;
use tailcast_balance::{EndpointSpec, PolicyKind};
use toml::Spanned;

/// Weights are ratios; outside of this one endpoint gets everything.
const WEIGHTS: RangeInclusive<f64> = 0.001..=1_000.0;
/// File descriptors end long before.
const IDLE: RangeInclusive<i64> = 0..=65_536;
/// As many as there are ports.
const MAX_CONNECTIONS: RangeInclusive<i64> = 1..=65_536;
/// What HTTP knows.
const STATUSES: RangeInclusive<i64> = 100..=599;
/// Beyond this a check decides nothing.
const IN_A_ROW: RangeInclusive<i64> = 1..=100;
/// Fewer are none; more cost more than the requests.
const PROBES_PER_REQUEST: RangeInclusive<f64> = 0.001..=10.0;
/// Beyond this a request visits most of a pool, and the budget is gone after a few.
const ATTEMPTS: RangeInclusive<i64> = 1..=5;

pub(super) fn pool(raw: RawPool, index: usize, policy: PolicyKind, problems: &mut Problems<'_>) -> PoolConfig {
    let key = |name: &str| format!("pool[{index}].{name}");
    let name_span = raw.name.span();
    let name = raw.name.into_inner();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        let message = format!("{name:?}: expected 1 to 64 letters, digits, '-', '_' or '.'");
        problems.at(name_span.clone(), key("name"), message);
    }
    let policy = raw.policy.map_or(policy, |written| {
        written.get_ref().parse().unwrap_or_else(|error: tailcast_balance::policy::UnknownPolicy| {
            problems.at(written.span(), key("policy"), error.to_string());
            policy
        })
    });
    if raw.endpoints.is_empty() && raw.endpoints_file.is_none() {
        problems.at(name_span, key("endpoints"), "missing: give at least one \"host:port\", or endpoints_file");
    }
    let endpoints = endpoints(raw.endpoints, &key("endpoints"), problems);
    PoolConfig {
        name,
        policy,
        endpoints,
        endpoints_file: raw.endpoints_file,
        protocol: transport::protocol(raw.protocol, &key("protocol"), problems),
        tls: raw.tls.map(|raw| transport::endpoint_tls(raw, &key("tls"), problems)),
        health_check: raw.health_check.and_then(|raw| health_check(raw, &key("health_check"), problems)),
        probes: raw.probes.and_then(|raw| probes(raw, &key("probes"), problems)),
        timeouts: timeouts(raw.timeouts, default_timeouts(), &key("timeouts"), problems),
        connections: connections(raw.connections, index, problems),
        retries: retries(raw.retries, Retries::default(), &key("retries"), problems),
        admission: raw.admission.map(|raw| admission::admission(raw, &key("admission"), problems)),
    }
}

pub(super) fn endpoints(
    written: Vec<Spanned<RawEndpoint>>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Vec<EndpointConfig> {
    let mut endpoints: Vec<EndpointConfig> = Vec::new();
    for (i, written) in written.into_iter().enumerate() {
        let (span, key) = (written.span(), format!("{key}[{i}]"));
        let Some(endpoint) = endpoint(written, &key, problems) else { continue };
        if endpoints.iter().any(|known| known.spec.name == endpoint.spec.name) {
            let message = format!("{:?} names another endpoint of this pool: give each a name", endpoint.spec.name);
            problems.at(span, key, message);
        }
        endpoints.push(endpoint);
    }
    endpoints
}

fn health_check(raw: RawHealthCheck, key: &str, problems: &mut Problems<'_>) -> Option<HealthCheck> {
    let key = |name: &str| format!("{key}.{name}");
    let (kind_span, kind) = (raw.kind.span(), raw.kind.into_inner());
    let kind = match kind.as_str() {
        "tcp" => {
            for (name, span) in [("path", raw.path.map(|v| v.span())), ("host", raw.host.map(|v| v.span()))] {
                if let Some(span) = span {
                    problems.at(span, key(name), "has no effect with kind = \"tcp\": remove it");
                }
            }
            Some(CheckKind::Tcp)
        }
        "http" => {
            let text = raw.path.as_ref().map_or("/", |path| path.get_ref().as_str());
            let path = text.starts_with('/').then(|| PathAndQuery::try_from(text).ok()).flatten();
            if let (None, Some(path)) = (&path, &raw.path) {
                problems.at(path.span(), key("path"), format!("{text:?} is not a path like \"/healthz\""));
            }
            let host = raw.host.and_then(|host| {
                let value = HeaderValue::try_from(host.get_ref().as_str()).ok();
                if value.is_none() {
                    problems.at(host.span(), key("host"), format!("{:?} is not a host", host.get_ref()));
                }
                value
            });
            let status = raw.status.map(|value| whole(value, &key("status"), STATUSES, problems) as u16);
            path.map(|path| CheckKind::Http { path, host, status })
        }
        other => {
            problems.at(kind_span, key("kind"), format!("unknown kind {other:?}, expected one of http, tcp"));
            None
        }
    };
    let mut time = |value: Option<Spanned<i64>>, name: &str, default: Duration| {
        value.map_or(default, |value| millis(value, &key(name), problems))
    };
    let interval = time(raw.interval_ms, "interval_ms", default::CHECK_EVERY);
    let timeout = time(raw.timeout_ms, "timeout_ms", default::CHECK_TIME);
    let mut count = |value: Option<Spanned<i64>>, name: &str, default: u32| {
        value.map_or(default, |value| whole(value, &key(name), IN_A_ROW, problems) as u32)
    };
    let unhealthy_after = count(raw.unhealthy_after, "unhealthy_after", default::UNHEALTHY_AFTER);
    let healthy_after = count(raw.healthy_after, "healthy_after", default::HEALTHY_AFTER);
    Some(HealthCheck { kind: kind?, interval, timeout, unhealthy_after, healthy_after })
}

fn probes(raw: RawProbes, key: &str, problems: &mut Problems<'_>) -> Option<Probes> {
    let text = raw.path.get_ref().as_str();
    let path = text.starts_with('/').then(|| PathAndQuery::try_from(text).ok()).flatten();
    if path.is_none() {
        problems.at(raw.path.span(), format!("{key}.path"), format!("{text:?} is not a path like \"/load\""));
    }
    let per_request = raw.per_request.map_or(default::PROBES_PER_REQUEST, |value| {
        within(value, &format!("{key}.per_request"), &PROBES_PER_REQUEST, problems)
    });
    let timeout =
        raw.timeout_ms.map_or(default::PROBE_TIME, |value| millis(value, &format!("{key}.timeout_ms"), problems));
    Some(Probes { path: path?, per_request, timeout })
}

fn endpoint(written: Spanned<RawEndpoint>, key: &str, problems: &mut Problems<'_>) -> Option<EndpointConfig> {
    let span = written.span();
    let RawEndpoint { address, name, weight, zone, all_addresses } = written.into_inner();
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(1..))) {
        problems.at(span, key, format!("{address:?} is not host:port with a port from 1 to 65535"));
        return None;
    }
    let weight = weight.unwrap_or(1.0);
    if !WEIGHTS.contains(&weight) {
        problems.at(span, format!("{key}.weight"), format!("{weight} is not within {}", range(&WEIGHTS)));
    }
    let name = name.unwrap_or_else(|| address.clone());
    Some(EndpointConfig { spec: EndpointSpec { name, weight: weight as f32, zone }, address, all_addresses })
}

fn default_timeouts() -> Timeouts {
    Timeouts {
        connect: default::CONNECT,
        first_byte: default::FIRST_BYTE,
        total: default::TOTAL,
        tunnel_idle: default::TUNNEL_IDLE,
    }
}

pub(super) fn timeouts(raw: RawTimeouts, default: Timeouts, key: &str, problems: &mut Problems<'_>) -> Timeouts {
    let mut one = |value: Option<Spanned<i64>>, name: &str, default: Duration| {
        value.map_or(default, |value| millis(value, &format!("{key}.{name}"), problems))
    };
    Timeouts {
        connect: one(raw.connect_ms, "connect_ms", default.connect),
        first_byte: one(raw.first_byte_ms, "first_byte_ms", default.first_byte),
        total: one(raw.total_ms, "total_ms", default.total),
        tunnel_idle: one(raw.tunnel_idle_ms, "tunnel_idle_ms", default.tunnel_idle),
    }
}

pub(super) fn retries(raw: RawRetries, default: Retries, key: &str, problems: &mut Problems<'_>) -> Retries {
    let attempts = raw
        .attempts
        .map_or(default.attempts, |value| whole(value, &format!("{key}.attempts"), ATTEMPTS, problems) as u8);
    let on = raw.on.map_or(default.on, |names| {
        names.iter().fold(RetryOn::NONE, |on, name| match RetryOn::of(name.get_ref()) {
            Some(one) => on.and(one),
            None => {
                let message =
                    format!("unknown condition {:?}, expected any of {}", name.get_ref(), RetryOn::NAMES.join(", "));
                problems.at(name.span(), format!("{key}.on"), message);
                on
            }
        })
    });
    Retries { attempts, on }
}

fn connections(raw: RawConnections, index: usize, problems: &mut Problems<'_>) -> Connections {
    let key = |name: &str| format!("pool[{index}].connections.{name}");
    Connections {
        idle_per_endpoint: raw.idle_per_endpoint.map_or(default::IDLE_PER_ENDPOINT, |value| {
            whole(value, &key("idle_per_endpoint"), IDLE, problems) as usize
        }),
        max_per_endpoint: raw
            .max_per_endpoint
            .and_then(|value| u32::try_from(whole(value, &key("max_per_endpoint"), MAX_CONNECTIONS, problems)).ok()),
        idle: raw.idle_secs.map_or(default::IDLE, |value| secs(value, &key("idle_secs"), problems)),
    }
}
