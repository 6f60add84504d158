//! Single values: within their range, or a problem that names the range.

use crate::config::problem::Problems;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

/// One day: beyond that a timeout is none.
const MILLIS: RangeInclusive<i64> = 1..=86_400_000;
/// As for milliseconds.
const SECS: RangeInclusive<f64> = 0.001..=86_400.0;

pub(super) fn socket(address: &Spanned<String>, key: &str, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let parsed = address.get_ref().parse();
    if parsed.is_err() {
        let message =
            format!("{:?} is not ip:port, for example \"127.0.0.1:8080\" or \"[::]:8080\"", address.get_ref());
        problems.at(address.span(), key, message);
    }
    parsed.ok()
}

pub(super) fn whole(value: Spanned<i64>, key: &str, allowed: RangeInclusive<i64>, problems: &mut Problems<'_>) -> i64 {
    if !allowed.contains(value.get_ref()) {
        problems.at(value.span(), key, format!("{} is not within {}", value.get_ref(), range(&allowed)));
        return *allowed.start();
    }
    value.into_inner()
}

pub(super) fn within(
    value: Spanned<f64>,
    key: &str,
    allowed: &RangeInclusive<f64>,
    problems: &mut Problems<'_>,
) -> f64 {
    if !allowed.contains(value.get_ref()) {
        problems.at(value.span(), key, format!("{} is not within {}", value.get_ref(), range(allowed)));
        return *allowed.start();
    }
    value.into_inner()
}

pub(super) fn millis(value: Spanned<i64>, key: &str, problems: &mut Problems<'_>) -> Duration {
    Duration::from_millis(whole(value, key, MILLIS, problems).unsigned_abs())
}

pub(super) fn secs(value: Spanned<f64>, key: &str, problems: &mut Problems<'_>) -> Duration {
    Duration::from_secs_f64(within(value, key, &SECS, problems))
}

pub(super) fn range<T: std::fmt::Display>(allowed: &RangeInclusive<T>) -> String {
    format!("{} to {}", allowed.start(), allowed.end())
}
