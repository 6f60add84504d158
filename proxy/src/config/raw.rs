//! The configuration as it is written: every key, and every default, in one place.
//!
//! Nothing here is trusted yet; `validate` turns it into [`super::Config`]. Values with a closed set of answers
//! are plain strings here, so that a wrong one is reported beside the other problems instead of stopping serde.

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use tailcast_balance::BalancerOptions;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    /// Worker threads; the number of cores by default.
    pub(super) workers: Option<Spanned<i64>>,
    /// How long a shutdown waits for requests in flight.
    pub(super) drain_secs: Option<Spanned<f64>>,
    /// Adds `x-tailcast-endpoint` to responses.
    pub(super) name_endpoint: bool,
    pub(super) listener: Vec<RawListener>,
    pub(super) tenant: RawTenant,
    pub(super) tenant_class: Vec<RawTenantClass>,
    pub(super) pool: Vec<RawPool>,
    pub(super) route: Vec<RawRoute>,
    pub(super) model: Option<RawModel>,
    pub(super) log: Option<RawLog>,
    pub(super) admin: Option<RawAdmin>,
    /// Reads the file again when it changes; as SIGHUP does.
    pub(super) watch_config: bool,
    /// How often names of endpoints are resolved again.
    pub(super) resolve_secs: Option<Spanned<f64>>,
    pub(super) limits: RawLimits,
    pub(super) forwarding: RawForwarding,
    /// Exploration, candidates, guards and ejection, the same for all pools.
    pub(super) balance: Option<Spanned<BalancerOptions>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    pub(super) address: Spanned<String>,
    #[serde(default = "yes")]
    pub(super) http2: bool,
    #[serde(default)]
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Spanned<RawServerTls>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServerTls {
    #[serde(default)]
    pub(super) certificates: Vec<RawCertificate>,
    pub(super) client_ca: Option<PathBuf>,
    /// `required` (default) or `optional`.
    pub(super) client_certificate: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpointTls {
    pub(super) ca: Option<PathBuf>,
    pub(super) server_name: Option<Spanned<String>>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// What a client may ask of the proxy.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    /// Time for a head; also the longest that a kept connection may be idle.
    pub(super) header_secs: Option<Spanned<f64>>,
    /// Longest that a client may let an answer wait.
    pub(super) send_secs: Option<Spanned<f64>>,
    pub(super) header_bytes: Option<Spanned<i64>>,
    pub(super) headers: Option<Spanned<i64>>,
    /// Largest body of a request; 0 for any.
    pub(super) body_bytes: Option<Spanned<i64>>,
    /// Connections that one address may have.
    pub(super) connections_per_address: Option<Spanned<i64>>,
    /// Serves a client that has closed its sending side.
    pub(super) half_close: bool,
}

/// Whose forwarding fields are believed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawForwarding {
    /// Networks of proxies in front of this one.
    pub(super) trusted: Vec<Spanned<String>>,
    /// Adds the `Forwarded` field of RFC 7239.
    pub(super) forwarded: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTenant {
    /// `header` (default), `host` or `path_prefix`.
    pub(super) from: Option<Spanned<String>>,
    /// The header's name; `x-tenant` by default.
    pub(super) header: Option<Spanned<String>>,
    /// The tenant of requests that name none; `default` by default.
    pub(super) default: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPool {
    pub(super) name: Spanned<String>,
    pub(super) policy: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) endpoints: Vec<Spanned<RawEndpoint>>,
    /// More of them, in a file that is watched.
    pub(super) endpoints_file: Option<PathBuf>,
    pub(super) health_check: Option<RawHealthCheck>,
    pub(super) probes: Option<RawProbes>,
    /// `http1` (default) or `http2`.
    pub(super) protocol: Option<Spanned<String>>,
    pub(super) tls: Option<Spanned<RawEndpointTls>>,
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    #[serde(default)]
    pub(super) connections: RawConnections,
    #[serde(default)]
    pub(super) retries: RawRetries,
    pub(super) admission: Option<RawAdmission>,
}

/// How much is let in, by each worker.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmission {
    pub(super) initial_limit: Option<Spanned<i64>>,
    pub(super) min_limit: Option<Spanned<i64>>,
    pub(super) max_limit: Option<Spanned<i64>>,
    /// Latency of the full pool over that of the pool at ease.
    pub(super) tolerance: Option<Spanned<f64>>,
    /// Longest wait in a queue that stands, and in one that empties now and then.
    pub(super) queue_target_ms: Option<Spanned<i64>>,
    pub(super) queue_interval_ms: Option<Spanned<i64>>,
    /// Of one tenant.
    pub(super) queue_requests: Option<Spanned<i64>>,
}

/// What each of some tenants may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenantClass {
    pub(super) name: Spanned<String>,
    /// Names, or `*` for all that no class names.
    pub(super) tenants: Vec<Spanned<String>>,
    pub(super) weight: Option<Spanned<f64>>,
    pub(super) priority: Option<Spanned<i64>>,
    pub(super) requests_per_sec: Option<Spanned<f64>>,
    pub(super) burst: Option<Spanned<f64>>,
    pub(super) max_in_flight: Option<Spanned<i64>>,
    pub(super) deadline_ms: Option<Spanned<i64>>,
    /// The only pools that they may use.
    pub(super) pools: Option<Vec<Spanned<String>>>,
}

/// `"host:port"` or `{ address = "host:port", name = "...", weight = 1.0, zone = "..." }`.
#[derive(Debug)]
pub(super) struct RawEndpoint {
    pub(super) address: String,
    pub(super) name: Option<String>,
    pub(super) weight: Option<f64>,
    pub(super) zone: Option<String>,
    /// An endpoint for each address of the name, instead of one for one of them.
    pub(super) all_addresses: bool,
}

/// The file of `endpoints_file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoints {
    pub(super) endpoints: Vec<Spanned<RawEndpoint>>,
}

/// Active checks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealthCheck {
    /// `http` or `tcp`.
    pub(super) kind: Spanned<String>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) host: Option<Spanned<String>>,
    /// The only good status; any of 200 to 399 by default.
    pub(super) status: Option<Spanned<i64>>,
    pub(super) interval_ms: Option<Spanned<i64>>,
    pub(super) timeout_ms: Option<Spanned<i64>>,
    pub(super) unhealthy_after: Option<Spanned<i64>>,
    pub(super) healthy_after: Option<Spanned<i64>>,
}

/// Asking endpoints for their load.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbes {
    pub(super) path: Spanned<String>,
    /// Probes sent for each request.
    pub(super) per_request: Option<Spanned<f64>>,
    pub(super) timeout_ms: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTimeouts {
    pub(super) connect_ms: Option<Spanned<i64>>,
    pub(super) first_byte_ms: Option<Spanned<i64>>,
    pub(super) total_ms: Option<Spanned<i64>>,
    pub(super) tunnel_idle_ms: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetries {
    /// Tries in all, the first included.
    pub(super) attempts: Option<Spanned<i64>>,
    /// Conditions: `connect`, `reset`, `timeout`, `502`, `503`, `504`.
    pub(super) on: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConnections {
    /// Idle connections kept for an endpoint by one worker.
    pub(super) idle_per_endpoint: Option<Spanned<i64>>,
    /// Connections to an endpoint from all workers, and requests in flight on it.
    pub(super) max_per_endpoint: Option<Spanned<i64>>,
    pub(super) idle_secs: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    /// A name, or `*.name` for all names below it.
    pub(super) host: Option<Spanned<String>>,
    pub(super) path_prefix: Option<Spanned<String>>,
    /// Header ▸ value that it must have; `*` for any.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<String>>,
    pub(super) pool: Spanned<String>,
    /// In place of the pool's.
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    /// In place of the pool's.
    #[serde(default)]
    pub(super) retries: RawRetries,
    /// In place of `[limits]`'s.
    pub(super) body_bytes: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) path: Option<Spanned<PathBuf>>,
    pub(super) registry: Option<Spanned<PathBuf>>,
    /// Loads the file again when it changes.
    #[serde(default = "yes")]
    pub(super) watch: bool,
    #[serde(default)]
    pub(super) judge: RawJudge,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawJudge {
    pub(super) share: Option<Spanned<f64>>,
    pub(super) take_back: Option<bool>,
    pub(super) worse_by_ratio: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) directory: PathBuf,
    pub(super) rotate_secs: Option<Spanned<f64>>,
    pub(super) rotate_rows: Option<Spanned<i64>>,
    pub(super) rotate_bytes: Option<Spanned<i64>>,
    /// Share of rows that hold the features of all candidates; wins over the same key of `[balance]`.
    pub(super) candidate_features_share: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) address: Spanned<String>,
    /// Allows an address that is not loopback.
    #[serde(default)]
    pub(super) allow_remote: bool,
}

fn yes() -> bool {
    true
}

impl<'de> Deserialize<'de> for RawEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            address: String,
            name: Option<String>,
            weight: Option<f64>,
            zone: Option<String>,
            #[serde(default)]
            all_addresses: bool,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawEndpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"host:port\" or { address = \"host:port\", name, weight, zone, all_addresses }")
            }

            fn visit_str<E: de::Error>(self, address: &str) -> Result<RawEndpoint, E> {
                let address = String::deserialize(StrDeserializer::new(address))?;
                Ok(RawEndpoint { address, name: None, weight: None, zone: None, all_addresses: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawEndpoint, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let Table { address, name, weight, zone, all_addresses } = table;
                Ok(RawEndpoint { address, name, weight, zone, all_addresses })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Defaults, each with its reason.
pub(super) mod default {
    use std::time::Duration;

    /// Long enough for almost every request, short enough for an orchestrator's 30 s grace period.
    pub(in crate::config) const DRAIN: Duration = Duration::from_secs(20);
    /// One lost SYN is sent again after one second; two are a dead host.
    pub(in crate::config) const CONNECT: Duration = Duration::from_millis(1_500);
    /// nginx waits 60 s; a caller has seldom that patience, and a stuck endpoint should be noticed.
    pub(in crate::config) const FIRST_BYTE: Duration = Duration::from_secs(30);
    /// Room for a large download after a slow first byte.
    pub(in crate::config) const TOTAL: Duration = Duration::from_secs(300);
    /// Longer than any usual keep-alive of what runs in a tunnel, short enough that lost peers do not pile up.
    pub(in crate::config) const TUNNEL_IDLE: Duration = Duration::from_secs(3_600);
    /// One more try: a second seldom helps where a first did not, and each costs the budget.
    pub(in crate::config) const ATTEMPTS: u8 = 2;
    /// As nginx's `client_header_timeout`. It is the idle time of kept connections too, so not much shorter.
    pub(in crate::config) const HEADER: Duration = Duration::from_secs(60);
    /// Twice what nginx takes (4 buffers of 8 KiB): larger heads are attacks or bugs.
    pub(in crate::config) const HEADER_BYTES: usize = 64 * 1_024;
    /// hyper's own bound; parsed on the stack up to this.
    pub(in crate::config) const HEADERS: usize = 100;
    /// As nginx's `send_timeout`.
    pub(in crate::config) const SEND: Duration = Duration::from_secs(60);
    /// Names rarely move, and a resolver should not notice us.
    pub(in crate::config) const RESOLVE: Duration = Duration::from_secs(30);
    /// A dead endpoint is out after six seconds and costs it little.
    pub(in crate::config) const CHECK_EVERY: Duration = Duration::from_millis(2_000);
    /// A health page that takes longer is no sign of health.
    /// As published for Prequal.
    pub(in crate::config) const PROBES_PER_REQUEST: f64 = 3.0;
    /// A later report is of no use.
    pub(in crate::config) const PROBE_TIME: Duration = Duration::from_millis(200);
    pub(in crate::config) const CHECK_TIME: Duration = Duration::from_millis(1_000);
    /// As HAProxy's `fall` and `rise`.
    pub(in crate::config) const UNHEALTHY_AFTER: u32 = 3;
    pub(in crate::config) const HEALTHY_AFTER: u32 = 2;
    /// Enough for 128 requests at a time on one endpoint from one worker without new connections.
    pub(in crate::config) const IDLE_PER_ENDPOINT: usize = 128;
    /// Shorter than the 60 s and more after which common servers close an idle connection.
    pub(in crate::config) const IDLE: Duration = Duration::from_secs(45);
    /// A trainer that follows the log sees data a minute old.
    pub(in crate::config) const ROTATE: Duration = Duration::from_secs(60);
    /// About 300 MiB of open builders' output: still converted within seconds.
    pub(in crate::config) const ROTATE_ROWS: u64 = 500_000;
    /// Bounds the open file whatever the rows hold.
    pub(in crate::config) const ROTATE_BYTES: u64 = 512 * 1024 * 1024;
    /// The header that names the tenant.
    pub(in crate::config) const TENANT_HEADER: &str = "x-tenant";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn an_endpoint_is_a_string_or_a_table() {
        let text = "[[pool]]\nname = 'a'\nendpoints = ['h:1', { address = 'h:2', weight = 2.0 }]\n";
        let raw: RawConfig = toml::from_str(text).unwrap();
        let endpoints = &raw.pool[0].endpoints;
        assert_eq!(endpoints[0].get_ref().address, "h:1");
        assert_eq!(endpoints[1].get_ref().weight, Some(2.0));
        assert_eq!(&text[endpoints[0].span()], "'h:1'");
        let wrong = toml::from_str::<RawConfig>("[[pool]]\nname = 'a'\nendpoints = [7]\n").unwrap_err();
        assert!(wrong.message().contains("host:port"), "{}", wrong.message());
    }
}
