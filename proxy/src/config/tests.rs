//! What a configuration accepts, and how it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const MINIMAL: &str = "[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'main'\nendpoints = ['127.0.0.1:9']\n";

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_configuration_has_defaults_for_the_rest() {
    let config = Config::parse(MINIMAL).unwrap();
    assert!(config.workers() >= 1);
    assert_eq!(config.pools()[0].policy(), PolicyKind::RoundRobin);
    assert_eq!(config.pools()[0].endpoints()[0].spec().name, "127.0.0.1:9");
    assert!(config.log().is_none() && config.admin().is_none() && config.model().is_none());
    assert!(config.summary().contains("pool       main (default): policy round_robin"), "{config}");
}

#[test]
fn the_shipped_example_is_valid_and_its_summary_shows_every_part() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tailcast.example.toml");
    let summary = Config::load(&path).unwrap().summary();
    for part in
        ["listener", "tenant", "limits", "forwarding", "pool", "route", "model", "log", "admin", "explore", "ejection"]
    {
        assert!(summary.lines().any(|line| line.starts_with(part)), "{part} is not in\n{summary}");
    }
}

#[test]
fn all_wrong_values_are_named_at_once_with_line_column_and_what_is_allowed() {
    let text = "workers = 0\n[[listener]]\naddress = 'nowhere'\n[tenant]\nfrom = 'cookie'\n[[pool]]\nname = 'main'\n\
                policy = 'magic'\nendpoints = ['localhost', { address = 'h:1', weight = -1.0 }]\n\
                timeouts = { connect_ms = 0 }\n[[route]]\npath_prefix = 'x'\npool = 'other'\n";
    let error = Config::parse(text).unwrap_err();
    let text = error.to_string();
    for expected in [
        "<text>:1:11: workers: 0 is not within 1 to 1024",
        "<text>:3:11: listener[0].address: \"nowhere\" is not ip:port",
        "<text>:5:8: tenant.from: unknown source \"cookie\", expected one of header, host, path_prefix",
        "<text>:8:10: pool[0].policy: unknown policy \"magic\", expected one of round_robin, random",
        "<text>:9:14: pool[0].endpoints[0]: \"localhost\" is not host:port",
        "pool[0].endpoints[1].weight: -1 is not within 0.001 to 1000",
        "pool[0].timeouts.connect_ms: 0 is not within 1 to 86400000",
        "<text>:12:15: route[0].path_prefix: \"x\" does not start with '/'",
        "<text>:13:8: route[0].pool: no pool \"other\", expected one of main",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert_eq!(error.problems().len(), 9, "{text}");
}

#[test]
fn an_unknown_key_is_refused_at_its_place_with_the_known_ones() {
    let text = refused(&format!("{MINIMAL}polizy = 'random'\n"));
    assert!(text.contains("<text>:6:1:") && text.contains("polizy") && text.contains("policy"), "{text}");
    let text = refused("workers = [\n");
    assert!(text.starts_with("<text>:"), "{text}");
    let text = refused(&format!("{MINIMAL}[balance.exploration]\nstrat = 1\n"));
    assert!(text.contains("strat") && text.contains("floor"), "{text}");
}

#[test]
fn missing_listeners_and_pools_are_named() {
    let text = refused("");
    assert!(text.contains("[[listener]]") && text.contains("[[pool]]"), "{text}");
}

#[test]
fn an_admin_address_that_others_can_reach_needs_consent() {
    let text = refused(&format!("{MINIMAL}[admin]\naddress = '0.0.0.0:1'\n"));
    assert!(text.contains("admin.address") && text.contains("allow_remote"), "{text}");
    let config = Config::parse(&format!("{MINIMAL}[admin]\naddress = '0.0.0.0:1'\nallow_remote = true\n")).unwrap();
    assert!(config.admin().is_some());
}

#[test]
fn two_pools_or_endpoints_of_one_name_are_refused() {
    let text = refused(&format!("{MINIMAL}[[pool]]\nname = 'main'\nendpoints = ['a:1', 'a:1']\n"));
    assert!(text.contains("name of another pool") && text.contains("names another endpoint"), "{text}");
}

#[test]
fn shares_outside_zero_to_one_are_refused_whatever_table_they_stand_in() {
    let text = refused(&format!(
        "{MINIMAL}[balance.exploration]\nfloor = 2.0\n[log]\ndirectory = 'd'\ncandidate_features_share = -1\n"
    ));
    assert!(text.contains("balance.exploration.floor: 2 is not within 0 to 1"), "{text}");
    assert!(text.contains("log.candidate_features_share: -1 is not within 0 to 1"), "{text}");
    let text = refused(&format!(
        "{MINIMAL}[balance.health.outlier]\nlatency_ratio = 1.1\ninterval_ms = 1\nsuccess_ratio = 2.0\n"
    ));
    for key in ["latency_ratio: 1.1 is neither", "interval_ms: 1 is not within", "success_ratio: 2 is not within"] {
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("no/such/tailcast.toml")).unwrap_err().to_string();
    assert!(error.contains("no/such/tailcast.toml"), "{error}");
}

#[test]
fn a_host_goes_before_all_hosts_and_then_the_longest_prefix_comes_first() {
    let text = format!(
        "{MINIMAL}[[route]]\npool = 'main'\n[[route]]\nhost = 'A.example'\npool = 'main'\n\
         [[route]]\npath_prefix = '/api'\npool = 'main'\n"
    );
    let config = Config::parse(&text).unwrap();
    let order: Vec<String> = config.routes().iter().map(ToString::to_string).collect();
    assert_eq!(order, ["a.example/", "*/api", "*/"]);
}

#[test]
fn limits_forwarding_and_retries_have_defaults_and_refuse_what_is_out_of_range() {
    let config = Config::parse(MINIMAL).unwrap();
    assert_eq!((config.limits().headers, config.limits().body_bytes), (100, None));
    assert_eq!(config.pools()[0].retries(), Retries::default());
    assert!(!config.forwarding().trusts([127, 0, 0, 1].into()));
    let text = refused(&format!(
        "[limits]\nsend_secs = 0\nheader_secs = 0\nheader_bytes = 10\nheaders = 1\nbody_bytes = -1\n\
         [forwarding]\ntrusted = ['10.0.0.0/8', 'everyone']\n{MINIMAL}\
         retries = {{ attempts = 9, on = ['connect', 'always'] }}\nconnections = {{ max_per_endpoint = 0 }}\n"
    ));
    for expected in [
        "limits.send_secs: 0 is not within 0.001 to 86400",
        "limits.header_secs: 0 is not within 0.001 to 86400",
        "limits.header_bytes: 10 is not within 1024 to 1048576",
        "limits.headers: 1 is not within 10 to 10000",
        "limits.body_bytes: -1 is not within 0 to 1099511627776",
        "forwarding.trusted[1]: \"everyone\" is not an address or network",
        "pool[0].retries.attempts: 9 is not within 1 to 5",
        "pool[0].retries.on: unknown condition \"always\", expected any of connect, reset, timeout, 502, 503, 504",
        "pool[0].connections.max_per_endpoint: 0 is not within 1 to 65536",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn a_route_has_from_its_pool_what_it_does_not_say_and_wrong_values_are_named() {
    let text = format!(
        "{MINIMAL}timeouts = {{ total_ms = 500 }}\n[[route]]\npath_prefix = '/slow'\npool = 'main'\n\
         timeouts = {{ first_byte_ms = 100 }}\nretries = {{ attempts = 1 }}\nbody_bytes = 10\n"
    );
    let route = Config::parse(&text).unwrap().routes()[0].policy;
    assert_eq!((route.timeouts.total.as_millis(), route.timeouts.first_byte.as_millis()), (500, 100));
    assert_eq!((route.retries.attempts, route.retries.on, route.body_bytes), (1, Retries::default().on, Some(10)));
    let text = refused(&format!(
        "{MINIMAL}[[route]]\nhost = 'a:80'\npool = 'main'\ntimeouts = {{ total_ms = 0 }}\n\
         headers = {{ 'bad name' = 'x' }}\n"
    ));
    for expected in [
        "route[0].host: \"a:80\" is not a name without port",
        "route[0].timeouts.total_ms: 0 is not within",
        "route[0].headers: \"bad name\" is not the name of a header",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn a_control_has_a_share_and_is_another_policy() {
    let text = refused(&format!("{MINIMAL}[balance.control]\nshare = 0.6\npolicy = 'predictive'\n"));
    assert!(text.contains("balance.control.share: 0.6 is not within 0 to 0.5"), "{text}");
    assert!(text.contains("predictive cannot be its own control"), "{text}");
    let config = Config::parse(&format!("{MINIMAL}[balance.control]\nshare = 0.01\n")).unwrap();
    assert_eq!(config.balance().control.share, 0.01);
}

#[test]
fn probes_have_defaults_and_wrong_ones_are_named() {
    let with = |probes: &str| format!("{MINIMAL}probes = {{ {probes} }}\n");
    let config = Config::parse(&with("path = '/load'")).unwrap();
    let probes = config.pools()[0].probes().unwrap();
    assert_eq!((probes.per_request, probes.timeout), (3.0, Duration::from_millis(200)));
    for (wrong, expected) in [
        ("path = 'load'", "probes.path: \"load\" is not a path"),
        ("path = '/load', per_request = 0.0", "probes.per_request: 0 is not within 0.001 to 10"),
        ("path = '/load', timeout_ms = 0", "probes.timeout_ms: 0 is not within"),
        ("per_request = 1.0", "missing field `path`"),
    ] {
        let text = refused(&with(wrong));
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn checks_have_defaults_and_wrong_ones_are_named() {
    let with = |check: &str| format!("{MINIMAL}health_check = {{ {check} }}\n");
    let config = Config::parse(&with("kind = 'http', path = '/healthz'")).unwrap();
    let check = config.pools()[0].health_check().unwrap();
    assert_eq!((check.unhealthy_after, check.healthy_after, check.interval), (3, 2, Duration::from_secs(2)));
    for (wrong, expected) in [
        ("kind = 'icmp'", "health_check.kind: unknown kind \"icmp\", expected one of http, tcp"),
        ("kind = 'http', path = 'x'", "health_check.path: \"x\" is not a path"),
        ("kind = 'tcp', path = '/'", "health_check.path: has no effect with kind = \"tcp\""),
        ("kind = 'http', status = 1000", "health_check.status: 1000 is not within 100 to 599"),
        ("kind = 'tcp', interval_ms = 0", "health_check.interval_ms: 0 is not within"),
        ("kind = 'tcp', unhealthy_after = 0", "health_check.unhealthy_after: 0 is not within 1 to 100"),
    ] {
        let text = refused(&with(wrong));
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn tls_protocols_and_connection_limits_refuse_what_makes_no_sense() {
    let text = refused(
        "[limits]\nconnections_per_address = -1\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\nclient_certificate = 'maybe'\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\nclient_certificate = 'optional'\n\
         certificates = [{ certificate = 'a', key = 'b' }]\n\
         [[pool]]\nname = 'main'\nendpoints = ['a:1']\nprotocol = 'spdy'\n\
         tls = { server_name = 'not a name', certificate = 'a' }\n",
    );
    for expected in [
        "limits.connections_per_address: -1 is not within 0 to 65536",
        "listener[0].tls.certificates: missing",
        "listener[0].tls.client_certificate: unknown answer \"maybe\", expected one of required, optional",
        "listener[1].tls.client_certificate: has no effect without client_ca",
        "pool[0].protocol: unknown protocol \"spdy\", expected one of http1, http2",
        "pool[0].tls.server_name: \"not a name\" is not a host",
        "pool[0].tls: certificate and key belong together",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn tenant_classes_name_their_tenants_and_the_rest_has_the_star() {
    let text = format!(
        "{MINIMAL}[pool.admission]\nmax_limit = 500\n[[tenant_class]]\nname = 'gold'\ntenants = ['acme corp']\nweight = 4.0\n\
         pools = ['main']\n[[tenant_class]]\nname = 'rest'\ntenants = ['*']\npriority = 2\nrequests_per_sec = 50.0\n"
    );
    let config = Config::parse(&text).unwrap();
    let (classes, gold) = (config.tenant_classes(), tailcast_features::hash::hash_name("acme_corp"));
    assert_eq!((classes.name_of(gold), classes.name_of(7)), ("gold", "rest"));
    assert_eq!(config.pools()[0].admission().unwrap().limiter.max, 500);
    let rest = classes.classes().class(0);
    assert_eq!((rest.priority, rest.rate.map(|rate| rate.burst)), (2, Some(50.0)));
    assert!(classes.may_use(gold, 0) && !classes.may_use(gold, 1) && classes.may_use(7, 1));
    let summary = config.summary();
    assert!(
        summary.contains("class      gold: acme_corp; weight 4, priority 1, only pool main\n")
            && summary.contains("rest: all others; weight 1, priority 2, 50 requests/s after a burst of 50\n"),
        "{summary}"
    );
}

#[test]
fn wrong_admission_and_classes_are_named_with_line_and_range() {
    let text = format!(
        "{MINIMAL}[pool.admission]\ntolerance = 1.0\nmin_limit = 9\nmax_limit = 8\n[[tenant_class]]\nname = 'a'\n\
         tenants = ['*']\nweight = 0.0\nburst = 3.0\npools = ['none']\n[[tenant_class]]\nname = 'a'\ntenants = []\npriority = 4\n"
    );
    let text = refused(&text);
    for expected in [
        "<text>:7:13: pool[0].admission.tolerance: 1 is not within 1.01 to 10",
        "<text>:8:13: pool[0].admission.min_limit: 9 is above max_limit, 8",
        "<text>:13:10: tenant_class[0].weight: 0 is not within 0.01 to 100",
        "<text>:14:9: tenant_class[0].burst: has no effect without requests_per_sec",
        "<text>:15:10: tenant_class[0].pools: no pool \"none\", expected any of main",
        "tenant_class[1].name: \"a\" is empty or the name of another class",
        "tenant_class[1].tenants: expected names of tenants",
        "tenant_class[1].priority: 4 is not within 0 to 3",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let idle = refused(&format!("{MINIMAL}[[tenant_class]]\nname = 'a'\ntenants = ['x']\nweight = 2.0\n"));
    assert!(idle.contains("has no effect: no pool has [pool.admission]"), "{idle}");
    let unknown = refused(&format!("{MINIMAL}[pool.admission]\nlimit = 3\n"));
    assert!(unknown.contains("<text>:7:1:") && unknown.contains("initial_limit"), "{unknown}");
}

#[test]
fn a_model_comes_from_a_file_or_a_registry_and_how_it_is_judged_is_within_ranges() {
    let config = Config::parse(&format!("{MINIMAL}[model]\nregistry = 'models'\njudge = {{ share = 1.0 }}\n")).unwrap();
    let model = config.model().unwrap();
    assert_eq!(model.source.champion(), Path::new("models/champion"));
    assert_eq!(model.source.shadow(), Some(Path::new("models/shadow").to_owned()));
    assert!(model.judge.take_back && model.judge.share == 1.0);
    assert!(config.summary().contains("model      champion of registry models (watched)"), "{config}");
    let file = config.with_model("m".into());
    let of_file = file.model().unwrap();
    assert_eq!(
        (of_file.source.previous(), of_file.judge.share),
        (None, 1.0),
        "the command line replaces the source alone"
    );
    let text = refused(&format!(
        "{MINIMAL}[model]\npath = 'a'\nregistry = 'b'\njudge = {{ share = 2.0, worse_by_ratio = 0.5 }}\n"
    ));
    for expected in [
        "<text>:8:12: model.registry: there is model.path too",
        "<text>:9:19: model.judge.share: 2 is not within 0 to 1",
        "model.judge.worse_by_ratio: 0.5 is not within 0 to 0.2",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(refused(&format!("{MINIMAL}[model]\nwatch = false\n")).contains("neither path"));
}
