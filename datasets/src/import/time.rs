//! Time stamps and durations as logs write them.
//!
//! A stamp without a zone is taken as UTC: a trace needs differences, and a log changes its zone at most twice a
//! year. Rejected: the zone of this machine, which would make an import depend on where it runs.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// Microseconds in a second.
pub(super) const SECOND_US: i64 = 1_000_000;

/// Latest time either side of 1970 that a log can mean: the year 9999, in microseconds.
const MAX_US: i64 = 253_402_300_800 * SECOND_US;

/// A point in time, in microseconds since 1970 or the log's own zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(pub(super) i64);

/// Unit of a number that stands for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// The unit of a suffix: `s`, `ms`, `us`, `ns` and how people spell them.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => Some(Self::Seconds),
            "ms" | "msec" | "msecs" | "millis" | "milliseconds" => Some(Self::Millis),
            "us" | "µs" | "usec" | "usecs" | "micros" | "microseconds" => Some(Self::Micros),
            "ns" | "nsec" | "nanos" | "nanoseconds" => Some(Self::Nanos),
            _ => None,
        }
    }

    /// `s`, `ms`, `us`, `ns`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
        }
    }

    fn nanos(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }

    /// The unit that puts a number since 1970 into this century; small numbers are seconds.
    fn of_magnitude(number: f64) -> Self {
        match number.abs() {
            n if n < 1e11 => Self::Seconds,
            n if n < 1e14 => Self::Millis,
            n if n < 1e17 => Self::Micros,
            _ => Self::Nanos,
        }
    }
}

/// A number in `unit` as microseconds; integers are exact, the rest is rounded.
fn scaled(text: &str, unit: Unit) -> Option<i64> {
    if let Ok(whole) = text.parse::<i64>() {
        return i64::try_from(i128::from(whole) * unit.nanos() / 1_000).ok();
    }
    let micros = text.parse::<f64>().ok()? * (unit.nanos() as f64 / 1e3);
    // Beyond this a cast would saturate, and no log means it.
    (micros.is_finite() && micros.abs() < 9e18).then(|| micros.round() as i64)
}

/// A number since 1970 or the log's own zero; without a unit by its magnitude.
pub(super) fn unix(text: &str, unit: Option<Unit>) -> Option<Instant> {
    let text = text.trim();
    let number: f64 = text.parse().ok()?;
    let us = scaled(text, unit.unwrap_or_else(|| Unit::of_magnitude(number)))?;
    (-MAX_US..=MAX_US).contains(&us).then_some(Instant(us))
}

/// A number or a date.
pub(super) fn instant(text: &str, unit: Option<Unit>) -> Option<Instant> {
    unix(text, unit).or_else(|| date(text))
}

/// A time in brackets: a date, or a number since 1970 that cannot be the process number of a syslog prefix.
pub(super) fn bracketed(text: &str) -> Option<Instant> {
    /// The year 1973 in microseconds; no process has such a number in seconds.
    const SOONEST_US: i64 = 100_000_000 * SECOND_US;
    date(text).or_else(|| unix(text, None).filter(|stamp| stamp.0 >= SOONEST_US))
}

/// A date with time: ISO 8601 and its variants, the Common Log Format's, HTTP's.
pub(super) fn date(text: &str) -> Option<Instant> {
    let text = text.trim().trim_matches(['[', ']', '"']);
    if text.len() < 10 || text.len() > 64 || !text.is_ascii() {
        return None;
    }
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).unwrap_or(text);
    iso(text).or_else(|| clf(text)).or_else(|| {
        let stamp = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        stamp.parse_timestamp(text).ok().and_then(of_timestamp).or_else(|| {
            // HTTP's date ends in GMT, which was cut above.
            stamp.parse_timestamp(format!("{text} +0000")).ok().and_then(of_timestamp)
        })
    })
}

/// `2023-11-16 18:15:46.68059`, with `T` or a space, `/` or `-`, `.` or `,`, a zone or none.
pub(super) fn iso(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    if !bytes.first()?.is_ascii_digit() || !bytes.get(..4)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if bytes.get(4) == Some(&b'/') {
        return iso(&text.replacen('/', "-", 2));
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return of_timestamp(stamp);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return of_civil(civil);
    }
    // `… +0100`: a space before the zone.
    let (before, zone) = text.rsplit_once(' ')?;
    if zone.starts_with(['+', '-']) || zone == "Z" {
        return format!("{before}{zone}").parse::<Timestamp>().ok().and_then(of_timestamp);
    }
    None
}

/// `10/Oct/2000:13:55:36.123 -0700`, fraction and zone optional.
pub(super) fn clf(text: &str) -> Option<Instant> {
    if !text.contains('/') {
        return None;
    }
    if let Ok(parsed) = BrokenDownTime::parse("%d/%b/%Y:%H:%M:%S%.f %z", text) {
        return parsed.to_timestamp().ok().and_then(of_timestamp);
    }
    let parsed = BrokenDownTime::parse("%d/%b/%Y:%H:%M:%S%.f", text).ok()?;
    parsed.to_datetime().ok().and_then(of_civil)
}

/// `Oct 11 22:14:15`: a syslog date, which has no year. The year is taken as 1972, the first leap year after 1970.
pub(super) fn syslog(text: &str) -> Option<Instant> {
    let parsed = BrokenDownTime::parse("%Y %b %d %H:%M:%S%.f", format!("1972 {}", text.trim())).ok()?;
    parsed.to_datetime().ok().and_then(of_civil)
}

fn of_timestamp(stamp: Timestamp) -> Option<Instant> {
    Some(Instant(stamp.as_microsecond()))
}

fn of_civil(civil: DateTime) -> Option<Instant> {
    TimeZone::UTC.to_timestamp(civil).ok().and_then(of_timestamp)
}

/// A duration as microseconds: `0.123`, `15ms`, `1.5 s`. A unit of its own goes before `unit`; without either, and
/// for a negative number (which recorders write for "unknown"), `None`.
pub(super) fn duration(text: &str, unit: Option<Unit>) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let own = text.get(digits.len()..).filter(|suffix| !suffix.is_empty());
    // `1e-3` ends in a digit, so a suffix is a unit or nonsense.
    let unit = match own {
        Some(suffix) => Unit::parse(suffix)?,
        None => unit?,
    };
    scaled(digits.trim_end(), unit).and_then(|us| u64::try_from(us).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_all_recorders_are_the_same_moment() {
        for text in [
            "2023-11-16T18:15:46.680590Z",
            "2023-11-16 18:15:46.6805900",
            "2023-11-16 18:15:46,680590",
            "2023-11-16T18:15:46.680590",
            "2023-11-16T19:15:46.680590+01:00",
            "2023-11-16T19:15:46.680590+0100",
            "2023-11-16 19:15:46.680590 +0100",
            "2023-11-16 18:15:46.680590 UTC",
            "2023/11/16 18:15:46.680590",
            "16/Nov/2023:18:15:46.680590 +0000",
            "16/Nov/2023:13:15:46.680590 -0500",
            "16/Nov/2023:18:15:46.680590",
            "1700158546.680590",
            "1700158546680590",
            "1700158546680590123",
        ] {
            assert_eq!(instant(text, None), Some(Instant(1_700_158_546_680_590)), "{text}");
        }
        for text in [
            "Thu, 16 Nov 2023 18:15:46 GMT",
            "Thu, 16 Nov 2023 18:15:46 +0000",
            "16/Nov/2023:18:15:46 +0000",
            "2023-11-16 18:15:46",
            "1700158546",
            "1700158546000",
        ] {
            assert_eq!(instant(text, None), Some(Instant(1_700_158_546_000_000)), "{text}");
        }
    }

    #[test]
    fn a_unit_goes_before_the_magnitude() {
        assert_eq!(instant("27000", Some(Unit::Millis)), Some(Instant(27_000_000)));
        assert_eq!(instant("27000", None), Some(Instant(27_000_000_000)));
        assert_eq!(instant("0.0014", Some(Unit::Seconds)), Some(Instant(1_400)));
        assert_eq!(instant("-0.5", Some(Unit::Seconds)), Some(Instant(-500_000)));
    }

    #[test]
    fn a_number_in_brackets_is_a_time_and_no_process() {
        assert_eq!(bracketed("1700158546.680590"), Some(Instant(1_700_158_546_680_590)));
        assert_eq!(bracketed("412"), None);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "-", "yesterday", "NaN", "inf", "1e300", "99/Foo/2023:18:15:46 +0000", "2023-13-01", "é2023-11-16T"]
        {
            assert_eq!(instant(text, None), None, "{text}");
        }
    }

    #[test]
    fn durations_carry_their_unit_or_take_the_given_one() {
        assert_eq!(duration("0.123", Some(Unit::Seconds)), Some(123_000));
        assert_eq!(duration("15ms", None), Some(15_000));
        assert_eq!(duration("1.5 s", Some(Unit::Millis)), Some(1_500_000));
        assert_eq!(duration("250µs", None), Some(250));
        assert_eq!(duration("1e-3", Some(Unit::Seconds)), Some(1_000));
        for text in ["-1", "-", "", "12parsecs", "NaN"] {
            assert_eq!(duration(text, Some(Unit::Seconds)), None, "{text}");
        }
        assert_eq!(duration("12", None), None);
    }

    #[test]
    fn a_syslog_date_has_no_year_but_an_order() {
        let day = |text| syslog(text).unwrap();
        assert!(day("Feb 29 00:00:00") < day("Oct  1 22:14:15"));
        assert_eq!(syslog("Oct 11"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = (instant(&text, None), duration(&text, Some(Unit::Nanos)), syslog(&text));
        }

        #[test]
        fn no_number_makes_it_panic(number in proptest::num::f64::ANY, whole in proptest::num::i64::ANY) {
            for unit in [Unit::Seconds, Unit::Nanos] {
                let _ = (unix(&number.to_string(), Some(unit)), duration(&whole.to_string(), Some(unit)));
            }
        }
    }
}
