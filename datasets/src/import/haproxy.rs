//! HTTP log of HAProxy:
//! `client:port [time] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes cookie cookie termination counts queues
//! {request headers} {response headers} "request"`, with or without a syslog prefix, headers and cookies.
//!
//! The endpoint's time is `Tc + Tr`: connecting and waiting for the head of the response. Where it never answered
//! (`Tr` is -1) it is what is left of `Ta`, which is how long it was waited for. The tenant is the first captured
//! header that looks like a name or host, because which headers are captured is not in the log.

use super::draft::{Draft, LineParser, NO_REQUEST, OTHER_LINE, Reason, Target};
use super::request::{bytes, host, request_line, status, url_host};
use super::time::date;
use super::tokens::{Token, Tokens, Wrap, dated};
use crate::trace::CLIENT_LEFT;
use std::net::IpAddr;

/// Parser of the format.
pub(super) struct HaProxy;

/// Status of a response that never began for a reason that is not the client's.
const BAD_GATEWAY: u16 = 502;
/// The same after a time-out.
const GATEWAY_TIMEOUT: u16 = 504;

/// Longest captured header that is believed to name a tenant.
const MAX_TENANT_BYTES: usize = 64;

impl LineParser for HaProxy {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        let (_, (stamp, fields), _) = dated(line, |text, rest| {
            let fields = Fields::read(rest)?;
            Some((date(text)?, fields))
        })
        .ok_or(OTHER_LINE)?;
        let (method, target) = fields.request()?;
        let mut draft = Draft::new(stamp, Target::Path(target.into()));
        draft.method = Some(method.into());
        draft.response_bytes = bytes(fields.bytes);
        draft.status = fields.status()?;
        draft.latency_us = fields.timers.endpoint_us();
        // `<NOSRV>`, `<STATS>`: no server was involved.
        if !fields.server.starts_with('<') && fields.server != "-" {
            draft.group = Some(fields.backend);
            draft.endpoint = Some(fields.server.into());
        }
        draft.tenant = fields.tenant().or_else(|| url_host(target)).map(Into::into);
        Ok(draft)
    }
}

/// The fields after the time.
struct Fields<'a> {
    backend: &'a str,
    server: &'a str,
    timers: Timers,
    status: &'a str,
    bytes: &'a str,
    rest: Tokens<'a>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut tokens = Tokens::new(text);
        let _frontend = tokens.next()?.bare()?;
        let (backend, server) = tokens.next()?.bare()?.split_once('/')?;
        let timers = Timers::read(tokens.next()?.bare()?)?;
        let (status, bytes) = (tokens.next()?.bare()?, tokens.next()?.bare()?);
        Some(Self { backend, server, timers, status, bytes, rest: tokens })
    }

    /// The quoted field. Syslog cuts long lines, so it may have no end.
    fn request(&self) -> Result<(&'a str, &'a str), Reason> {
        let request = self.rest.into_iter().find_map(Token::quoted).ok_or(NO_REQUEST)?;
        request_line(request)
    }

    /// First letter of the termination state: who ended the session.
    fn ended_by(&self) -> Option<char> {
        self.rest.into_iter().nth(2)?.bare()?.chars().next()
    }

    fn status(&self) -> Result<Option<u16>, Reason> {
        let logged = status(self.status)?;
        if self.status.starts_with("-1") {
            return Ok(Some(match self.ended_by() {
                Some('S' | 'P' | 'R' | 'I' | 'D' | 'L' | 'U' | 'K') => BAD_GATEWAY,
                Some('s') => GATEWAY_TIMEOUT,
                _ => CLIENT_LEFT,
            }));
        }
        Ok(logged)
    }

    fn tenant(&self) -> Option<&'a str> {
        let mut captures = self.rest.into_iter().filter(|token| token.wrap == Wrap::Braced);
        captures.next()?.text.split('|').find_map(|value| {
            let name = host(value)?;
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._@".contains(&b));
            (plain && name.len() <= MAX_TENANT_BYTES && name.parse::<IpAddr>().is_err()).then_some(name)
        })
    }
}

/// `TR/Tw/Tc/Tr/Ta` in milliseconds (before version 1.7 `Tq/Tw/Tc/Tr/Tt`); -1 is "never came to that".
struct Timers([i64; 5]);

impl Timers {
    fn read(text: &str) -> Option<Self> {
        let mut timers = [0; 5];
        let mut parts = text.split('/');
        for timer in &mut timers {
            *timer = parts.next()?.trim_start_matches('+').parse().ok()?;
        }
        Some(Self(timers))
    }

    fn endpoint_us(&self) -> Option<u64> {
        let [request, wait, connect, response, all] = self.0;
        let ms = if response >= 0 {
            response.checked_add(connect.max(0))?
        } else if all >= 0 {
            all.saturating_sub(request.max(0)).saturating_sub(wait.max(0)).max(0)
        } else {
            return None;
        };
        u64::try_from(ms).ok()?.checked_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(fields: &str) -> Result<Draft<'static>, Reason> {
        let line = format!("10.0.0.1:5000 [06/Feb/2024:12:14:14.655] web {fields}");
        HaProxy.parse(Box::leak(line.into_boxed_str()))
    }

    #[test]
    fn the_endpoints_time_is_connecting_and_waiting() {
        for (timers, expected) in [
            ("10/0/30/69/109", Some(99_000)),
            ("0/0/-1/-1/0", Some(0)),
            ("5/2/1/-1/30008", Some(30_001_000)),
            ("-1/-1/-1/-1/-1", None),
            ("0/0/0/7/+7", Some(7_000)),
            ("9223372036854775807/0/9223372036854775807/9223372036854775807/1", None),
        ] {
            let draft = parse(&format!(r#"api/s1 {timers} 200 10 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#)).unwrap();
            assert_eq!(draft.latency_us, expected, "{timers}");
        }
    }

    #[test]
    fn a_session_without_response_has_the_status_of_who_ended_it() {
        for (state, expected) in
            [("CD--", 499), ("cD--", 499), ("SD--", 502), ("sH--", 504), ("PR--", 502), ("----", 499)]
        {
            let draft =
                parse(&format!(r#"api/s1 0/0/0/-1/9 -1 0 - - {state} 1/1/1/1/0 0/0 "GET / HTTP/1.1""#)).unwrap();
            assert_eq!(draft.status, Some(expected), "{state}");
        }
    }

    #[test]
    fn the_tenant_is_a_captured_name_or_the_host_of_the_url() {
        for (tail, expected) in [
            (r#"{shop.example:443|Mozilla/5.0 (X11; Linux)|} {nginx} "GET / HTTP/1.1""#, Some("shop.example")),
            (r#"{10.1.2.3|acme} "GET / HTTP/1.1""#, Some("acme")),
            (r#"{|} "GET / HTTP/1.1""#, None),
            (r#""GET https://h2.example/a HTTP/2.0""#, Some("h2.example")),
            (r#""GET / HTTP/1.1""#, None),
        ] {
            let draft = parse(&format!("api/s1 0/0/0/1/1 200 10 - - ---- 1/1/1/1/0 0/0 {tail}")).unwrap();
            assert_eq!(draft.tenant.as_deref(), expected, "{tail}");
        }
    }

    #[test]
    fn no_server_is_no_endpoint_and_no_request_is_no_row() {
        let draft = parse(r#"web/<NOSRV> 0/-1/-1/-1/0 503 212 - - SC-- 1/1/0/0/0 0/0 "GET /a HTTP/1.1""#).unwrap();
        assert_eq!((draft.endpoint, draft.status), (None, Some(503)));
        assert_eq!(parse(r#"web/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>""#), Err(NO_REQUEST));
        assert_eq!(parse("web/s1 0/0/1 120 -- 1/1/1/1/0 0/0"), Err(OTHER_LINE));
    }

    #[test]
    fn a_request_that_syslog_cut_short_is_read_as_far_as_it_goes() {
        let draft = parse(r#"api/s1 0/0/0/1/1 200 10 - - ---- 1/1/1/1/0 0/0 "GET /items/12345?q=abc"#).unwrap();
        assert_eq!(draft.target, Target::Path("/items/12345?q=abc".into()));
    }
}
