//! How many requests a pool can have in flight: a gradient limiter.
//!
//! By Little's law a pool that serves X requests a second in R seconds each has X·R in flight; more of them only wait in
//! the endpoints. So the limiter compares the mean latency now with that of the pool at ease, its *baseline*:
//!
//! ```text
//! gradient = tolerance · baseline / latency, within [1/2, 2];   limit ← limit · √gradient + √limit
//! ```
//!
//! In a pool that is full, latency grows with the requests in flight, so this settles where latency is somewhat above
//! tolerance times baseline: at so many times the X·R of the pool at ease, whatever X and R are. The gradient and the headroom
//! are those of Netflix's `concurrency-limits` (`GradientLimit`, `Gradient2Limit`; Landau et al., *Performance Under Load*,
//! 2018) and of Envoy's `adaptive_concurrency` filter. The headroom is what makes limiters beside each other fair: all see
//! the same latencies, so a factor keeps whatever ratio their limits have, while a root grows the small ones faster (Chiu &
//! Jain, 1989). Without it one of four simulated proxies had five times the limit of another. What differs, and why:
//!
//! - *The baseline is learned from calm windows only*, in which less than half of the limit was used. Gradient2 takes a long
//!   mean of all, which follows a long overload until the limit no longer binds.
//! - *Under an overload without pause the baseline is measured anew* each ten seconds, as Envoy does, but with the limit
//!   lowered to a half instead of to three requests: a probe of Envoy's costs its goodput for as long as it lasts, one of
//!   these next to none. It can only lower the baseline, since other proxies keep the pool full meanwhile; those of one
//!   process probe together, at whole multiples of ten seconds of their clock.
//! - *A baseline that was left behind is noticed.* Where a lower limit does not lower the latency, requests do not wait for
//!   one another; the pool became slower, and what was measured is the new baseline. Otherwise a pool that takes twice the
//!   time since its last release would be throttled to the lowest limit until the next probe.
//!
//! Latency is measured by Little's law too: requests in flight, integrated over a window, over the requests that ended in it.
//! A mean of the latencies that ended would tell of the limit of one latency ago, and one of those that began and ended in
//! the window would leave out the slow ones. A change of what is asked (heavier routes) looks like congestion to this and
//! every limiter of latency alone, until one of the last two measures tells them apart.

use std::time::Duration;
use tailcast_features::Tick;

/// Shortest window: long enough for some tens of requests of a busy pool, short against the two seconds in which a spike
/// must be mastered. As Envoy's `concurrency_update_interval`.
const WINDOW: Duration = Duration::from_millis(100);
/// Fewest requests of a window. As Netflix's `WindowedLimit`.
const WINDOW_REQUESTS: u32 = 10;
/// A window is as many mean latencies long: what a limit does is felt within one.
const WINDOW_LATENCIES: f32 = 2.0;
/// Longest window that latencies ask for: long polls must not stop the limiter.
const LONGEST_WINDOW: Duration = Duration::from_secs(5);
/// What the limit grows by in a window, over its root. As Envoy's.
const HEADROOM: f32 = 1.0;
/// Share of the limit below which a window is calm. As Netflix's: a limit that does not bind is not moved.
const CALM: f32 = 0.5;
/// Gain of the baseline per calm window, the same up and down: a mean of noisy windows must not lean to either side, or
/// proxies beside each other believe in different baselines. 7 s to follow a change, longer than a spike's onset.
const BASELINE_GAIN: f32 = 0.015;
/// Gain downwards by a probe: one window, but of a pool that is asked for less.
const PROBE_GAIN: f32 = 0.5;
/// Overload without pause after which the baseline is probed.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The limit while probing, as a share.
const PROBE_SHARE: f32 = 0.5;
/// A limit that fell to this share is compared with what it was before: did the latency fall too?
const FALL: f32 = 0.4;
/// Where latency stayed above this share of what it was, it did not. In a pool that was full it would have come down to
/// the same share.
const UNMOVED: f32 = 0.85;

/// Bounds and reach of the limiter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimiterOptions {
    /// Limit to start with, requests.
    pub initial: u32,
    /// Lowest limit.
    pub min: u32,
    /// Highest limit.
    pub max: u32,
    /// Latency of the full pool over that of the pool at ease, above 1.
    pub tolerance: f32,
}

impl Default for LimiterOptions {
    /// With the headroom, a full pool of forty requests settles at 1.7 times the latency of one at ease: a fifth of queueing
    /// for each endpoint to be busy, whatever the policy. From 32 a limit that is needed is reached in half a second; 4
    /// keep any pool measured.
    fn default() -> Self {
        Self { initial: 32, min: 4, max: 100_000, tolerance: 1.2 }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    started: Tick,
    /// Requests in flight times milliseconds.
    area: f64,
    /// Ended in it, as far as they are measured.
    requests: u32,
    most_in_flight: u32,
}

/// A lowered limit that measures the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// More are in flight than it allows.
    Draining,
    Measuring,
}

/// The limiter of one pool on one core.
#[derive(Debug)]
pub struct Limiter {
    options: LimiterOptions,
    limit: f32,
    /// Mean latency of the pool at ease, milliseconds.
    baseline_ms: Option<f32>,
    /// Mean latency of the last window, milliseconds.
    recent_ms: Option<f32>,
    window: Window,
    in_flight: u32,
    /// Until when the window's area is added up.
    seen: Tick,
    /// Since when every window used more than half of the limit.
    busy_since: Option<Tick>,
    probe: Option<Probe>,
    /// Limit and latency from which the limit is falling.
    fell_from: Option<(f32, f32)>,
}

impl Limiter {
    /// A limiter at its initial limit.
    pub fn new(options: LimiterOptions) -> Self {
        let limit = options.initial.clamp(options.min, options.max.max(options.min)) as f32;
        Self {
            options,
            limit,
            baseline_ms: None,
            recent_ms: None,
            window: Window::default(),
            in_flight: 0,
            seen: Tick::ZERO,
            busy_since: None,
            probe: None,
            fell_from: None,
        }
    }

    /// Most requests that may be in flight now.
    pub fn limit(&self) -> u32 {
        let share = if self.probe.is_some() { PROBE_SHARE } else { 1.0 };
        ((self.limit * share) as u32).max(self.options.min)
    }

    /// Mean latency of the last window, milliseconds.
    pub fn recent_ms(&self) -> Option<f32> {
        self.recent_ms
    }

    /// Mean latency of the pool at ease, milliseconds.
    pub fn baseline_ms(&self) -> Option<f32> {
        self.baseline_ms
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A request was let in.
    #[inline]
    pub fn started(&mut self, now: Tick) {
        self.pass(now);
        self.in_flight += 1;
        self.window.most_in_flight = self.window.most_in_flight.max(self.in_flight);
    }

    /// A request ended that was let in then. `is_measured` where its latency is what the pool's state made it: it was
    /// answered, or timed out. A fast error is no fast pool.
    pub fn ended(&mut self, started: Tick, is_measured: bool, now: Tick) {
        self.pass(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.probe == Some(Probe::Draining) {
            if self.in_flight <= self.limit() {
                self.probe = Some(Probe::Measuring);
                self.open(now);
            }
            return;
        }
        if !is_measured {
            let within = now.millis_since(started).min(now.millis_since(self.window.started));
            self.window.area = (self.window.area - f64::from(within)).max(0.0);
            return;
        }
        self.window.requests += 1;
        if self.window.requests < WINDOW_REQUESTS {
            return;
        }
        let latencies = Duration::from_secs_f32(self.recent_ms.unwrap_or(0.0) * 1e-3 * WINDOW_LATENCIES);
        if now.since(self.window.started) >= latencies.min(LONGEST_WINDOW).max(WINDOW) {
            self.turn(now);
        }
    }

    #[inline]
    fn pass(&mut self, now: Tick) {
        self.window.area += f64::from(self.in_flight) * f64::from(now.millis_since(self.seen));
        self.seen = now;
    }

    fn open(&mut self, now: Tick) {
        self.window = Window { started: now, most_in_flight: self.in_flight, ..Window::default() };
    }

    /// The end of a window.
    fn turn(&mut self, now: Tick) {
        let ended = self.window;
        self.open(now);
        let mean = (ended.area / f64::from(ended.requests.max(1))).max(1e-3) as f32;
        self.recent_ms = Some(mean);
        if self.probe.take().is_some() {
            self.baseline_ms =
                Some(self.baseline_ms.map_or(mean, |baseline| baseline + PROBE_GAIN * (mean - baseline).min(0.0)));
            self.busy_since = Some(now);
            self.fell_from = None;
            return;
        }
        let baseline = *self.baseline_ms.get_or_insert(mean);
        if (ended.most_in_flight as f32) < self.limit * CALM {
            self.baseline_ms = Some(baseline + BASELINE_GAIN * (mean - baseline));
            self.busy_since = None;
            self.fell_from = None;
            return;
        }
        let gradient = (self.options.tolerance * baseline / mean).clamp(0.5, 2.0);
        if gradient >= 1.0 {
            self.fell_from = None;
        } else {
            let (limit, before) = *self.fell_from.get_or_insert((self.limit, mean));
            if self.limit <= limit * FALL {
                self.fell_from = Some((self.limit, mean));
                if mean > before * UNMOVED {
                    self.baseline_ms = Some(mean);
                    return;
                }
            }
        }
        let highest = self.options.max.max(self.options.min) as f32;
        // The root damps: the mean of ten exponential latencies is off by a third now and then.
        let next = self.limit * gradient.sqrt() + HEADROOM * self.limit.sqrt();
        self.limit = next.clamp(self.options.min as f32, highest);
        let since = *self.busy_since.get_or_insert(now);
        let period = PROBE_EVERY.as_nanos() as u64;
        if now.nanos() / period > since.nanos() / period {
            self.probe = Some(Probe::Draining);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// A pool of `cores` that share what is in flight, each request worth `work_ms` of one; as many requests as the limit
    /// allows are always there. Time steps of 0.1 ms; all requests take the same, so the pool is a law and not chance.
    fn full_pool(limiter: &mut Limiter, cores: f32, work_ms: f32, from: Tick, secs: f64) -> (Tick, u32) {
        let mut ends: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let mut now = from;
        let mut done = 0;
        let until = from.after(Duration::from_secs_f64(secs));
        while now < until {
            while let Some(Reverse((end, started))) = ends.peek().copied() {
                if end > now.nanos() {
                    break;
                }
                ends.pop();
                done += 1;
                limiter.ended(Tick::from_nanos(started), true, now);
            }
            while ends.len() < limiter.limit() as usize {
                let load = (ends.len() + 1) as f32;
                let ms = work_ms * (load / cores).max(1.0);
                ends.push(Reverse((now.nanos() + (ms * 1e6) as u64, now.nanos())));
                limiter.started(now);
            }
            now = now.after(Duration::from_micros(100));
        }
        (now, done)
    }

    fn calm(limiter: &mut Limiter, ms: u64, from: Tick) -> Tick {
        let mut now = from;
        for _ in 0..2_000 {
            limiter.started(now);
            let started = now;
            now = now.after(Duration::from_millis(ms));
            limiter.ended(started, true, now);
        }
        now
    }

    #[test]
    fn a_full_pool_gets_tolerance_times_what_it_can_serve_at_ease() {
        // What it settles at, from limit = limit · √gradient + √limit.
        for (cores, times) in [(8.0, 2.4), (40.0, 1.6), (300.0, 1.33)] {
            let mut limiter = Limiter::new(LimiterOptions::default());
            let now = calm(&mut limiter, 10, Tick::ZERO);
            full_pool(&mut limiter, cores, 10.0, now, 5.0);
            let expected = times * cores;
            let limit = limiter.limit() as f32;
            assert!((limit / expected - 1.0).abs() < 0.15, "{cores} cores: {limit}, expected {expected}");
        }
    }

    #[test]
    fn a_limit_that_does_not_bind_is_not_moved() {
        let mut limiter = Limiter::new(LimiterOptions::default());
        let now = calm(&mut limiter, 10, Tick::ZERO);
        calm(&mut limiter, 100, now);
        assert_eq!(limiter.limit(), LimiterOptions::default().initial);
    }

    #[test]
    fn an_overload_of_minutes_does_not_raise_the_limit() {
        let mut limiter = Limiter::new(LimiterOptions::default());
        let now = calm(&mut limiter, 10, Tick::ZERO);
        let (now, _) = full_pool(&mut limiter, 20.0, 10.0, now, 5.0);
        let early = limiter.limit();
        full_pool(&mut limiter, 20.0, 10.0, now, 300.0);
        assert!(limiter.limit() <= early + early / 4, "{early} then {}", limiter.limit());
    }

    #[test]
    fn a_full_pool_that_became_slower_or_faster_is_still_used() {
        let mut limiter = Limiter::new(LimiterOptions::default());
        let now = calm(&mut limiter, 10, Tick::ZERO);
        let (now, _) = full_pool(&mut limiter, 20.0, 10.0, now, 20.0);
        // Twice the time each at any concurrency: the old baseline must not throttle it to the lowest limit of 4, a fifth.
        let (now, done) = full_pool(&mut limiter, 20.0, 20.0, now, 60.0);
        assert!(f64::from(done) > 0.7 * 60.0 * 20.0 / 0.020, "slower: {done} at {}", limiter.limit());
        let (_, done) = full_pool(&mut limiter, 20.0, 5.0, now, 60.0);
        assert!(f64::from(done) > 0.7 * 60.0 * 20.0 / 0.005, "faster: {done} at {}", limiter.limit());
    }

    #[test]
    fn the_probes_cost_less_than_a_hundredth_of_the_goodput() {
        let mut limiter = Limiter::new(LimiterOptions::default());
        let now = calm(&mut limiter, 10, Tick::ZERO);
        let (now, _) = full_pool(&mut limiter, 20.0, 10.0, now, 5.0);
        let (_, done) = full_pool(&mut limiter, 20.0, 10.0, now, 100.0);
        let capacity = 20.0 / 0.010 * 100.0;
        assert!(f64::from(done) > 0.98 * capacity, "{done} of {capacity}");
    }

    #[test]
    fn a_limit_that_began_too_high_under_full_load_comes_down() {
        let mut limiter = Limiter::new(LimiterOptions { initial: 400, ..LimiterOptions::default() });
        full_pool(&mut limiter, 20.0, 10.0, Tick::ZERO, 300.0);
        assert!(limiter.limit() <= 60, "{}", limiter.limit());
    }
}
