#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::present::HOP_BY_HOP;
use super::*;
use http::Request;

#[test]
fn each_field_of_one_hop_has_the_bit_of_its_place() {
    for (place, name) in HOP_BY_HOP.iter().enumerate() {
        assert_eq!(Present::bit(name.as_str()), 1 << place, "{name}");
    }
    assert_eq!(Present::bit("content-length"), 0);
}

fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
    build(Request::builder().uri("/x").header("host", "a")).body(()).unwrap().into_parts().0
}

/// Headers to the endpoint for a client at 10.0.0.1.
fn forwarded_by(mut parts: Parts, trusted: &str, writes_forwarded: bool) -> HeaderMap {
    let trusted = crate::trust::Network::parse(trusted).into_iter().collect();
    let forwarding = Forwarding { trusted, forwarded: writes_forwarded };
    let peer = IpAddr::from([10, 0, 0, 1]);
    let present = Present::of(&parts.headers);
    forward_request(&mut parts, present, &ClientHop::new(peer, peer, false, &forwarding), 0xab);
    parts.headers
}

fn forwarded(parts: Parts) -> HeaderMap {
    forwarded_by(parts, "", false)
}

#[test]
fn fields_of_one_hop_and_those_that_connection_names_are_removed() {
    let headers = forwarded(parts(|b| {
        b.header("connection", "close, X-Private, host")
            .header("x-private", "1")
            .header("keep-alive", "5")
            .header("te", "gzip")
    }));
    for name in ["connection", "x-private", "keep-alive", "te"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["host"], "a");
}

#[test]
fn forwarding_fields_are_added_and_earlier_hops_are_kept() {
    let headers = forwarded(parts(|b| b));
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
    assert_eq!(headers["x-forwarded-host"], "a");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["via"], "1.1 tailcast");
    assert_eq!(headers["x-request-id"], "00000000000000ab");
}

/// A request with all the fields that a proxy in front might have written.
fn claims() -> Parts {
    parts(|b| {
        b.header("x-forwarded-for", "1.1.1.1")
            .header("x-forwarded-for", "2.2.2.2")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "public.example")
            .header("x-real-ip", "1.1.1.1")
            .header("forwarded", "for=1.1.1.1")
            .header("x-request-id", "mine")
    })
}

#[test]
fn a_trusted_peers_fields_are_kept_and_appended_to() {
    let headers = forwarded_by(claims(), "10.0.0.0/8", false);
    assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.1");
    assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-real-ip"], "1.1.1.1");
    assert_eq!(headers["x-forwarded-host"], "public.example");
    assert_eq!(headers["forwarded"], "for=1.1.1.1, for=10.0.0.1;proto=http");
    assert_eq!(headers["x-request-id"], "mine");
}

#[test]
fn anyone_elses_fields_are_replaced() {
    let headers = forwarded_by(claims(), "192.168.0.0/16", false);
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "a");
    assert!(!headers.contains_key("forwarded") && !headers.contains_key("x-real-ip"));
    assert_eq!(headers["x-request-id"], "mine", "an id claims nothing");
    assert_eq!(forwarded_by(claims(), "", true)["forwarded"], "for=10.0.0.1;proto=http");
    let hop = ClientHop::new("::1".parse().unwrap(), "::1".parse().unwrap(), true, &Forwarding::default());
    assert_eq!(hop.element, "for=\"[::1]\";proto=https");
}

#[test]
fn pieces_of_a_cookie_become_one_field() {
    let mut parts = parts(|b| b.header("cookie", "a=1").header("cookie", "b=2"));
    parts.version = Version::HTTP_2;
    assert_eq!(forwarded(parts)["cookie"], "a=1; b=2");
}

#[test]
fn ambiguous_requests_are_refused() {
    let status =
        |parts: &Parts| inspect(parts).map(|found| found.wants_upgrade).map_err(|error| error.status().as_u16());
    assert_eq!(status(&parts(|b| b.header("host", "b"))), Err(400));
    assert_eq!(status(&parts(|b| b.header("content-length", "3").header("transfer-encoding", "chunked"))), Err(400));
    for coding in ["chunked, chunked", "gzip, chunked", "identity"] {
        assert_eq!(status(&parts(|b| b.header("transfer-encoding", coding))), Err(400), "{coding}");
    }
    let twice =
        |b: http::request::Builder| b.header("transfer-encoding", "chunked").header("transfer-encoding", "chunked");
    assert_eq!(status(&parts(twice)), Err(400));
    assert_eq!(status(&parts(|b| b.header("transfer-encoding", "Chunked"))), Ok(false));
    assert_eq!(status(&parts(|b| b.uri("*"))), Err(400));
    assert_eq!(status(&parts(|b| b.uri("*").method("OPTIONS"))), Ok(false));
    let host = |host| status(&Request::builder().uri("/").header("host", host).body(()).unwrap().into_parts().0);
    for (name, expected) in
        [("a:b", Err(400)), ("a:80", Ok(false)), ("[::1]", Ok(false)), ("[::1]:x", Err(400)), ("a:", Ok(false))]
    {
        assert_eq!(host(name), expected, "{name}");
    }
    assert_eq!(status(&parts(|b| b.header("upgrade", "websocket"))), Ok(false), "not named by connection");
    let upgrade = |b: http::request::Builder, to| b.header("connection", "x, Upgrade").header("upgrade", to);
    assert_eq!(status(&parts(|b| upgrade(b, "websocket"))), Ok(true));
    assert_eq!(status(&parts(|b| upgrade(b, "h2c"))), Ok(false));
    for host in ["user@a", "a/b", "a b", "a,b", "a?b"] {
        let wrong = Request::builder().uri("/").header("host", host).body(()).unwrap().into_parts().0;
        assert_eq!(status(&wrong), Err(400), "{host}");
    }
    let mut differs = parts(|b| b.uri("http://b/x"));
    assert_eq!(status(&differs), Ok(false), "HTTP/1.1: the target wins");
    differs.version = Version::HTTP_2;
    assert_eq!(status(&differs), Err(400));
    assert_eq!(status(&parts(|b| b.method("CONNECT"))), Err(405));
    let none = Request::builder().uri("/").body(()).unwrap().into_parts().0;
    assert_eq!(status(&none), Err(400));
}

#[test]
fn the_authority_of_an_absolute_request_replaces_the_host() {
    let mut absolute = parts(|b| b.uri("http://other.example/x"));
    assert_eq!(inspect(&absolute).unwrap().host, "other.example");
    absolute = Request::builder().uri("http://other.example/x").header("host", "a").body(()).unwrap().into_parts().0;
    assert_eq!(forwarded(absolute)["host"], "other.example");
}
