//! What imported trees cost beside those that were trained here: the forecast of all candidates, and the whole decision.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tailcast_balance::PolicyKind;
use tailcast_bench_decision::{QUANTILES, Scene, ensemble, forest};
use tailcast_features::{FEATURE_COUNT, Row};
use tailcast_model::{Forecast, Model, ModelParts};

fn models() -> [(&'static str, Model); 2] {
    let ours = ModelParts::new(QUANTILES.to_vec(), forest(1).unwrap());
    let imported = ModelParts::imported(QUANTILES.to_vec(), ensemble(1).unwrap()).unwrap();
    [("oblivious", ours), ("imported", imported)].map(|(name, parts)| (name, Model::new(parts).unwrap()))
}

fn rows(count: usize) -> Vec<Row> {
    let value = |i: usize| ((i * 7919) % 1000) as f32 * 0.008 - 2.0;
    (0..count).map(|row| std::array::from_fn(|feature| value(row * FEATURE_COUNT + feature))).collect()
}

fn forecast(c: &mut Criterion) {
    let mut group = c.benchmark_group("forecast of all");
    for (name, model) in models() {
        for candidates in [8, 100] {
            let rows = rows(candidates);
            let mut out = vec![Forecast::default(); candidates];
            group.bench_function(BenchmarkId::new(name, candidates), |b| {
                b.iter(|| model.forecast_batch(black_box(&rows), 0, &mut out));
            });
        }
    }
    group.finish();
}

fn request(c: &mut Criterion) {
    let mut group = c.benchmark_group("request with");
    for (name, model) in models() {
        for candidates in [8, 100] {
            let mut scene = Scene::with_model(candidates, PolicyKind::Predictive, model.clone());
            group.bench_function(BenchmarkId::new(name, candidates), |b| b.iter(|| scene.request()));
        }
    }
    group.finish();
}

criterion_group!(benches, forecast, request);
criterion_main!(benches);
