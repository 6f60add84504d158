//! The one place where the data plane reads a clock.
//!
//! Balancers, statistics and log rows get a [`Tick`] or microseconds as arguments. The wall clock is read once, at
//! the start, and then carried by the monotonic clock: a wall clock that is stepped back while traffic flows
//! would put log rows before their predecessors, and reading both clocks costs twice. Rejected: a clock per
//! core, since ticks of two cores are compared when in-flight ages and reports are.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tailcast_features::Tick;

/// Ticks since the start of the proxy, and the wall clock that belongs to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_unix_us: i64,
}

impl Clock {
    /// A clock that starts at tick zero now.
    pub(crate) fn start() -> Self {
        // A wall clock before 1970 counts as 1970: only the time of day and the order of rows depend on it.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { origin: Instant::now(), origin_unix_us: i64::try_from(unix.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Tick {
        Tick::ZERO.after(self.origin.elapsed())
    }

    /// The timers' name for a tick. Reads no clock.
    pub(crate) fn instant(&self, tick: Tick) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_nanos(tick.nanos()))
    }

    /// Wall clock of a tick, microseconds since the Unix epoch.
    pub(crate) fn unix_us(&self, tick: Tick) -> i64 {
        self.origin_unix_us.saturating_add_unsigned(tick.nanos() / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_follows_the_ticks() {
        let clock = Clock::start();
        let tick = clock.now().after(Duration::from_secs(2));
        assert_eq!(clock.unix_us(tick.after(Duration::from_micros(7))) - clock.unix_us(tick), 7);
        assert!(clock.unix_us(Tick::ZERO) > 1_600_000_000_000_000);
    }
}
