//! Raw ▸ validated. Every value is checked; nothing is clamped in silence; all problems are collected.

mod admission;
mod front;
mod pool;
mod route;
mod transport;
mod values;

use super::problem::{ConfigError, Problem, Problems, place};
use super::raw::{RawConfig, RawEndpoints, RawJudge, RawLog, RawModel, default};
use super::{
    Config, EndpointConfig, JudgeConfig, LogConfig, ModelConfig, ModelSource, Overrides, PoolConfig, Rotation,
    RouteRule,
};
use std::ops::RangeInclusive;
use tailcast_balance::{BalancerOptions, PolicyKind};
use toml::Spanned;
use values::{range, secs, whole, within};

/// A worker is a thread with its own listener; more than this is a typing mistake.
const WORKERS: RangeInclusive<i64> = 1..=1_024;
/// A segment of one row is a file a request; 1e9 rows do not fit the converter's memory.
const ROWS: RangeInclusive<i64> = 1..=1_000_000_000;
/// A segment below a page is all header.
const BYTES: RangeInclusive<i64> = 4_096..=1_099_511_627_776;
/// Below 1.5 half of a healthy pool is slow now and then.
const LATENCY_RATIOS: RangeInclusive<f32> = 1.5..=1_000.0;
/// Below 100 ms an interval holds no evidence.
const INTERVALS: RangeInclusive<u64> = 100..=3_600_000;
/// Shares and probabilities.
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// Of requests that are not routed by the forecast: with more, the policy should be another.
const CONTROL_SHARE: RangeInclusive<f64> = 0.0..=0.5;
/// Beyond a fifth more slow requests nobody needs a test.
const WORSE_BY: RangeInclusive<f64> = 0.0..=0.2;

pub(super) fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
    let invalid = |problems| ConfigError::Invalid { origin: origin.to_owned(), problems };
    let raw: RawConfig = read(text, origin)?;
    let mut problems = Problems::of(text);
    let config = config(raw, &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(invalid(problems.into_sorted())) }
}

/// The endpoints of a file of their own.
pub(super) fn endpoints(text: &str, origin: &str) -> Result<Vec<EndpointConfig>, ConfigError> {
    let raw: RawEndpoints = read(text, origin)?;
    let mut problems = Problems::of(text);
    if raw.endpoints.is_empty() {
        problems.nowhere("endpoints", "empty: a pool without endpoints is no use");
    }
    let endpoints = pool::endpoints(raw.endpoints, "endpoints", &mut problems);
    if problems.is_empty() {
        Ok(endpoints)
    } else {
        Err(ConfigError::Invalid { origin: origin.to_owned(), problems: problems.into_sorted() })
    }
}

/// TOML to its raw form.
fn read<T: serde::de::DeserializeOwned>(text: &str, origin: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = error.span().map_or((0, 0), |span| place(text, span.start));
        let message = error.message().trim_end().replace('\n', ", ");
        let problems = vec![Problem { line, column, key: String::new(), message }];
        ConfigError::Invalid { origin: origin.to_owned(), problems }
    })
}

fn config(raw: RawConfig, problems: &mut Problems<'_>) -> Config {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = raw.workers.map_or(cores, |value| whole(value, "workers", WORKERS, problems) as usize);
    let drain = raw.drain_secs.map_or(default::DRAIN, |value| secs(value, "drain_secs", problems));
    let mut balance = balance(raw.balance, problems);
    if raw.listener.is_empty() {
        problems.nowhere("listener", "missing: give at least one [[listener]] with an address like \"127.0.0.1:8080\"");
    }
    if raw.pool.is_empty() {
        problems.nowhere("pool", "missing: give at least one [[pool]] with a name and endpoints");
    }
    let listener_options =
        raw.listener.iter().enumerate().map(|(i, raw)| transport::listener(raw, i, problems)).collect();
    let listeners =
        raw.listener.into_iter().enumerate().filter_map(|(i, raw)| front::listener(raw, i, problems)).collect();
    let limits = front::limits(raw.limits, problems);
    let mut pools: Vec<PoolConfig> = Vec::new();
    for (i, raw) in raw.pool.into_iter().enumerate() {
        let span = raw.name.span();
        let pool = pool::pool(raw, i, balance.policy, problems);
        if pools.iter().any(|known| known.name == pool.name) {
            problems.at(span, format!("pool[{i}].name"), format!("{:?} is the name of another pool", pool.name));
        }
        pools.push(pool);
    }
    let mut routes: Vec<RouteRule> = raw
        .route
        .into_iter()
        .enumerate()
        .filter_map(|(i, raw)| route::route(raw, i, &pools, limits.body_bytes, problems))
        .collect();
    // Stable: among equals the order of the file decides.
    routes.sort_by_key(RouteRule::rank);
    let tenant_classes = admission::classes(raw.tenant_class, &pools, problems);
    let log = raw.log.map(|raw| log(raw, &mut balance, problems));
    Config {
        source: None,
        overrides: Overrides::default(),
        watch: raw.watch_config,
        resolve: raw.resolve_secs.map_or(default::RESOLVE, |value| secs(value, "resolve_secs", problems)),
        limits,
        forwarding: front::forwarding(raw.forwarding, problems),
        workers,
        drain,
        name_endpoint: raw.name_endpoint,
        listeners,
        listener_options,
        tenant: front::tenant(raw.tenant, problems),
        tenant_classes,
        pools,
        routes,
        model: raw.model.and_then(|raw| model(raw, problems)),
        log,
        admin: raw.admin.and_then(|raw| front::admin(raw, problems)),
        balance,
    }
}

fn model(raw: RawModel, problems: &mut Problems<'_>) -> Option<ModelConfig> {
    let known = JudgeConfig::default();
    let RawJudge { share, take_back, worse_by_ratio } = raw.judge;
    let judge = JudgeConfig {
        share: share.map_or(known.share, |share| within(share, "model.judge.share", &SHARE, problems)),
        take_back: take_back.unwrap_or(known.take_back),
        worse_by_ratio: worse_by_ratio
            .map_or(known.worse_by_ratio, |ratio| within(ratio, "model.judge.worse_by_ratio", &WORSE_BY, problems)),
    };
    let source = match (raw.path, raw.registry) {
        (Some(path), None) => ModelSource::File(path.into_inner()),
        (None, Some(registry)) => ModelSource::Registry(registry.into_inner()),
        (Some(_), Some(registry)) => {
            let both = "there is model.path too: a model comes from one of the two";
            problems.at(registry.span(), "model.registry", both);
            return None;
        }
        (None, None) => {
            problems.nowhere("model", "neither path (a model file) nor registry (a directory of models)");
            return None;
        }
    };
    Some(ModelConfig { source, watch: raw.watch, judge })
}

fn log(raw: RawLog, balance: &mut BalancerOptions, problems: &mut Problems<'_>) -> LogConfig {
    if let Some(share) = raw.candidate_features_share {
        balance.candidate_features_share = within(share, "log.candidate_features_share", &SHARE, problems);
    }
    let rotation = Rotation {
        age: raw.rotate_secs.map_or(default::ROTATE, |value| secs(value, "log.rotate_secs", problems)),
        rows: raw
            .rotate_rows
            .map_or(default::ROTATE_ROWS, |value| whole(value, "log.rotate_rows", ROWS, problems).unsigned_abs()),
        bytes: raw
            .rotate_bytes
            .map_or(default::ROTATE_BYTES, |value| whole(value, "log.rotate_bytes", BYTES, problems).unsigned_abs()),
    };
    LogConfig { directory: raw.directory, rotation }
}

fn balance(raw: Option<Spanned<BalancerOptions>>, problems: &mut Problems<'_>) -> BalancerOptions {
    let Some(raw) = raw else { return BalancerOptions::default() };
    let span = raw.span();
    let options = raw.into_inner();
    let shares = [
        ("candidate_features_share", options.candidate_features_share),
        ("exploration.start", f64::from(options.exploration.start)),
        ("exploration.floor", f64::from(options.exploration.floor)),
        ("exploration.budget", f64::from(options.exploration.budget)),
        ("predictive.rif_quantile", f64::from(options.predictive.rif_quantile)),
        ("predictive.objective_quantile", f64::from(options.predictive.objective_quantile)),
        ("predictive.near_tie_ratio", f64::from(options.predictive.near_tie_ratio)),
        ("health.max_ejected_ratio", f64::from(options.health.max_ejected_ratio)),
        ("health.panic_ratio", f64::from(options.health.panic_ratio)),
        ("health.outlier.success_ratio", f64::from(options.health.outlier.success_ratio)),
    ];
    for (name, value) in shares {
        if !SHARE.contains(&value) {
            let message = format!("{value} is not within {}", range(&SHARE));
            problems.at(span.clone(), format!("balance.{name}"), message);
        }
    }
    if !CONTROL_SHARE.contains(&options.control.share) {
        let message = format!("{} is not within {}", options.control.share, range(&CONTROL_SHARE));
        problems.at(span.clone(), "balance.control.share", message);
    }
    if options.control.policy == PolicyKind::Predictive {
        problems.at(
            span.clone(),
            "balance.control.policy",
            "predictive cannot be its own control: name another policy",
        );
    }
    let outlier = &options.health.outlier;
    if outlier.latency_ratio != 0.0 && !LATENCY_RATIOS.contains(&outlier.latency_ratio) {
        let message = format!("{} is neither 0 nor within {}", outlier.latency_ratio, range(&LATENCY_RATIOS));
        problems.at(span.clone(), "balance.health.outlier.latency_ratio", message);
    }
    if !INTERVALS.contains(&outlier.interval_ms) {
        let message = format!("{} is not within {}", outlier.interval_ms, range(&INTERVALS));
        problems.at(span, "balance.health.outlier.interval_ms", message);
    }
    options
}
