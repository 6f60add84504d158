//! Cost of admission a request: at a pool that is not full, with limits of the tenant's own, and at a full one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use tailcast_balance::admission::{
    Admission, AdmissionOptions, Called, Classes, LimiterOptions, Offer, Offered, Rate, TenantClass,
};
use tailcast_features::Tick;
use tailcast_features::hash::mix;

/// Time between requests.
const STEP_NANOS: u64 = 100_000;

fn pool(limit: u32, classes: Classes) -> Admission {
    let limiter = LimiterOptions { initial: limit, min: limit, max: limit, ..LimiterOptions::default() };
    Admission::new(AdmissionOptions { limiter, ..AdmissionOptions::default() }, classes, Arc::default())
}

fn let_in_and_released(pool: &mut Admission, now: &mut u64) {
    *now += STEP_NANOS;
    let at = Tick::from_nanos(*now);
    if let Offer::Admitted(permit) = pool.offer(black_box(&Offered { tenant: 7, ..Offered::default() }), at) {
        pool.release(permit, true, at);
    }
    black_box(pool.next(at));
}

fn admission(c: &mut Criterion) {
    let mut group = c.benchmark_group("admission");
    let mut now = 0;
    let mut free = pool(1_000, Classes::default());
    group.bench_function("free", |b| b.iter(|| let_in_and_released(&mut free, &mut now)));
    let mut classes = Classes::default();
    let rate = Some(Rate { per_second: 1e6, burst: 1e6 });
    classes.add(TenantClass { rate, max_in_flight: Some(1_000), ..TenantClass::default() }, [7]);
    let mut limited = pool(1_000, classes);
    group.bench_function("own_limits", |b| b.iter(|| let_in_and_released(&mut limited, &mut now)));
    // One place that is taken, and twenty tenants in turn: one more waits, one ends, the next is called.
    let mut full = pool(1, Classes::default());
    let Offer::Admitted(first) = full.offer(&Offered::default(), Tick::from_nanos(now)) else { panic!("not free") };
    let mut place = Some(first);
    let mut tenant = 0;
    group.bench_function("full", |b| {
        b.iter(|| {
            now += STEP_NANOS;
            let at = Tick::from_nanos(now);
            tenant = (tenant + 1) % 20;
            let offered = Offered { tenant: mix(tenant, 3), ..Offered::default() };
            assert!(matches!(full.offer(black_box(&offered), at), Offer::Queued(_)));
            if let Some(permit) = place.take() {
                full.release(permit, true, at);
            }
            if let Some(Called::Admitted(_, permit)) = full.next(at) {
                place = Some(permit);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
