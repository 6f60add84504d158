//! A server's own latency estimate for probes: the median of recent latencies of requests that arrived when about as
//! many were in flight as now.
//!
//! Source: Wydrowski et al., "Load is not what you should balance", NSDI'24, §4: a finishing query records its latency
//! under the RIF counter at its arrival; a probe is answered with the median of the recent values at the current RIF,
//! or the nearest for which there are some.

/// RIF levels kept apart; beyond it all count as the last.
const LEVELS: usize = 128;

/// Recent latencies kept for each level.
const RECENT: usize = 16;

/// Older latencies say little of now and count only where there is nothing newer, nanoseconds.
const MAX_AGE: u64 = 10_000_000_000;

/// Latencies that the median is taken of at least, if there are so many: of one alone a single long query would keep
/// an idle replica idle for ever.
const ENOUGH: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Level {
    ms: [f32; RECENT],
    at: [u64; RECENT],
    next: usize,
    count: usize,
}

/// Recent latencies by RIF at arrival.
#[derive(Debug, Clone)]
pub(crate) struct LatencyByRif {
    levels: Vec<Level>,
}

impl LatencyByRif {
    pub(crate) fn new() -> Self {
        let empty = Level { ms: [0.0; RECENT], at: [0; RECENT], next: 0, count: 0 };
        Self { levels: vec![empty; LEVELS] }
    }

    pub(crate) fn record(&mut self, rif: u32, ms: f32, now: u64) {
        let level = &mut self.levels[(rif as usize).min(LEVELS - 1)];
        level.ms[level.next] = ms;
        level.at[level.next] = now;
        level.next = (level.next + 1) % RECENT;
        level.count = (level.count + 1).min(RECENT);
    }

    /// The estimate at `rif`, milliseconds; 0 before the first query.
    pub(crate) fn estimate(&self, rif: u32, now: u64) -> f32 {
        let mut found = [0.0f32; ENOUGH + 2 * RECENT];
        for max_age in [MAX_AGE, u64::MAX] {
            let count = self.nearest(rif, now, max_age, &mut found);
            if count > 0 {
                let (_, median, _) = found[..count].select_nth_unstable_by(count / 2, f32::total_cmp);
                return *median;
            }
        }
        0.0
    }

    /// Latencies of the nearest levels, outward until there are enough; how many were written.
    fn nearest(&self, rif: u32, now: u64, max_age: u64, found: &mut [f32; ENOUGH + 2 * RECENT]) -> usize {
        let at = (rif as usize).min(LEVELS - 1);
        let mut count = 0;
        for distance in 0..LEVELS {
            let below = at.checked_sub(distance);
            let above = (distance > 0 && at + distance < LEVELS).then_some(at + distance);
            for level in [below, above].into_iter().flatten().map(|level| &self.levels[level]) {
                for i in 0..level.count {
                    if now.saturating_sub(level.at[i]) <= max_age {
                        found[count] = level.ms[i];
                        count += 1;
                    }
                }
            }
            if count >= ENOUGH {
                break;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_near_the_level_is_reported_and_old_ones_only_without_new() {
        let mut latencies = LatencyByRif::new();
        for i in 0..10 {
            latencies.record(3, 10.0 + i as f32, 0);
            latencies.record(9, 500.0, 0);
        }
        assert_eq!(latencies.estimate(3, 0), 15.0);
        assert_eq!(latencies.estimate(4, 0), 15.0);
        assert_eq!(latencies.estimate(8, 0), 500.0);
        latencies.record(20, 7.0, 2 * MAX_AGE);
        assert_eq!(latencies.estimate(3, 2 * MAX_AGE), 7.0);
        assert_eq!(latencies.estimate(3, 9 * MAX_AGE), 15.0);
        assert_eq!(LatencyByRif::new().estimate(1, 0), 0.0);
    }
}
