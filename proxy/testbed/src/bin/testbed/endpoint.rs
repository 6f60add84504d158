//! `testbed endpoint`: one emulated endpoint as a process of its own.

use crate::Problem;
use crate::flags::{FlagError, Flags};
use std::io::{self, Read, Write};
use tailcast_testbed::endpoint::{CacheSpec, EmulatedFleet, EndpointSpec, RouteLaw};

/// Requests that may wait for a worker: more than any benchmark that is not in collapse has.
const QUEUE: usize = 10_000;

pub(crate) fn run(flags: Flags) -> Result<(), Problem> {
    let fleet = EmulatedFleet::start(vec![spec(flags)?])?;
    let mut out = io::stdout().lock();
    for address in fleet.addresses() {
        writeln!(out, "{address}")?;
    }
    out.flush()?;
    // The end of standard input is the end of whoever started this, however that came.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    if let Some(counters) = fleet.counters(0) {
        writeln!(
            out,
            "{{\"served\": {}, \"refused\": {}, \"hits\": {}, \"misses\": {}, \"busy_us\": {}, \"most_in_service\": {}}}",
            counters.served,
            counters.refused,
            counters.hits,
            counters.misses,
            counters.busy_us,
            counters.most_in_service
        )?;
    }
    Ok(())
}

fn spec(mut flags: Flags) -> Result<EndpointSpec, FlagError> {
    let sigma = flags.optional("sigma", "a number")?.unwrap_or(0.0);
    let routes = flags.pairs("route")?;
    let routes = routes.into_iter().map(|(path_prefix, mean_ms)| RouteLaw { path_prefix, mean_ms, sigma }).collect();
    let cache = match flags.optional("cache", "a number of tenants")? {
        Some(tenants) => Some(CacheSpec { tenants, miss_factor: flags.required("miss-factor", "a number")? }),
        None => None,
    };
    let spec = EndpointSpec {
        name: flags.required("name", "a name")?,
        workers: flags.required("workers", "a number of requests")?,
        queue: QUEUE,
        routes,
        cache,
        reports_load: flags.switch("report-load"),
        tenant_header: "x-tenant".to_owned(),
        seed: flags.optional("seed", "a whole number")?.unwrap_or(1),
    };
    flags.finish()?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn parse(line: &str) -> Result<EndpointSpec, FlagError> {
        spec(Flags::parse(line.split_whitespace().map(str::to_owned), &["report-load"])?)
    }

    #[test]
    fn flags_become_a_specification() {
        let line =
            "--name a --workers 4 --route /=20 --route /b=5 --sigma 0.5 --cache 24 --miss-factor 6 --report-load";
        let spec = parse(line).unwrap();
        assert_eq!((spec.workers, spec.reports_load, spec.seed), (4, true, 1));
        assert_eq!(spec.law("/b/1").unwrap(), &RouteLaw { path_prefix: "/b".into(), mean_ms: 5.0, sigma: 0.5 });
        assert_eq!(spec.cache, Some(CacheSpec { tenants: 24, miss_factor: 6.0 }));
    }

    #[test]
    fn a_cache_without_the_price_of_a_miss_is_refused() {
        let error = parse("--name a --workers 4 --route /=20 --cache 24").unwrap_err();
        assert!(error.to_string().contains("--miss-factor"));
    }
}
