//! nginx by the server's own `log_format`, which is compiled to a regular expression.
//!
//! Without one, a line may be of the default (combined, then `$request_time $upstream_addr $upstream_status
//! $upstream_response_time`), of the Kubernetes ingress controller, or combined with anything after it.
//!
//! nginx stamps the end of a request, so it arrived `$request_time` before the stamp. Where several upstreams were
//! tried (`a, b`, or `a : b` after an internal redirect) the last one that answered is the endpoint, and its own
//! time is the latency.

mod log_format;
mod upstream;

use super::ImportError;
use super::clf::Clf;
use super::draft::{Draft, LineParser, NO_REQUEST, NO_TIME, Reason, Target};
use super::request::{bytes, host, is_method, present, request_line, status, url_host};
use super::time::{Instant, Unit, date, duration, unix};
use log_format::{Fields, LogFormat};
use std::borrow::Cow;

/// Combined with what a load balancer needs to know.
const DEFAULT: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\" $request_time $upstream_addr $upstream_status $upstream_response_time";

/// The Kubernetes ingress controller's `upstreaminfo`.
const INGRESS: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] \
    [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time \
    $upstream_status $req_id";

/// The name of nginx's own format.
const COMBINED: &str = "combined";

/// A line that the given format does not fit.
const UNFIT: Reason = "line does not fit the log_format";

/// Words in the names of variables that say whose request it was: `$http_x_tenant_id`, `$cookie_account`.
const TENANT_WORDS: [&str; 12] = [
    "tenant",
    "tenantid",
    "customer",
    "account",
    "org",
    "organization",
    "organisation",
    "workspace",
    "project",
    "realm",
    "shop",
    "merchant",
];

/// Parser of lines of one or several formats.
pub(super) struct Nginx {
    formats: Vec<LogFormat>,
    /// For lines of no known format, where none was given.
    fallback: Option<Clf>,
}

impl Nginx {
    /// A parser of a `log_format` string, with or without the directive around it.
    pub(super) fn new(log_format: Option<&str>) -> Result<Self, ImportError> {
        match log_format.map(str::trim) {
            None | Some(COMBINED) => Ok(Self {
                formats: vec![LogFormat::compile(INGRESS)?, LogFormat::compile(DEFAULT)?],
                fallback: Some(Clf::nginx()),
            }),
            Some(text) => {
                let format = LogFormat::compile(text)?;
                let lacks = |what| ImportError::LogFormat(format!("{text:?} has no {what}"));
                if !format.has_any(&["msec", "time_iso8601", "time_local"]) {
                    return Err(lacks("time: it needs $msec, $time_iso8601 or $time_local"));
                }
                if !format.has_any(&["request", "request_uri", "uri", "document_uri"]) {
                    return Err(lacks("request: it needs $request, $request_uri or $uri"));
                }
                Ok(Self { formats: vec![format], fallback: None })
            }
        }
    }
}

impl LineParser for Nginx {
    fn parse<'a>(&'a self, line: &'a str) -> Result<Draft<'a>, Reason> {
        for format in &self.formats {
            if let Some(fields) = format.fields(line) {
                return draft(&fields);
            }
        }
        self.fallback.as_ref().map_or(Err(UNFIT), |clf| clf.parse(line))
    }
}

fn draft<'a>(fields: &Fields<'a>) -> Result<Draft<'a>, Reason> {
    let (method, target) = request(fields)?;
    let mut draft = Draft::new(stamp(fields).ok_or(NO_TIME)?, Target::Path(target.into()));
    draft.method = method.map(Cow::Borrowed);
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(name).and_then(present));
    let seconds = |text| duration(text, Some(Unit::Seconds));
    let upstream = upstream::last(
        fields.get("upstream_addr"),
        fields.get("upstream_status"),
        fields.get("upstream_response_time"),
    );
    let total = first(&["request_time"]).and_then(seconds);
    draft.endpoint = upstream.addr.map(Into::into);
    draft.latency_us = upstream.secs.and_then(seconds).or(total);
    draft.before_stamp_us = total.or(draft.latency_us).unwrap_or(0);
    draft.status = status(first(&["status"]).or(upstream.status).unwrap_or("-"))?;
    draft.request_bytes = first(&["content_length", "http_content_length", "request_length"]).and_then(bytes);
    let sent = ["body_bytes_sent", "bytes_sent", "upstream_response_length", "upstream_bytes_received"];
    draft.response_bytes = first(&sent).and_then(|text| bytes(upstream::last_item(text)));
    draft.tenant = tenant(fields).or_else(|| url_host(target)).map(Into::into);
    Ok(draft)
}

fn request<'a>(fields: &Fields<'a>) -> Result<(Option<&'a str>, &'a str), Reason> {
    if let Some(line) = fields.get("request") {
        let (method, target) = request_line(line)?;
        return Ok((Some(method), target));
    }
    let target = ["request_uri", "uri", "document_uri"].iter().find_map(|name| fields.get(name).and_then(present));
    let method = fields.get("request_method").and_then(present).filter(|method| is_method(method));
    Ok((method, target.ok_or(NO_REQUEST)?))
}

fn stamp(fields: &Fields<'_>) -> Option<Instant> {
    let msec = fields.get("msec").and_then(|text| unix(text, Some(Unit::Seconds)));
    msec.or_else(|| ["time_iso8601", "time_local"].iter().find_map(|name| fields.get(name).and_then(date)))
}

/// A variable that names a tenant, else the host, else the user.
fn tenant<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let named = |name: &str| name.split('_').any(|word| TENANT_WORDS.contains(&word));
    if let Some(tenant) = fields.iter().filter(|(name, _)| named(name)).find_map(|(_, value)| present(value)) {
        return Some(tenant);
    }
    let hosts = ["host", "http_host", "ssl_server_name", "server_name"];
    let host = hosts.iter().find_map(|name| fields.get(name).and_then(host).filter(|host| *host != "_"));
    host.or_else(|| fields.get("remote_user").and_then(present))
}

#[cfg(test)]
mod tests;
