//! The side of the clients: listeners, limits, forwarding fields, tenants, the admin listener. Raw ▸ validated.

use super::values::{secs, socket, whole};
use crate::config::problem::Problems;
use crate::config::raw::{RawAdmin, RawForwarding, RawLimits, RawListener, RawTenant, default};
use crate::config::{ClientLimits, Forwarding};
use crate::tenant::{Tenant, TenantRule, TenantSource};
use crate::trust::Network;
use http::HeaderName;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Below 1 KiB browsers' heads do not fit; above 1 MiB a head is no head.
const HEADER_BYTES: RangeInclusive<i64> = 1_024..=1_048_576;
/// A browser sends some twenty.
const HEADERS: RangeInclusive<i64> = 10..=10_000;
/// As many as there are ports; 0 is no limit.
const PER_ADDRESS: RangeInclusive<i64> = 0..=65_536;
/// One tebibyte; 0 is no limit.
const BODY_BYTES: RangeInclusive<i64> = 0..=1_099_511_627_776;

pub(super) fn listener(raw: RawListener, index: usize, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    socket(&raw.address, &format!("listener[{index}].address"), problems)
}

pub(super) fn limits(raw: RawLimits, problems: &mut Problems<'_>) -> ClientLimits {
    ClientLimits {
        header_time: raw.header_secs.map_or(default::HEADER, |value| secs(value, "limits.header_secs", problems)),
        send_time: raw.send_secs.map_or(default::SEND, |value| secs(value, "limits.send_secs", problems)),
        header_bytes: raw.header_bytes.map_or(default::HEADER_BYTES, |value| {
            whole(value, "limits.header_bytes", HEADER_BYTES, problems) as usize
        }),
        headers: raw
            .headers
            .map_or(default::HEADERS, |value| whole(value, "limits.headers", HEADERS, problems) as usize),
        body_bytes: raw.body_bytes.and_then(|value| body_bytes(value, "limits.body_bytes", problems)),
        connections_per_address: raw.connections_per_address.and_then(|value| {
            let key = "limits.connections_per_address";
            u32::try_from(whole(value, key, PER_ADDRESS, problems)).ok().filter(|most| *most > 0)
        }),
        half_close: raw.half_close,
    }
}

/// A largest body; `None` for any.
pub(super) fn body_bytes(value: toml::Spanned<i64>, key: &str, problems: &mut Problems<'_>) -> Option<u64> {
    Some(whole(value, key, BODY_BYTES, problems).unsigned_abs()).filter(|bytes| *bytes > 0)
}

pub(super) fn forwarding(raw: RawForwarding, problems: &mut Problems<'_>) -> Forwarding {
    let mut trusted = Vec::with_capacity(raw.trusted.len());
    for (i, written) in raw.trusted.iter().enumerate() {
        match Network::parse(written.get_ref()) {
            Some(network) => trusted.push(network),
            None => problems.at(
                written.span(),
                format!("forwarding.trusted[{i}]"),
                format!("{:?} is not an address or network like \"10.0.0.0/8\" or \"fd00::/8\"", written.get_ref()),
            ),
        }
    }
    Forwarding { trusted, forwarded: raw.forwarded }
}

pub(super) fn admin(raw: RawAdmin, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let address = socket(&raw.address, "admin.address", problems)?;
    if !address.ip().is_loopback() && !raw.allow_remote {
        problems.at(
            raw.address.span(),
            "admin.address",
            format!(
                "{address} is not a loopback address, and whoever reaches it can change policies: \
                 use 127.0.0.1 or set allow_remote = true"
            ),
        );
    }
    Some(address)
}

pub(super) fn tenant(raw: RawTenant, problems: &mut Problems<'_>) -> TenantRule {
    let from = raw.from.as_ref().map_or("header", |from| from.get_ref().as_str());
    let name = raw.header.as_ref().map_or(default::TENANT_HEADER, |header| header.get_ref().as_str());
    let header = HeaderName::try_from(name).unwrap_or_else(|_| {
        if let Some(header) = &raw.header {
            problems.at(header.span(), "tenant.header", format!("{name:?} is not the name of a header"));
        }
        HeaderName::from_static(default::TENANT_HEADER)
    });
    let source = match from {
        "header" => TenantSource::Header(header),
        "host" => TenantSource::Host,
        "path_prefix" => TenantSource::PathPrefix,
        other => {
            if let Some(from) = &raw.from {
                let message = format!("unknown source {other:?}, expected one of header, host, path_prefix");
                problems.at(from.span(), "tenant.from", message);
            }
            TenantSource::Host
        }
    };
    if let (Some(header), "host" | "path_prefix") = (&raw.header, from) {
        problems.at(header.span(), "tenant.header", format!("has no effect with from = {from:?}: remove it"));
    }
    let default = raw.default.map_or_else(Tenant::default, |name| {
        Tenant::sanitised(name.get_ref().as_bytes()).unwrap_or_else(|| {
            problems.at(name.span(), "tenant.default", "must not be empty");
            Tenant::default()
        })
    });
    TenantRule::new(source, default)
}
