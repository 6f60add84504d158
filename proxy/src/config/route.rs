//! Validated routes: what a request must look like, and how it is then treated.

use http::HeaderName;
use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// Limits of time for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To make a connection.
    pub connect: Duration,
    /// From dispatch to the head of the answer.
    pub first_byte: Duration,
    /// From arrival to the last byte.
    pub total: Duration,
    /// Longest silence of an upgraded connection.
    pub tunnel_idle: Duration,
}

/// Conditions under which a request is tried again, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn(u8);

impl RetryOn {
    /// Never.
    pub const NONE: Self = Self(0);
    /// No connection could be made: nothing was sent, so any method may be tried again.
    pub const CONNECT: Self = Self(1);
    /// The connection broke before the answer; safe methods without a body only, as all that follow.
    pub const RESET: Self = Self(2);
    /// No head of an answer in time.
    pub const TIMEOUT: Self = Self(4);
    /// Answers with 502, 503 and 504.
    const STATUSES: [(u16, Self); 3] = [(502, Self(8)), (503, Self(16)), (504, Self(32))];
    /// The names in the configuration.
    pub const NAMES: [&'static str; 6] = ["connect", "reset", "timeout", "502", "503", "504"];

    /// The condition of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// The condition of an answer's status; none for most.
    pub fn of_status(status: u16) -> Self {
        Self::STATUSES.iter().find(|(known, _)| *known == status).map_or(Self::NONE, |(_, on)| *on)
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where one of `other`'s conditions is among these.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.write_str(&names.map(|(_, name)| *name).collect::<Vec<_>>().join(", "))
    }
}

/// How often and when a request is tried again. The budget of the pool bounds all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries in all, the first included.
    pub attempts: u8,
    /// Conditions.
    pub on: RetryOn,
}

impl Default for Retries {
    /// What cannot do harm: nothing was sent, or sending it twice changes nothing. A time-out is not among them: the
    /// first try may still be at work, and a second doubles the load when there is least room.
    fn default() -> Self {
        Self { attempts: super::raw::default::ATTEMPTS, on: RetryOn::CONNECT.and(RetryOn::RESET) }
    }
}

/// How the requests of a route are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutePolicy {
    /// Limits of time.
    pub timeouts: Timeouts,
    /// Further tries.
    pub retries: Retries,
    /// Largest body, bytes; `None` for any.
    pub body_bytes: Option<u64>,
}

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This one, in lower case.
    Exact(String),
    /// All names that end so; with the leading dot, in lower case.
    Suffix(String),
}

impl HostPattern {
    /// `a.example` or `*.example`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let is_bracketed = lower.starts_with('[') && lower.ends_with(']');
        let (name, is_suffix) = match lower.strip_prefix('*') {
            Some(rest) => (rest.strip_prefix('.')?, true),
            None => (lower.as_str(), false),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !(name.bytes().all(is_plain) || is_bracketed) {
            return None;
        }
        Some(if is_suffix { Self::Suffix(lower[1..].to_owned()) } else { Self::Exact(lower) })
    }

    /// True where it matches a host without port, in any case.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Suffix(suffix) => {
                let start = host.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                let end = start.and_then(|start| host.as_bytes().get(start..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }
}

/// A header that a request must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// Its value; `None` for any.
    pub value: Option<String>,
}

/// Which requests go to which pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    pub(crate) host: Option<HostPattern>,
    pub(crate) path_prefix: String,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) pool: usize,
    pub(crate) policy: RoutePolicy,
}

impl RouteRule {
    /// The order in which rules are tried: a virtual host before a wildcard before all hosts; then the longest
    /// prefix; then the most headers.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let host = match &self.host {
            Some(HostPattern::Exact(_)) => (0, Reverse(0)),
            Some(HostPattern::Suffix(suffix)) => (1, Reverse(suffix.len())),
            None => (2, Reverse(0)),
        };
        (host, Reverse(self.path_prefix.len()), Reverse(self.headers.len()))
    }
}

impl fmt::Display for RouteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(HostPattern::Exact(name)) => f.write_str(name)?,
            Some(HostPattern::Suffix(suffix)) => write!(f, "*{suffix}")?,
            None => f.write_str("*")?,
        }
        f.write_str(&self.path_prefix)?;
        for header in &self.headers {
            write!(f, " {}: {}", header.name, header.value.as_deref().unwrap_or("*"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_wildcard_matches_names_below_and_not_the_name_itself() {
        let pattern = HostPattern::parse("*.Example.org").unwrap();
        assert!(pattern.matches("a.example.ORG") && pattern.matches("a.b.example.org"));
        assert!(!pattern.matches("example.org") && !pattern.matches("badexample.org") && !pattern.matches(""));
        assert!(HostPattern::parse("A.example").unwrap().matches("a.EXAMPLE"));
        for wrong in ["", "*", "*.", "a:80", "a b", "**.a"] {
            assert_eq!(HostPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_condition_has_one_name_and_statuses_are_conditions() {
        for name in RetryOn::NAMES {
            let on = RetryOn::of(name).unwrap();
            assert_eq!(on.to_string(), name);
            assert!(name.parse().map_or(true, |status| RetryOn::of_status(status) == on));
        }
        assert_eq!(RetryOn::of("never"), None);
        assert!(!RetryOn::CONNECT.has(RetryOn::of_status(500)));
    }
}
