//! Default access log of Envoy, and what Istio makes of it:
//! `[start] "METHOD path protocol" code flags [details …] received sent duration upstream_time "forwarded for"
//! "user agent" "request id" "authority" "upstream host" …`.
//!
//! The four numbers are found by their form, because Istio puts two to four fields before them, by version.

use super::draft::{Draft, LineParser, OTHER_LINE, Reason, Target};
use super::request::{bytes, host, present, request_line, status, url_host};
use super::time::{Unit, bracketed, duration};
use super::tokens::{Token, Tokens, dated};
use crate::trace::CLIENT_LEFT;

/// Parser of the format.
pub(super) struct Envoy;

impl LineParser for Envoy {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        let stamp = |text: &'a str, rest: &'a str| {
            if rest.trim_start().starts_with('"') { bracketed(text) } else { None }
        };
        let (_, stamp, rest) = dated(line, stamp).ok_or(OTHER_LINE)?;
        let mut tokens = Tokens::new(rest);
        let request = tokens.next().and_then(Token::quoted).ok_or(OTHER_LINE)?;
        let code = tokens.next().and_then(Token::bare).ok_or(OTHER_LINE)?;
        let (method, target) = request_line(request)?;
        let tokens: Vec<Token<'a>> = tokens.collect();
        let at = tokens.windows(4).position(is_numbers).ok_or(OTHER_LINE)?;
        let field = |offset: usize| tokens.get(at + offset).map_or("-", |token| token.text);
        let mut draft = Draft::new(stamp, Target::Path(target.into()));
        draft.method = Some(method.into());
        // Envoy writes 0 where no response was begun.
        draft.status = status(code)?.map(|status| if status == 0 { CLIENT_LEFT } else { status });
        draft.request_bytes = bytes(field(0));
        draft.response_bytes = bytes(field(1));
        let millis = |text| duration(text, Some(Unit::Millis));
        draft.latency_us = millis(field(3)).or_else(|| millis(field(2)));
        draft.tenant = host(field(7)).or_else(|| url_host(target)).map(Into::into);
        draft.endpoint = present(field(8)).map(Into::into);
        Ok(draft)
    }
}

/// `received sent duration upstream_time`: bare numbers, of which the last two may be unknown.
fn is_numbers(window: &[Token<'_>]) -> bool {
    let number = |token: &Token<'_>| token.bare().is_some_and(|text| text.parse::<u64>().is_ok());
    let unknown = |token: &Token<'_>| number(token) || token.bare() == Some("-");
    matches!(window, [received, sent, duration, upstream]
        if number(received) && number(sent) && unknown(duration) && unknown(upstream))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(tail: &str) -> Draft<'static> {
        let line = format!("[2024-05-01T10:00:00.250Z] \"GET /a HTTP/2\" {tail}");
        Envoy.parse(Box::leak(line.into_boxed_str())).unwrap()
    }

    #[test]
    fn the_numbers_are_found_behind_istios_fields() {
        for tail in [
            r#"200 - 5 70 26 24 "-" "curl/8" "id" "shop.example:443" "10.0.0.7:80""#,
            r#"200 - via_upstream - "-" 5 70 26 24 "-" "curl/8" "id" "shop.example" "10.0.0.7:80" outbound|80||x - 10.0.0.9:80 10.0.0.1:5 - default"#,
            r#"200 - "-" "-" 5 70 26 24 "-" "curl/8" "id" "shop.example" "10.0.0.7:80" outbound|80||x"#,
            r#"200 UF,URX upstream_reset - "conn \"failed\" 1" 5 70 26 24 "-" "c" "id" "shop.example" "10.0.0.7:80""#,
        ] {
            let draft = parse(tail);
            assert_eq!(
                (draft.request_bytes, draft.response_bytes, draft.latency_us),
                (Some(5), Some(70), Some(24_000))
            );
            assert_eq!(
                (draft.tenant.as_deref(), draft.endpoint.as_deref()),
                (Some("shop.example"), Some("10.0.0.7:80")),
                "{tail}"
            );
        }
    }

    #[test]
    fn a_request_without_upstream_time_has_its_whole_duration() {
        let draft = parse(r#"0 DC 0 0 1500 - "-" "-" "id" "shop.example" "10.0.0.7:80""#);
        assert_eq!((draft.status, draft.latency_us), (Some(CLIENT_LEFT), Some(1_500_000)));
        let draft = parse(r#"503 UH 0 19 0 - "-" "-" "id" "-" "-""#);
        assert_eq!((draft.status, draft.tenant, draft.endpoint), (Some(503), None, None));
    }

    #[test]
    fn fields_that_were_cut_off_are_unknown() {
        let draft = parse("200 - 5 70 26 24");
        assert_eq!((draft.latency_us, draft.endpoint), (Some(24_000), None));
    }

    #[test]
    fn application_logs_of_envoy_are_other_lines() {
        let line = "[2024-05-01 10:00:00.250][12][info][main] [source/server/server.cc:1] \"starting\"";
        assert_eq!(Envoy.parse(line), Err(OTHER_LINE));
    }
}
