//! Routes: raw ▸ validated. What a route does not say of itself it has from its pool.

use super::front::body_bytes;
use super::pool::{retries, timeouts};
use crate::config::problem::Problems;
use crate::config::raw::RawRoute;
use crate::config::{HeaderMatch, HostPattern, PoolConfig, RoutePolicy, RouteRule};
use http::HeaderName;

pub(super) fn route(
    raw: RawRoute,
    index: usize,
    pools: &[PoolConfig],
    body_limit: Option<u64>,
    problems: &mut Problems<'_>,
) -> Option<RouteRule> {
    let key = |name: &str| format!("route[{index}].{name}");
    let path_prefix = raw.path_prefix.map_or_else(
        || "/".to_owned(),
        |prefix| {
            if !prefix.get_ref().starts_with('/') {
                let message = format!("{:?} does not start with '/'", prefix.get_ref());
                problems.at(prefix.span(), key("path_prefix"), message);
            }
            prefix.into_inner()
        },
    );
    let pool = pools.iter().position(|pool| pool.name == *raw.pool.get_ref());
    if pool.is_none() {
        let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
        let message = format!("no pool {:?}, expected one of {}", raw.pool.get_ref(), names.join(", "));
        problems.at(raw.pool.span(), key("pool"), message);
    }
    let host = raw.host.and_then(|host| {
        let pattern = HostPattern::parse(host.get_ref());
        if pattern.is_none() {
            let message =
                format!("{:?} is not a name without port like \"a.example\" or \"*.example\"", host.get_ref());
            problems.at(host.span(), key("host"), message);
        }
        pattern
    });
    let mut headers = Vec::with_capacity(raw.headers.len());
    for (name, value) in raw.headers {
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            problems.at(value.span(), key("headers"), format!("{name:?} is not the name of a header"));
            continue;
        };
        let value = value.into_inner();
        headers.push(HeaderMatch { name: header, value: (value != "*").then_some(value) });
    }
    // Checked whatever the pool is, so that one run names all problems.
    let of_pool = pool.or(Some(0)).and_then(|pool| pools.get(pool))?;
    let policy = RoutePolicy {
        timeouts: timeouts(raw.timeouts, of_pool.timeouts, &key("timeouts"), problems),
        retries: retries(raw.retries, of_pool.retries, &key("retries"), problems),
        body_bytes: raw.body_bytes.map_or(body_limit, |value| body_bytes(value, &key("body_bytes"), problems)),
    };
    Some(RouteRule { host, path_prefix, headers, pool: pool?, policy })
}
