//! Access logs of AWS load balancers.
//!
//! Classic: `time elb client:port backend:port request_time backend_time response_time elb_status backend_status
//! received sent "request" "user agent" cipher protocol`. Application: the same after a first field with the
//! protocol, and after the TLS protocol `target_group "trace" "domain" "certificate" priority creation_time …`.
//!
//! The classic log stamps the arrival; the other one the end, and has the arrival as `creation_time`.

use super::draft::{Draft, LineParser, NO_TIME, OTHER_LINE, Reason, Target};
use super::request::{bytes, host, present, request_line, status, url_host};
use super::time::{Unit, duration, iso};
use super::tokens::{Token, Tokens};

/// Parser of both formats.
pub(super) struct Elb;

/// Fields before the time in which a protocol or a prefix may stand.
const TIME_WITHIN: usize = 4;

/// Protocols with which lines of application load balancers begin.
const APPLICATION: [&str; 8] = ["http", "https", "h2", "grpc", "grpcs", "ws", "wss", "h2c"];

impl LineParser for Elb {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        let mut tokens = Tokens::new(line);
        let mut before = None;
        let mut stamp = None;
        for token in tokens.by_ref().take(TIME_WITHIN) {
            stamp = token.bare().filter(|text| text.contains('T')).and_then(iso);
            if stamp.is_some() {
                break;
            }
            before = token.bare();
        }
        let stamp = stamp.ok_or(if tokens.rest().contains('"') { NO_TIME } else { OTHER_LINE })?;
        let application = before.is_some_and(|word| APPLICATION.contains(&word));
        let mut word = || tokens.next().and_then(Token::bare).ok_or(OTHER_LINE);
        let (_elb, _client, backend) = (word()?, word()?, word()?);
        let (request_secs, backend_secs, response_secs) = (word()?, word()?, word()?);
        let (elb_status, _backend_status) = (word()?, word()?);
        let (received, sent) = (word()?, word()?);
        let request = tokens.next().and_then(Token::quoted).ok_or(OTHER_LINE)?;
        let (method, target) = request_line(request)?;
        let mut draft = Draft::new(stamp, Target::Path(target.into()));
        draft.method = Some(method.into());
        draft.status = status(elb_status)?;
        draft.request_bytes = bytes(received);
        draft.response_bytes = bytes(sent);
        draft.endpoint = present(backend).map(Into::into);
        let time = |secs| duration(secs, Some(Unit::Seconds));
        draft.latency_us = time(backend_secs);
        draft.tenant = url_host(target).map(Into::into);
        if application {
            let rest: Vec<Token<'a>> = tokens.collect();
            let domain = rest.get(5).and_then(|token| host(token.text));
            draft.tenant = domain.map(Into::into).or(draft.tenant);
            match rest.get(8).and_then(|token| iso(token.text)) {
                Some(created) => draft.stamp = created,
                None => {
                    let parts = [request_secs, backend_secs, response_secs].map(|secs| time(secs).unwrap_or(0));
                    draft.before_stamp_us = parts.into_iter().fold(0, u64::saturating_add);
                }
            }
        }
        Ok(draft)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::draft::NO_REQUEST;
    use super::*;

    #[test]
    fn a_line_of_an_application_load_balancer_has_its_arrival_further_on() {
        let line = r#"h2 2024-05-01T10:00:01.500000Z app/web/50dc6 192.0.2.7:2817 10.0.0.66:9000 0.000 0.348 0.001 200 200 34 366 "GET https://shop.example:443/cart/9 HTTP/2.0" "curl/8" ECDHE TLSv1.2 arn:aws:x "Root=1-58" "www.shop.example" "arn:aws:acm" 0 2024-05-01T10:00:01.100000Z "forward" "-" "-" "10.0.0.66:9000" "200" "-" "-""#;
        let draft = Elb.parse(line).unwrap();
        assert_eq!(draft.stamp, iso("2024-05-01T10:00:01.100000Z").unwrap());
        assert_eq!(draft.tenant.as_deref(), Some("www.shop.example"));
        assert_eq!((draft.latency_us, draft.endpoint.as_deref()), (Some(348_000), Some("10.0.0.66:9000")));
        let short = Elb.parse(line.split(" arn:").next().unwrap()).unwrap();
        assert_eq!(short.before_stamp_us, 349_000);
        assert_eq!(short.tenant.as_deref(), Some("shop.example"));
    }

    #[test]
    fn tcp_listeners_have_no_request() {
        let line = r#"2024-05-01T10:00:00.000000Z lb 192.0.2.7:2817 10.0.0.1:80 0.001 0.00001 0.00004 - - 82 305 "- - - " "-" - -"#;
        assert_eq!(Elb.parse(line), Err(NO_REQUEST));
    }

    #[test]
    fn a_line_without_time_is_not_of_this_log() {
        assert_eq!(Elb.parse("one two three four five"), Err(OTHER_LINE));
        assert_eq!(Elb.parse(r#"a b c d e "GET / HTTP/1.1""#), Err(NO_TIME));
    }
}
