//! A point on the caller's monotonic clock.
//!
//! Pure code takes `now: Tick` as an argument, so it runs the same under the proxy's clock, under a test's
//! paused clock and under the simulator's event time. `std::time::Instant` was rejected: it cannot be made
//! from a number, so nothing that takes one can be replayed.

use std::time::Duration;

/// Nanoseconds since an origin that the caller chose once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// A point that no clock reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// A tick from nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A tick from seconds since the origin; negative and non-finite values are the origin.
    pub fn from_secs_f64(secs: f64) -> Self {
        // `as` saturates and maps NaN to zero.
        Self((secs * 1e9) as u64)
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This point plus `by`.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to here; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds from `earlier` to here; zero where `earlier` is later.
    #[inline(always)]
    pub fn secs_since(self, earlier: Self) -> f32 {
        self.0.saturating_sub(earlier.0) as f32 * 1e-9
    }

    /// Milliseconds from `earlier` to here; zero where `earlier` is later.
    #[inline(always)]
    pub fn millis_since(self, earlier: Self) -> f32 {
        self.0.saturating_sub(earlier.0) as f32 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards() {
        let early = Tick::from_nanos(5);
        let late = early.after(Duration::from_millis(2));
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.secs_since(late), 0.0);
    }

    #[test]
    fn senseless_seconds_become_the_origin() {
        assert_eq!(Tick::from_secs_f64(f64::NAN), Tick::ZERO);
        assert_eq!(Tick::from_secs_f64(-3.0), Tick::ZERO);
    }
}
