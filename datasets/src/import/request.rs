//! The request line, hosts, and numbers that may be `-`.

use super::draft::{BAD_STATUS, NO_REQUEST, Reason};
use crate::trace::CLIENT_LEFT;

/// Longest method; the longest registered one has 18 letters.
const MAX_METHOD_BYTES: usize = 32;

/// Status of AWS for a client that left first.
const AWS_CLIENT_LEFT: u16 = 460;

/// `GET /path HTTP/1.1` as method and target. The version may be absent, and blanks inside the target stay.
pub(super) fn request_line(line: &str) -> Result<(&str, &str), Reason> {
    let line = line.trim();
    let (method, rest) = line.split_once(' ').ok_or(NO_REQUEST)?;
    let rest = rest.trim();
    let target = match rest.rsplit_once(' ') {
        Some((target, version)) if is_version(version) => target.trim(),
        _ if is_version(rest) => "",
        _ => rest,
    };
    // `- - -` is what Envoy and AWS write where there was none.
    if !is_method(method) || method == "-" || target.is_empty() || target.starts_with("- ") || target == "-" {
        return Err(NO_REQUEST);
    }
    Ok((method, target))
}

fn is_version(word: &str) -> bool {
    word.starts_with("HTTP/") || word == "-"
}

/// A token of RFC 9110.
pub(super) fn is_method(word: &str) -> bool {
    (1..=MAX_METHOD_BYTES).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The host of an absolute URL.
pub(super) fn url_host(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    host(authority.rsplit('@').next()?)
}

/// A host without its port; `None` for `-` and nothing. `[::1]:80` is `::1`.
pub(super) fn host(text: &str) -> Option<&str> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        // More than one colon without brackets is an address without a port.
        None if text.matches(':').count() > 1 => text,
        None => text.split(':').next()?,
    };
    present(bare)
}

/// The text without quotes around it, unless it is how recorders write "nothing".
pub(super) fn present(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
    (!text.is_empty() && text != "-").then_some(text)
}

/// A size in bytes; a `+` (HAProxy, "and counting") is passed over, `-` and negative numbers are unknown.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches('+');
    if let Ok(bytes) = text.parse() {
        return Some(bytes);
    }
    let number: f64 = text.parse().ok()?;
    // 2^53: beyond it a float is no count.
    (0.0..9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

/// A status: `-` is unknown, a negative number and 460 mean that the client left first.
pub(super) fn status(text: &str) -> Result<Option<u16>, Reason> {
    let Some(text) = present(text) else { return Ok(None) };
    let number = text.split([' ', '.']).next().and_then(|word| word.parse::<i64>().ok()).ok_or(BAD_STATUS)?;
    match u16::try_from(number) {
        Err(_) if number < 0 => Ok(Some(CLIENT_LEFT)),
        Ok(AWS_CLIENT_LEFT) => Ok(Some(CLIENT_LEFT)),
        Ok(status) if status <= 999 => Ok(Some(status)),
        _ => Err(BAD_STATUS),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_request_line_gives_method_and_target() {
        for (line, expected) in [
            ("GET /a HTTP/1.1", Some(("GET", "/a"))),
            ("GET /a?x=1 HTTP/2", Some(("GET", "/a?x=1"))),
            ("GET /a", Some(("GET", "/a"))),
            ("GET /a b c HTTP/1.0", Some(("GET", "/a b c"))),
            ("PRI * HTTP/2.0", Some(("PRI", "*"))),
            ("POST https://shop.example:443/x HTTP/2.0", Some(("POST", "https://shop.example:443/x"))),
            ("POST /x -", Some(("POST", "/x"))),
            ("M-SEARCH * HTTP/1.1", Some(("M-SEARCH", "*"))),
            ("-", None),
            ("- - -", None),
            ("- - HTTP/1.1", None),
            ("", None),
            ("<BADREQ>", None),
            ("GET HTTP/1.1", None),
            ("\\x16\\x03\\x01 \\x00", None),
            ("- http://a.example:80- -", None),
        ] {
            assert_eq!(request_line(line).ok(), expected, "{line}");
        }
    }

    #[test]
    fn hosts_lose_their_port_and_keep_their_address() {
        for (text, expected) in [
            ("shop.example:8080", Some("shop.example")),
            ("shop.example", Some("shop.example")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("-", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(host(text), expected, "{text}");
        }
        assert_eq!(url_host("https://user@shop.example:443/a?b"), Some("shop.example"));
        assert_eq!(url_host("/a://b"), None);
    }

    #[test]
    fn a_status_is_three_digits_or_unknown() {
        assert_eq!(status("200"), Ok(Some(200)));
        assert_eq!(status("404 Not Found"), Ok(Some(404)));
        assert_eq!(status("200.0"), Ok(Some(200)));
        assert_eq!(status("-"), Ok(None));
        assert_eq!(status("-1"), Ok(Some(CLIENT_LEFT)));
        assert_eq!(status("460"), Ok(Some(CLIENT_LEFT)));
        assert_eq!(status("70000"), Err(BAD_STATUS));
        assert_eq!(status("OK"), Err(BAD_STATUS));
    }

    #[test]
    fn sizes_may_be_unknown_or_still_counting() {
        assert_eq!(bytes("+2750"), Some(2_750));
        assert_eq!(bytes("374.0"), Some(374));
        assert_eq!(bytes("-"), None);
        assert_eq!(bytes("-1"), None);
        assert_eq!(bytes("1e99"), None);
    }
}
