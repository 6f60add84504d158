//! Tests of lines by their `log_format`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn parse(format: Option<&str>, line: &str) -> Result<Draft<'static>, Reason> {
    let nginx: &'static Nginx = Box::leak(Box::new(Nginx::new(format).unwrap()));
    nginx.parse(Box::leak(line.to_owned().into_boxed_str()))
}

const START: &str = r#"192.0.2.7 - - [01/May/2024:10:00:01 +0000] "GET /cart/9 HTTP/1.1" 200 612 "-" "curl/8""#;

#[test]
fn the_default_format_is_combined_with_time_and_upstream() {
    let draft = parse(None, &format!("{START} 0.250 10.0.0.9:80, 10.0.0.8:80 502, 200 0.010, 0.200")).unwrap();
    assert_eq!(draft.endpoint.as_deref(), Some("10.0.0.8:80"));
    assert_eq!((draft.latency_us, draft.before_stamp_us), (Some(200_000), 250_000));
    assert_eq!((draft.status, draft.response_bytes), (Some(200), Some(612)));
    assert_eq!(draft.stamp, date("2024-05-01T10:00:01Z").unwrap());
}

#[test]
fn lines_of_the_ingress_controller_and_plain_combined_ones_need_no_format() {
    let line = format!("{START} 345 0.250 [shop-web-80] [] 10.1.2.3:8080 612 0.200 200 5f1c");
    let draft = parse(None, &line).unwrap();
    assert_eq!((draft.endpoint.as_deref(), draft.request_bytes), (Some("10.1.2.3:8080"), Some(345)));
    assert_eq!((draft.latency_us, draft.before_stamp_us), (Some(200_000), 250_000));
    let draft = parse(None, START).unwrap();
    assert_eq!((draft.endpoint, draft.latency_us), (None, None));
    let draft = parse(None, &format!(r#"{START} "-" rt=0.250 urt="0.200""#)).unwrap();
    assert_eq!((draft.latency_us, draft.before_stamp_us), (Some(200_000), 250_000));
}

#[test]
fn the_tenant_is_a_variable_that_says_so_then_the_host_then_the_user() {
    let format = "$remote_user $msec $request_method $request_uri $host $http_x_tenant";
    let line = |user, host, tenant| format!("{user} 1714557601.250 GET /a {host} {tenant}");
    for (line, expected) in [
        (line("ann", "shop.example:80", "acme"), Some("acme")),
        (line("ann", "shop.example:80", "-"), Some("shop.example")),
        (line("ann", "-", "-"), Some("ann")),
        (line("-", "_", "-"), None),
    ] {
        let draft = parse(Some(format), &line).unwrap();
        assert_eq!(draft.tenant.as_deref(), expected, "{line}");
        assert_eq!(draft.stamp, Instant(1_714_557_601_250_000));
        assert_eq!(draft.method.as_deref(), Some("GET"));
    }
}

#[test]
fn json_formats_are_formats_like_others() {
    let format = r#"{"time":"$time_iso8601","req":"$request","st":$status,"up":"$upstream_addr","rt":$request_time}"#;
    let line = r#"{"time":"2024-05-01T10:00:01+00:00","req":"GET /a HTTP/1.1","st":200,"up":"10.0.0.9:80","rt":0.1}"#;
    let draft = parse(Some(format), line).unwrap();
    assert_eq!((draft.endpoint.as_deref(), draft.latency_us), (Some("10.0.0.9:80"), Some(100_000)));
}

#[test]
fn a_format_that_lacks_time_or_request_is_refused_at_once() {
    let error = |format| Nginx::new(Some(format)).err().unwrap().to_string();
    assert!(error("$request $status").contains("$msec"));
    assert!(error("$msec $status").contains("$request_uri"));
}

#[test]
fn a_line_of_another_format_is_rejected_where_one_was_given() {
    assert_eq!(parse(Some("$msec \"$request\""), "junk"), Err(UNFIT));
    assert_eq!(parse(Some("$msec \"$request\""), "1.5 \"-\""), Err(NO_REQUEST));
    assert_eq!(parse(Some("$time_local \"$request\""), "x \"GET / HTTP/1.1\""), Err(NO_TIME));
}
