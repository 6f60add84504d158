//! Decision cost by number of candidates, warm and with a cold cache, and the forecast alone by kernel.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tailcast_balance::PolicyKind;
use tailcast_bench_decision::{Scene, forest};
use tailcast_features::FEATURE_COUNT;
use tailcast_model::kernel::{BLOCK, Kernel, predict_batch_with};

/// Features, forecast, choice, and the bookkeeping at the end of the request.
fn request(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    for policy in [PolicyKind::RoundRobin, PolicyKind::PeakEwma, PolicyKind::Predictive] {
        for candidates in [8, 10, 100] {
            let mut scene = Scene::new(candidates, policy).unwrap();
            let id = BenchmarkId::new(policy.name(), candidates);
            group.bench_function(id, |b| b.iter(|| scene.request()));
        }
    }
    group.finish();
}

/// A request cut in two: the decision (features, forecast, choice, what is logged of it) and the bookkeeping at its end. Each
/// is timed alone, by reading the clock around it; what two readings cost is measured beside them and taken off.
fn parts(c: &mut Criterion) {
    for candidates in [8, 10, 100] {
        for policy in [PolicyKind::RoundRobin, PolicyKind::Predictive] {
            part(c, policy.name(), candidates, || Scene::new(candidates, policy).unwrap());
        }
        part(c, "predictive_three_quantiles", candidates, || Scene::of_tail(candidates).unwrap());
    }
}

fn part(c: &mut Criterion, what: &str, candidates: usize, scene: impl Fn() -> Scene) {
    let clock = clock_cost();
    for (name, is_decide) in [("decide", true), ("finish", false)] {
        let mut group = c.benchmark_group(name);
        let mut scene = scene();
        group.bench_function(BenchmarkId::new(what, candidates), |b| {
            b.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    black_box(scene.decide());
                    let middle = Instant::now();
                    scene.finish();
                    let (from, until) = if is_decide { (start, middle) } else { (middle, Instant::now()) };
                    total += until.duration_since(from).saturating_sub(clock);
                }
                total
            });
        });
        group.finish();
    }
}

/// The least that two readings of the clock are apart.
fn clock_cost() -> Duration {
    (0..10_000).map(|_| Instant::now().elapsed()).min().unwrap_or_default()
}

/// The decision after 64 MiB of other data went through the caches: with everything cold, and with the code warm since
/// another pool with another model has just decided, as in a proxy that is busy with others.
fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("cold");
    group.sample_size(20);
    let mut other_pool = Scene::new(8, PolicyKind::Predictive).unwrap();
    let mut scene = Scene::new(8, PolicyKind::Predictive).unwrap();
    let mut other = vec![1u8; 64 << 20];
    for (name, warm_code) in [("predictive/8", false), ("predictive_warm_code/8", true)] {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                    black_box(&other);
                    if warm_code {
                        (0..4).for_each(|_| other_pool.request());
                    }
                    let start = Instant::now();
                    black_box(scene.decide());
                    total += start.elapsed();
                    scene.finish();
                }
                total
            });
        });
    }
    group.finish();
}

/// A hundred trees, three quantiles, bins given.
fn forecast(c: &mut Criterion) {
    let mut group = c.benchmark_group("forecast");
    let forest = forest(1).unwrap();
    let bins: Vec<u8> = (0..FEATURE_COUNT * 2 * BLOCK).map(|i| (i * 37 % 200) as u8).collect();
    let mut out = vec![0.0f32; 8 * 2 * BLOCK];
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        for candidates in [8, 16, 64] {
            group.bench_function(BenchmarkId::new(kernel.name(), candidates), |b| {
                b.iter(|| {
                    predict_batch_with(kernel, &forest, usize::MAX, black_box(&bins), BLOCK, candidates, &mut out)
                });
            });
        }
        group.bench_function(BenchmarkId::new(kernel.name(), 100), |b| {
            b.iter(|| predict_batch_with(kernel, &forest, usize::MAX, black_box(&bins), 2 * BLOCK, 100, &mut out));
        });
    }
    group.finish();
}

criterion_group!(benches, request, parts, cold, forecast);
criterion_main!(benches);
