//! Decision cost by number of candidates, warm and with a cold cache, and the forecast alone by kernel.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
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

/// The decision after 64 MiB of other data went through the caches.
fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("cold");
    group.sample_size(20);
    let mut scene = Scene::new(8, PolicyKind::Predictive).unwrap();
    let mut other = vec![1u8; 64 << 20];
    group.bench_function("predictive/8", |b| {
        b.iter_custom(|rounds| {
            let mut total = std::time::Duration::ZERO;
            for _ in 0..rounds {
                other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                black_box(&other);
                let start = std::time::Instant::now();
                black_box(scene.decide());
                total += start.elapsed();
                scene.finish();
            }
            total
        });
    });
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

criterion_group!(benches, request, cold, forecast);
criterion_main!(benches);
