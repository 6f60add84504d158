//! What a tenant uses, across workers: its rate and its requests in the proxy, in a fixed number of cells.
//!
//! A limit of 100 requests a second is one of the tenant, not of its connections, and the kernel deals connections out to
//! workers as it likes; so these two numbers are shared by all workers, as atomics. A tenant's cell is found by its hash:
//! a million names cost the same memory as one, nothing is evicted (an evicted bucket would be a full one, and a flood of
//! names a way to refill it). The price: two tenants in one cell share a limit; among fifty limited tenants that happens
//! to any two with a chance of 7 %.
//!
//! The token bucket is kept as the *generic cell rate algorithm*: one number, the time at which the bucket would be full
//! again, instead of a level and a time that must change together. Source: ITU-T I.371; the equivalence with the leaky
//! bucket is its Annex A.

use super::class::{Rate, TenantClass};
use super::shed::{Shed, ShedReason};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tailcast_features::Tick;
use tailcast_features::hash::mix;

/// Cells, a power of two: 256 KiB a pool, of which only pages that are used become resident.
const CELLS: usize = 16_384;

#[derive(Debug, Default)]
struct Cell {
    /// When the bucket is full again, nanoseconds.
    full_at: AtomicU64,
    in_flight: AtomicU32,
}

/// What tenants use of their own limits, shared by all workers.
#[derive(Debug)]
pub struct TenantMeters {
    cells: Box<[Cell]>,
}

impl Default for TenantMeters {
    fn default() -> Self {
        Self { cells: (0..CELLS).map(|_| Cell::default()).collect() }
    }
}

impl TenantMeters {
    fn cell(&self, tenant: u64) -> &Cell {
        // Mixed anew: the low bits of FNV-1a are weak.
        &self.cells[mix(tenant, 0x7e4a_11c5) as usize & (CELLS - 1)]
    }

    /// Counts a request against its class's limits. True where `give_back` is owed.
    ///
    /// # Errors
    /// Where a limit is reached; then nothing was counted.
    pub(super) fn take(&self, tenant: u64, class: &TenantClass, now: Tick) -> Result<bool, Shed> {
        if class.rate.is_none() && class.max_in_flight.is_none() {
            return Ok(false);
        }
        let cell = self.cell(tenant);
        if let Some(most) = class.max_in_flight {
            let more = |count: u32| (count < most).then_some(count + 1);
            if cell.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                return Err(ShedReason::TenantConcurrency.into());
            }
        }
        let metered = class.max_in_flight.is_some();
        let Some(rate) = class.rate else { return Ok(metered) };
        let conforming = |full_at: u64| conform(full_at, rate, now.nanos()).ok();
        match cell.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, conforming) {
            Ok(_) => Ok(metered),
            Err(full_at) => {
                if metered {
                    self.give_back(tenant);
                }
                let retry_after = conform(full_at, rate, now.nanos()).err().unwrap_or_default();
                Err(Shed { reason: ShedReason::Rate, retry_after })
            }
        }
    }

    /// A request that was counted has left.
    pub(super) fn give_back(&self, tenant: u64) {
        let less = |count: u32| count.checked_sub(1);
        let _ = self.cell(tenant).in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// When the bucket is full again after one more token was taken; or the time until there is one.
fn conform(full_at: u64, rate: Rate, now: u64) -> Result<u64, Duration> {
    let token = 1e9 / rate.per_second;
    let full_at = full_at.max(now) as f64 + token;
    let earliest = full_at - token * rate.burst.max(1.0);
    // A token's rounding must not cost a request.
    if earliest <= now as f64 + 1.0 {
        Ok(full_at as u64)
    } else {
        Err(Duration::from_nanos((earliest - now as f64) as u64))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn limited(per_second: f64, burst: f64, max_in_flight: Option<u32>) -> TenantClass {
        TenantClass { rate: Some(Rate { per_second, burst }), max_in_flight, ..TenantClass::default() }
    }

    #[test]
    fn a_burst_is_let_in_then_the_rate_and_the_wait_that_is_told_is_exact() {
        let (meters, class) = (TenantMeters::default(), limited(10.0, 3.0, None));
        let start = Tick::from_secs_f64(5.0);
        let taken = (0..5).filter(|_| meters.take(1, &class, start).is_ok()).count();
        assert_eq!(taken, 3);
        let shed = meters.take(1, &class, start).unwrap_err();
        assert_eq!(shed.reason, ShedReason::Rate);
        assert!((shed.retry_after.as_secs_f64() - 0.1).abs() < 1e-6, "{:?}", shed.retry_after);
        assert!(meters.take(1, &class, start.after(shed.retry_after)).is_ok());
        assert!(meters.take(2, &class, start).is_ok(), "another tenant has its own");
    }

    #[test]
    fn requests_at_a_time_are_counted_and_given_back_also_where_the_rate_refuses() {
        let (meters, class) = (TenantMeters::default(), limited(1.0, 2.0, Some(3)));
        let now = Tick::ZERO;
        assert_eq!((0..2).filter(|_| meters.take(1, &class, now) == Ok(true)).count(), 2);
        assert_eq!(meters.take(1, &class, now).unwrap_err().reason, ShedReason::Rate);
        assert_eq!(meters.take(1, &class, Tick::from_secs_f64(9.0)), Ok(true), "the refused one is not counted");
        assert_eq!(
            meters.take(1, &class, Tick::from_secs_f64(99.0)).unwrap_err().reason,
            ShedReason::TenantConcurrency
        );
        meters.give_back(1);
        assert_eq!(meters.take(1, &class, Tick::from_secs_f64(99.0)), Ok(true));
    }

    proptest! {
        #[test]
        fn never_more_than_rate_times_time_plus_burst(
            gaps in prop::collection::vec(0u64..50_000_000, 1..400), per_second in 1.0..500.0f64, burst in 1.0..50.0f64
        ) {
            let (meters, class) = (TenantMeters::default(), limited(per_second, burst, None));
            let (mut now, mut taken) = (0u64, 0.0);
            for gap in gaps {
                now += gap;
                taken += f64::from(u8::from(meters.take(9, &class, Tick::from_nanos(now)).is_ok()));
            }
            prop_assert!(taken <= now as f64 * 1e-9 * per_second + burst + 1.0);
        }
    }
}
