//! Log of the Heroku router:
//! `time heroku[router]: at=info method=GET path="/" host=… dyno=web.1 connect=1ms service=18ms status=200 bytes=13`.
//!
//! The router writes a line when a request is over, so it arrived `connect + service` before the stamp, and that
//! is the endpoint's time. Lines of dynos and of the platform, which the same drain delivers, are counted as
//! other lines.

use super::draft::{BAD_STATUS, Draft, LineParser, NO_REQUEST, NO_TIME, OTHER_LINE, Reason, Target};
use super::request::{bytes, host, is_method, present, status};
use super::time::{Instant, Unit, duration, iso, syslog};
use super::tokens::Tokens;
use crate::trace::CLIENT_LEFT;
use std::collections::HashMap;

/// Parser of the format.
pub(super) struct Heroku;

/// Words of a syslog prefix among which the time stands.
const TIME_WITHIN: usize = 6;

/// Status of an error line that has none.
const UNAVAILABLE: u16 = 503;

/// Error codes of the router for a client that left first.
const CLIENT_CODES: [&str; 2] = ["H27", "H28"];

impl LineParser for Heroku {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        let start = if line.starts_with("at=") { 0 } else { line.find(" at=").ok_or(OTHER_LINE)? };
        let (prefix, pairs) = line.split_at(start);
        let pairs = pairs_of(pairs);
        let get = |key: &str| pairs.get(key).copied().and_then(present);
        if !pairs.contains_key("method") && !pairs.contains_key("path") {
            return Err(OTHER_LINE);
        }
        let method = get("method").filter(|method| is_method(method)).ok_or(NO_REQUEST)?;
        let path = get("path").ok_or(NO_REQUEST)?;
        let mut draft = Draft::new(stamp(prefix).ok_or(NO_TIME)?, Target::Path(path.into()));
        draft.method = Some(method.into());
        draft.tenant = get("host").and_then(host).map(Into::into);
        draft.endpoint = get("dyno").map(Into::into);
        draft.response_bytes = get("bytes").and_then(bytes);
        draft.request_bytes = get("request_bytes").and_then(bytes);
        let code = get("code").unwrap_or("");
        draft.status = match get("status") {
            _ if CLIENT_CODES.contains(&code) => Some(CLIENT_LEFT),
            Some(text) => status(text)?,
            None if get("at") == Some("error") => Some(UNAVAILABLE),
            None => return Err(BAD_STATUS),
        };
        let millis = |key| get(key).and_then(|text| duration(text, Some(Unit::Millis)));
        let (connect, service) = (millis("connect"), millis("service"));
        draft.latency_us = service.map(|service| service.saturating_add(connect.unwrap_or(0)));
        draft.before_stamp_us = service.unwrap_or(0).saturating_add(connect.unwrap_or(0));
        Ok(draft)
    }
}

/// `key=value` and `key="value with blanks"`.
fn pairs_of(text: &str) -> HashMap<&str, &str> {
    Tokens::new(text).filter_map(|token| token.bare()?.split_once('=')).collect()
}

/// The time in a prefix: `2024-…`, `<158>1 2024-…`, `Oct 11 22:14:15 app heroku/router:`.
fn stamp(prefix: &str) -> Option<Instant> {
    let prefix = prefix.split_once('>').map_or(prefix, |(_priority, rest)| rest);
    let words: Vec<&str> = prefix.split_whitespace().take(TIME_WITHIN).collect();
    let joined = |count: usize, parse: fn(&str) -> Option<Instant>| {
        words.windows(count).find_map(|window| parse(&window.join(" ")))
    };
    joined(2, iso).or_else(|| joined(1, iso)).or_else(|| joined(3, syslog))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ROUTED: &str =
        r#"at=info method=GET path="/a?b=c" host=shop.example dyno=web.1 connect=1ms service=18ms status=200 bytes=13"#;

    #[test]
    fn the_time_is_found_in_every_prefix() {
        let expected = iso("2024-05-01T10:00:00.250Z").unwrap();
        for prefix in [
            "2024-05-01T10:00:00.250000+00:00 heroku[router]:",
            "<158>1 2024-05-01T10:00:00.250000+00:00 host heroku router -",
            "142 <158>1 2024-05-01T12:00:00.250+02:00 host heroku router - -",
            "2024-05-01 10:00:00.250 heroku[router]:",
        ] {
            assert_eq!(stamp(prefix), Some(expected), "{prefix}");
        }
        for prefix in ["Oct 11 22:14:15 app heroku/router:", "<158>Oct 11 22:14:15 app heroku/router:"] {
            assert_eq!(stamp(prefix), syslog("Oct 11 22:14:15"), "{prefix}");
        }
        assert_eq!(Heroku.parse(ROUTED), Err(NO_TIME));
    }

    #[test]
    fn errors_keep_their_status_and_who_left_first_is_known() {
        let parse = |tail: &str| {
            let line = format!("2024-05-01T10:00:00.25Z heroku[router]: at=error {tail} method=GET path=\"/a\" host=h");
            let draft = Heroku.parse(&line).unwrap();
            (draft.status, draft.latency_us, draft.endpoint.is_some())
        };
        let timeout = r#"code=H12 desc="Request timeout" dyno=web.1 connect=1ms service=30000ms status=503 bytes=0"#;
        assert_eq!(parse(timeout), (Some(503), Some(30_001_000), true));
        assert_eq!(
            parse(r#"code=H10 desc="App crashed" dyno= connect= service= status=503 bytes="#),
            (Some(503), None, false)
        );
        assert_eq!(
            parse(r#"code=H27 desc="Client Request Interrupted" dyno=web.1 service=5ms"#),
            (Some(499), Some(5_000), true)
        );
    }

    #[test]
    fn lines_of_dynos_are_other_lines() {
        for line in ["2024-05-01T10:00:00Z app[web.1]: started", "2024-05-01T10:00:00Z app[web.1]: at=info did=this"] {
            assert_eq!(Heroku.parse(line), Err(OTHER_LINE));
        }
    }
}
