//! `testbed load`: open-loop traffic by a law, one line of CSV a request.
//!
//! Raw samples and not a histogram: who compares proxies wants other percentiles, groups and plots tomorrow, and a
//! minute of a thousand requests a second is 4 MB.

use crate::Problem;
use crate::flags::Flags;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;
use tailcast_testbed::load::{self, Failure, LoadOptions, LoadResult, RouteShare, Sample, Shot, Target, Traffic};
use tailcast_testbed::stats::percentile;

const HEADER: &str = "at_us,latency_us,late_us,status,failure,route,tenant,endpoint";

pub(crate) fn run(mut flags: Flags) -> Result<(), Problem> {
    let target = Target::parse(&flags.required::<String>("to", "a URL")?)?;
    let out: PathBuf = flags.required("out", "a file name")?;
    let seconds: f64 = flags.required("seconds", "a number")?;
    let timeout: f64 = flags.optional("timeout", "a number of seconds")?.unwrap_or(10.0);
    let routes = flags.pairs("route")?;
    let traffic = Traffic {
        rate_rps: flags.required("rate", "a number")?,
        tenants: flags.optional("tenants", "a whole number")?.unwrap_or(1),
        zipf: flags.optional("zipf", "a number")?.unwrap_or(1.0),
        routes: routes.into_iter().map(|(route, share)| RouteShare { route, share }).collect(),
        seed: flags.optional("seed", "a whole number")?.unwrap_or(1),
    };
    flags.finish()?;
    let shots = traffic.shots(Duration::try_from_secs_f64(seconds)?)?;
    let options = LoadOptions { timeout: Duration::try_from_secs_f64(timeout)?, ..LoadOptions::default() };
    // Opened first: a path that cannot be written to should not cost a run.
    let mut file = BufWriter::new(File::create(&out).map_err(|error| format!("{}: {error}", out.display()))?);
    let result = load::run(&shots, &target, &options, &mut |_| {})?;
    write(&mut file, &shots, &result)?;
    file.flush()?;
    writeln!(io::stdout(), "{}", summary(&result))?;
    Ok(())
}

fn write(out: &mut impl Write, shots: &[Shot], result: &LoadResult) -> io::Result<()> {
    writeln!(out, "{HEADER}")?;
    for sample in &result.samples {
        let Sample { index, at, latency, status, failure, endpoint, late } = sample;
        let (tenant, route) = shots.get(*index).map_or(("", ""), |shot| (&*shot.tenant, &*shot.route));
        let (at, latency, late) = (at.as_micros(), latency.as_micros(), late.as_micros());
        let (failure, endpoint) = (failure.map_or("", name), endpoint.as_deref().unwrap_or(""));
        writeln!(out, "{at},{latency},{late},{status},{failure},{route},{tenant},{endpoint}")?;
    }
    Ok(())
}

fn name(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "connect",
        Failure::Broken => "broken",
        Failure::Timeout => "timeout",
        Failure::Invalid => "invalid",
    }
}

fn summary(result: &LoadResult) -> String {
    let mut latencies: Vec<f64> = result.samples.iter().map(|sample| sample.latency.as_secs_f64() * 1e3).collect();
    latencies.sort_unstable_by(f64::total_cmp);
    let errors = result.samples.iter().filter(|sample| sample.is_error()).count();
    // JSON has no NaN.
    let at = |share| Some(percentile(&latencies, share)).filter(|ms| ms.is_finite()).unwrap_or(0.0);
    format!(
        "{{\"requests\": {}, \"errors\": {errors}, \"dropped\": {}, \"p50_ms\": {:.3}, \"p90_ms\": {:.3}, \"p99_ms\": {:.3}, \
         \"late_p99_ms\": {:.3}}}",
        result.samples.len(),
        result.dropped,
        at(0.5),
        at(0.9),
        at(0.99),
        result.lag_p99().as_secs_f64() * 1e3
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use std::sync::Arc;

    fn result() -> (Vec<Shot>, LoadResult) {
        let traffic = Traffic {
            rate_rps: 100.0,
            tenants: 1,
            zipf: 1.0,
            routes: vec![RouteShare { route: "/a".to_owned(), share: 1.0 }],
            seed: 1,
        };
        let shots = traffic.shots(Duration::from_secs(1)).unwrap();
        let sample = |index, ms, failure: Option<Failure>| Sample {
            index,
            at: Duration::from_millis(5),
            latency: Duration::from_millis(ms),
            status: if failure.is_none() { 200 } else { 0 },
            failure,
            endpoint: Some(Arc::from("e")),
            late: Duration::from_micros(70),
        };
        let samples = vec![sample(0, 10, None), sample(1, 20, Some(Failure::Timeout))];
        (shots, LoadResult { samples, dropped: 3 })
    }

    #[test]
    fn every_request_is_a_line() {
        let (shots, result) = result();
        let mut text = Vec::new();
        write(&mut text, &shots, &result).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [HEADER, "5000,10000,70,200,,/a,tenant-1,e", "5000,20000,70,0,timeout,/a,tenant-1,e"]
        );
    }

    #[test]
    fn the_summary_counts_errors_and_what_was_not_sent() {
        let text = summary(&result().1);
        assert!(text.contains("\"requests\": 2, \"errors\": 1, \"dropped\": 3, \"p50_ms\": 10.000"), "{text}");
        assert!(summary(&LoadResult::default()).contains("\"p99_ms\": 0.000"), "nothing measured is still JSON");
    }
}
