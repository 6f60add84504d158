//! Whose request it is: the tenant's name from a header, the host or the first path segment.
//!
//! The name comes from outside, so it is bounded and sanitised before anything remembers it. It lives in a
//! fixed buffer: no allocation a request. Rejected: a table of interned names (needs a bound and an eviction
//! of its own, and the feature store already keys tenants by hash).

use http::{HeaderMap, HeaderName};
use std::fmt;
use tailcast_features::hash::Fnv1a;

/// Longest name in bytes: a UUID, or a DNS label of 63.
const MAX_BYTES: usize = 64;

/// Bytes of a too long name that are kept before its hash ('-' and 16 hex digits).
const KEPT_BYTES: usize = MAX_BYTES - 17;

/// A tenant's name: 1 to 64 ASCII letters, digits, '-', '_' or '.'.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    bytes: [u8; MAX_BYTES],
    len: u8,
}

impl Tenant {
    /// The name with every other byte replaced by '_'; `None` where it is empty. A longer name keeps its start and
    /// gets the hash of the whole, so that two long names remain two tenants.
    pub fn sanitised(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii();
        if name.is_empty() {
            return None;
        }
        let mut tenant = Self { bytes: [0; MAX_BYTES], len: 0 };
        let kept = if name.len() > MAX_BYTES { KEPT_BYTES } else { name.len() };
        for byte in name.iter().take(kept) {
            tenant.push(if byte.is_ascii_alphanumeric() || b"-_.".contains(byte) { *byte } else { b'_' });
        }
        if name.len() > MAX_BYTES {
            let mut hash = Fnv1a::new();
            hash.write(name);
            tenant.push(b'-');
            hex(hash.finish()).iter().for_each(|digit| tenant.push(*digit));
        }
        Some(tenant)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever pushed.
        self.bytes.get(..usize::from(self.len)).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("")
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
    }
}

impl Default for Tenant {
    /// The tenant of requests that name none: `default`.
    fn default() -> Self {
        let mut tenant = Self { bytes: [0; MAX_BYTES], len: 0 };
        b"default".iter().for_each(|byte| tenant.push(*byte));
        tenant
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Sixteen lower-case hex digits of a number, without a `String`.
pub(crate) fn hex(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(number >> (60 - 4 * i)) as usize & 15])
}

/// Where the name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantSource {
    /// In a header.
    Header(HeaderName),
    /// It is the host, without its port, in lower case.
    Host,
    /// It is the first segment of the path.
    PathPrefix,
}

/// How a request's tenant is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRule {
    source: TenantSource,
    default: Tenant,
}

impl TenantRule {
    /// A rule with the tenant of requests that name none.
    pub fn new(source: TenantSource, default: Tenant) -> Self {
        Self { source, default }
    }

    /// The tenant of a request. `host` is the effective host, with or without a port.
    pub fn tenant(&self, headers: &HeaderMap, host: &str, path: &str) -> Tenant {
        let found = match &self.source {
            TenantSource::Header(name) => headers.get(name).and_then(|value| Tenant::sanitised(value.as_bytes())),
            TenantSource::Host => {
                let mut tenant = Tenant::sanitised(without_port(host).as_bytes());
                if let Some(tenant) = &mut tenant {
                    tenant.bytes.make_ascii_lowercase();
                }
                tenant
            }
            TenantSource::PathPrefix => {
                let first = path.strip_prefix('/').and_then(|rest| rest.split('/').next());
                first.and_then(|segment| Tenant::sanitised(segment.as_bytes()))
            }
        };
        found.unwrap_or(self.default)
    }

    /// The path without the segment that names the tenant: a route is a kind of request, the same for all tenants.
    pub fn path_within<'a>(&self, path: &'a str) -> &'a str {
        match self.source {
            TenantSource::PathPrefix => {
                let rest = path.strip_prefix('/').and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
                rest.unwrap_or("/")
            }
            TenantSource::Header(_) | TenantSource::Host => path,
        }
    }
}

impl fmt::Display for TenantRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            TenantSource::Header(name) => write!(f, "from header {name}")?,
            TenantSource::Host => write!(f, "from the host")?,
            TenantSource::PathPrefix => write!(f, "from the first path segment")?,
        }
        write!(f, ", else {}", self.default.as_str())
    }
}

/// The host of `host:port`; an IPv6 literal keeps its brackets.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn header_rule() -> TenantRule {
        TenantRule::new(TenantSource::Header(HeaderName::from_static("x-tenant")), Tenant::default())
    }

    #[test]
    fn the_header_names_the_tenant_and_its_absence_means_the_default() {
        let mut headers = HeaderMap::new();
        assert_eq!(header_rule().tenant(&headers, "h", "/").as_str(), "default");
        headers.insert("x-tenant", HeaderValue::from_static("acme corp/1"));
        assert_eq!(header_rule().tenant(&headers, "h", "/").as_str(), "acme_corp_1");
        headers.insert("x-tenant", HeaderValue::from_static("  "));
        assert_eq!(header_rule().tenant(&headers, "h", "/").as_str(), "default");
    }

    #[test]
    fn the_host_counts_without_port_and_case() {
        let rule = TenantRule::new(TenantSource::Host, Tenant::default());
        let none = HeaderMap::new();
        assert_eq!(rule.tenant(&none, "Acme.Example:8080", "/").as_str(), "acme.example");
        assert_eq!(rule.tenant(&none, "[::1]:80", "/").as_str(), "___1_");
        assert_eq!(rule.tenant(&none, "", "/").as_str(), "default");
    }

    #[test]
    fn the_first_path_segment_is_the_tenant() {
        let rule = TenantRule::new(TenantSource::PathPrefix, Tenant::default());
        let none = HeaderMap::new();
        assert_eq!(rule.tenant(&none, "h", "/acme/orders/1").as_str(), "acme");
        assert_eq!(rule.tenant(&none, "h", "/").as_str(), "default");
        assert_eq!(rule.tenant(&none, "h", "*").as_str(), "default");
        assert_eq!(
            ["/acme/orders/1", "/acme", "/", "*"].map(|path| rule.path_within(path)),
            ["/orders/1", "/", "/", "/"]
        );
        assert_eq!(header_rule().path_within("/acme/orders"), "/acme/orders");
    }

    #[test]
    fn long_names_with_one_start_remain_two_tenants() {
        let (a, b) = ("x".repeat(200), format!("{}y", "x".repeat(199)));
        let (a, b) = (Tenant::sanitised(a.as_bytes()).unwrap(), Tenant::sanitised(b.as_bytes()).unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().len(), MAX_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_short_plain_name(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(tenant) = Tenant::sanitised(&bytes) {
                let name = tenant.as_str();
                prop_assert!((1..=MAX_BYTES).contains(&name.len()));
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{name}");
                prop_assert_eq!(Tenant::sanitised(name.as_bytes()), Some(tenant));
            } else {
                prop_assert!(bytes.trim_ascii().is_empty());
            }
        }
    }
}
