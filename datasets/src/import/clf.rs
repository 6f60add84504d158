//! Common and Combined Log Format, as Apache, nginx, Traefik and many others write it:
//! `host ident user [time] "request" status bytes "referer" "user agent"`, and whatever a site adds at the end.
//!
//! What may follow, by its form:
//! - `15ms`, `0.2s`, `900us`: the request's time; so is a number with a point, in seconds (`$request_time`), and a
//!   single integer, in microseconds (Apache's `%D`); of `%T/%D` the second counts;
//! - two integers are `%I %O` (bytes in and out, Apache's `combinedio`), a third is `%D`;
//! - `rt=0.2`, `urt="0.1"` and the like: the request's and the upstream's time in seconds;
//! - `10.0.0.1:8080`, or `"http://10.0.0.1:8080"` after the user agent: the endpoint; a number with a point after
//!   it is the endpoint's own time.
//!
//! Before the host may stand a syslog prefix, and the virtual host (`vhost_combined`), which is then the tenant;
//! without it the authenticated user is.

use super::draft::{Draft, LineParser, NO_REQUEST, OTHER_LINE, Reason, Target};
use super::request::{bytes, host, present, request_line, status, url_host};
use super::time::{Unit, bracketed, duration};
use super::tokens::{Token, Tokens, dated};
use std::net::SocketAddr;

/// Parser of the format.
pub(super) struct Clf {
    /// nginx stamps the end of a request, Apache its arrival.
    stamps_end: bool,
}

impl Clf {
    /// Time stamps are arrivals.
    pub(super) fn apache() -> Self {
        Self { stamps_end: false }
    }

    /// Time stamps are ends.
    pub(super) fn nginx() -> Self {
        Self { stamps_end: true }
    }
}

impl LineParser for Clf {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        let stamp = |text: &'a str, rest: &'a str| {
            if rest.trim_start().starts_with('"') { bracketed(text) } else { None }
        };
        let (before, stamp, rest) = dated(line, stamp).ok_or(OTHER_LINE)?;
        let mut tokens = Tokens::new(rest);
        let request = tokens.next().and_then(Token::quoted).ok_or(OTHER_LINE)?;
        let (method, target) = request_line(request)?;
        let mut draft = Draft::new(stamp, Target::Path(target.into()));
        draft.method = Some(method.into());
        draft.status = status(tokens.next().ok_or(NO_REQUEST)?.text)?;
        draft.response_bytes = tokens.next().and_then(Token::bare).and_then(bytes);
        draft.tenant = url_host(target).or_else(|| tenant(before)).map(Into::into);
        let trail = Trail::read(tokens);
        draft.endpoint = trail.endpoint.map(Into::into);
        draft.request_bytes = trail.request_bytes;
        draft.latency_us = trail.endpoint_us.or(trail.total_us);
        if self.stamps_end {
            draft.before_stamp_us = trail.total_us.or(trail.endpoint_us).unwrap_or(0);
        }
        Ok(draft)
    }
}

/// The virtual host or the user in `… vhost client ident user `.
fn tenant(before: &str) -> Option<&str> {
    let mut words = before.split_whitespace().rev();
    let user = words.next()?;
    let virtual_host = words.nth(2).filter(|word| is_virtual_host(word)).and_then(host);
    virtual_host.or_else(|| present(user))
}

/// `shop.example` or `shop:443`: not the `nginx:` of a syslog prefix, nor its time.
fn is_virtual_host(word: &str) -> bool {
    let (name, port) = word.split_once(':').map_or((word, None), |(name, port)| (name, Some(port)));
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let named = name.bytes().any(|b| b.is_ascii_alphabetic());
    let ported = port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    plain && named && (ported || (port.is_none() && name.contains('.')))
}

/// What a site added after the standard fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trail<'a> {
    total_us: Option<u64>,
    endpoint_us: Option<u64>,
    endpoint: Option<&'a str>,
    request_bytes: Option<u64>,
}

impl<'a> Trail<'a> {
    fn read(tokens: Tokens<'a>) -> Self {
        let mut trail = Self::default();
        let mut quoted = 0;
        let mut integers = Vec::new();
        for token in tokens {
            match token.bare() {
                Some(word) => trail.word(word, &mut integers),
                None => {
                    quoted += 1;
                    // The first two are referer and user agent.
                    let url = token.quoted().filter(|text| quoted > 2 && text.contains("://")).and_then(address);
                    trail.endpoint = trail.endpoint.or(url);
                }
            }
        }
        match integers.as_slice() {
            [micros] => trail.total_us = trail.total_us.or(Some(*micros)),
            [received, _] => trail.request_bytes = Some(*received),
            [received, _, micros, ..] => {
                trail.request_bytes = Some(*received);
                trail.total_us = trail.total_us.or(Some(*micros));
            }
            [] => {}
        }
        trail
    }

    fn word(&mut self, word: &'a str, integers: &mut Vec<u64>) {
        if let Some((key, value)) = word.split_once('=') {
            return self.pair(key, value.trim_matches('"'));
        }
        let word = word.trim_end_matches([',', ';']);
        if let Ok(integer) = word.parse() {
            integers.push(integer);
        } else if let Some((_, micros)) = word.split_once('/').filter(|(secs, _)| secs.parse::<u64>().is_ok()) {
            self.total_us = self.total_us.or(micros.parse().ok());
        } else if word.parse::<SocketAddr>().is_ok() {
            self.endpoint = self.endpoint.or(Some(word));
        } else if let Some(us) =
            duration(word, Some(Unit::Seconds)).filter(|_| !word.starts_with(|c: char| c.is_alphabetic()))
        {
            let slot = if self.endpoint.is_some() && self.total_us.is_some() {
                &mut self.endpoint_us
            } else {
                &mut self.total_us
            };
            *slot = slot.or(Some(us));
        }
    }

    fn pair(&mut self, key: &str, value: &'a str) {
        // Of several attempts the last one answered.
        let last = value.rsplit([',', ' ']).next().unwrap_or(value);
        match key.to_ascii_lowercase().as_str() {
            "rt" | "request_time" | "time" | "duration" => self.total_us = duration(last, Some(Unit::Seconds)),
            "urt" | "upstream_response_time" => self.endpoint_us = duration(last, Some(Unit::Seconds)),
            "upstream" | "upstream_addr" | "ua" | "backend" if present(last).is_some() => self.endpoint = Some(last),
            _ => {}
        }
    }
}

/// `http://10.0.0.1:8080/x` → `10.0.0.1:8080`.
fn address(url: &str) -> Option<&str> {
    url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()).and_then(present)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const HEAD: &str = r#"10.0.0.1 - - [10/Oct/2023:13:55:36 +0000] "GET /a HTTP/1.1" 200 12"#;

    fn parse(line: &str) -> Draft<'static> {
        let line: &'static str = Box::leak(line.to_owned().into_boxed_str());
        Box::leak(Box::new(Clf::apache())).parse(line).unwrap()
    }

    fn trail(text: &str) -> (Option<u64>, Option<String>, Option<u64>) {
        let draft = parse(&format!("{HEAD} \"-\" \"curl/8\" {text}"));
        (draft.latency_us, draft.endpoint.map(|name| name.into_owned()), draft.request_bytes)
    }

    #[test]
    fn the_trail_is_read_by_its_form() {
        for (text, latency, endpoint, request) in [
            ("", None, None, None),
            ("0.123", Some(123_000), None, None),
            ("1234", Some(1_234), None, None),
            ("15ms", Some(15_000), None, None),
            ("0/1234", Some(1_234), None, None),
            ("512 7890", None, None, Some(512)),
            ("512 7890 1234", Some(1_234), None, Some(512)),
            (r#"42 "web@docker" "http://172.17.0.2:80" 15ms"#, Some(15_000), Some("172.17.0.2:80"), None),
            ("0.250 10.0.0.9:8080 200 0.100", Some(100_000), Some("10.0.0.9:8080"), None),
            (r#""-" rt=0.250 uct="0.001" urt="0.2, 0.1""#, Some(100_000), None, None),
            (r#"rt=0.250 upstream=10.0.0.9:80"#, Some(250_000), Some("10.0.0.9:80"), None),
            ("[2001:db8::1]:80", None, Some("[2001:db8::1]:80"), None),
            ("- - gzip", None, None, None),
        ] {
            let expected = (latency, endpoint.map(str::to_owned), request);
            assert_eq!(trail(text), expected, "{text}");
        }
    }

    #[test]
    fn the_tenant_is_the_virtual_host_or_the_user() {
        for (before, expected) in [
            ("10.0.0.1 - - ", None),
            ("10.0.0.1 - ann ", Some("ann")),
            ("shop.example:443 10.0.0.1 - - ", Some("shop.example")),
            ("shop:443 ::1 - - ", Some("shop")),
            ("Oct 11 22:14:15 web1 nginx: 10.0.0.1 - - ", None),
            ("<190>Oct 11 22:14:15 web1 httpd[9]: shop.example 10.0.0.1 - ann ", Some("shop.example")),
            ("", None),
        ] {
            assert_eq!(tenant(before), expected, "{before}");
        }
    }

    #[test]
    fn requests_that_never_came_are_told_from_other_lines() {
        let clf = Clf::apache();
        for request in ["-", "", "\\x16\\x03\\x01"] {
            let line = format!("10.0.0.1 - - [10/Oct/2023:13:55:36 +0000] \"{request}\" 400 0");
            assert_eq!(clf.parse(&line).unwrap_err(), NO_REQUEST, "{request}");
        }
        assert_eq!(clf.parse("[Tue Oct 10 13:55:36 2023] [error] no such file").unwrap_err(), OTHER_LINE);
    }

    #[test]
    fn only_nginx_stamps_the_end() {
        let line = format!("{HEAD} \"-\" \"-\" 0.5");
        assert_eq!(Clf::nginx().parse(&line).unwrap().before_stamp_us, 500_000);
        assert_eq!(Clf::apache().parse(&line).unwrap().before_stamp_us, 0);
    }
}
