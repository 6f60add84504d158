//! Which pool a request goes to and how it is treated: virtual host, path prefix, headers.
//!
//! Rules are few and ordered once, by the configuration (see `RouteRule::rank`), so the first that matches is the most
//! specific; a tree pays off beyond some hundred rules. A prefix ends at a segment: `/api` matches `/api` and
//! `/api/x` but not `/apix`, as in Envoy's `path_separated_prefix`; plain prefixes have sent `/administrator` to
//! `/admin` too often.

use crate::config::{HeaderMatch, RouteRule};
use crate::tenant::without_port;
use http::HeaderMap;

/// The rule for a request; `None` where no rule matches.
pub(crate) fn rule_of<'a>(
    rules: &'a [RouteRule],
    host: &str,
    path: &str,
    headers: &HeaderMap,
) -> Option<&'a RouteRule> {
    if rules.is_empty() {
        return None;
    }
    let host = without_port(host);
    rules.iter().find(|rule| {
        rule.host.as_ref().is_none_or(|pattern| pattern.matches(host))
            && matches_path(rule, path)
            && rule.headers.iter().all(|wanted| matches_header(wanted, headers))
    })
}

fn matches_header(wanted: &HeaderMatch, headers: &HeaderMap) -> bool {
    let mut found = headers.get_all(&wanted.name).iter();
    found.any(|value| wanted.value.as_ref().is_none_or(|wanted| wanted.as_bytes() == value.as_bytes()))
}

fn matches_path(rule: &RouteRule, path: &str) -> bool {
    let prefix = rule.path_prefix.as_str();
    path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::config::Config;
    use http::HeaderValue;

    fn config(routes: &str) -> Config {
        let pools: String = ["zero", "one", "two", "three"]
            .map(|name| format!("[[pool]]\nname = '{name}'\nendpoints = ['127.0.0.1:9']\n"))
            .concat();
        Config::parse(&format!("[[listener]]\naddress = '127.0.0.1:0'\n{pools}{routes}")).unwrap()
    }

    fn pool_of(config: &Config, host: &str, path: &str, header: Option<&'static str>) -> usize {
        let mut headers = HeaderMap::new();
        header.map(|value| headers.insert("x-version", HeaderValue::from_static(value)));
        rule_of(config.routes(), host, path, &headers).map_or(0, |rule| rule.pool)
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_decides() {
        let config = config(
            "[[route]]\npath_prefix = '/api'\npool = 'one'\n[[route]]\npath_prefix = '/api/v2'\npool = 'two'\n\
             [[route]]\nhost = 'A.example'\npath_prefix = '/api'\npool = 'three'\n",
        );
        assert_eq!(pool_of(&config, "b", "/api/v2/x", None), 2);
        assert_eq!(pool_of(&config, "b", "/api", None), 1);
        assert_eq!(pool_of(&config, "b", "/apix", None), 0);
        assert_eq!(pool_of(&config, "b", "/", None), 0);
        assert_eq!(pool_of(&config, "a.EXAMPLE:80", "/api/v2/x", None), 3, "a virtual host goes before all hosts");
    }

    #[test]
    fn a_host_goes_before_a_wildcard_and_a_header_before_none() {
        let config = config(
            "[[route]]\nhost = '*.example'\npool = 'one'\n[[route]]\nhost = 'a.example'\npool = 'two'\n\
             [[route]]\nhost = 'a.example'\nheaders = { x-version = 'beta' }\npool = 'three'\n",
        );
        assert_eq!(pool_of(&config, "b.example", "/", None), 1);
        assert_eq!(pool_of(&config, "a.example", "/", None), 2);
        assert_eq!(pool_of(&config, "a.example", "/", Some("beta")), 3);
        assert_eq!(pool_of(&config, "a.example", "/", Some("alpha")), 2);
        assert_eq!(pool_of(&config, "example", "/", Some("beta")), 0);
    }
}
