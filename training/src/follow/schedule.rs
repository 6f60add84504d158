//! When to train: on a timer where there is something new, at once where the traffic has drifted.
//!
//! Times are those of a clock that only goes forward. A run goes on from the champion, except now and then: a warm
//! start asks the champion's questions first, so that from time to time all of them must be found anew.

use std::time::Duration;

/// Every so many runs begin from nothing: frequent enough that a bad question is gone within minutes, rare enough that
/// it does not matter how long it takes.
const COLD_EVERY: u32 = 10;

/// A run that drift asks for comes no sooner after the one before than this share of the interval: a champion that the
/// gate does not replace would otherwise be retrained without end.
const DRIFT_SHARE: u32 = 4;

/// Why a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There is no champion yet.
    First,
    /// It is time.
    Timer,
    /// The traffic has drifted; in words how.
    Drift(String),
}

/// A run that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Why.
    pub why: Why,
    /// Whether it goes on from the champion.
    pub warm: bool,
}

/// The schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    every: Duration,
    last: Option<Duration>,
    runs: u32,
}

impl Schedule {
    /// Trains every so often.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, runs: 0 }
    }

    /// The run that is due now, if one is. It counts as started, whatever becomes of it: what failed is tried again
    /// after the interval, and not at once.
    pub fn next(
        &mut self,
        now: Duration,
        has_new_rows: bool,
        has_champion: bool,
        drift: Option<&str>,
    ) -> Option<Start> {
        let since = self.last.map(|last| now.saturating_sub(last));
        let is_time = since.is_none_or(|since| since >= self.every);
        let may_drift = since.is_none_or(|since| since >= self.every / DRIFT_SHARE);
        let why = match drift {
            _ if !has_new_rows => return None,
            _ if is_time && !has_champion => Why::First,
            Some(how) if may_drift && has_champion => Why::Drift(how.to_owned()),
            _ if is_time => Why::Timer,
            _ => return None,
        };
        // What the champion asks is in doubt where the traffic is no longer what it was.
        let warm = why == Why::Timer && !self.runs.is_multiple_of(COLD_EVERY);
        self.last = Some(now);
        self.runs = self.runs.wrapping_add(1);
        Some(Start { why, warm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_trains_at_once_then_on_the_timer_and_never_without_new_rows() {
        let mut schedule = Schedule::new(30 * SECOND);
        assert_eq!(schedule.next(SECOND, false, false, None), None);
        assert_eq!(schedule.next(2 * SECOND, true, false, None), Some(Start { why: Why::First, warm: false }));
        assert_eq!(schedule.next(31 * SECOND, true, true, None), None);
        assert_eq!(schedule.next(32 * SECOND, true, true, None), Some(Start { why: Why::Timer, warm: true }));
        assert_eq!(schedule.next(90 * SECOND, false, true, Some("coverage")), None);
    }

    #[test]
    fn drift_brings_the_next_run_forward_and_from_nothing_but_not_without_end() {
        let mut schedule = Schedule::new(40 * SECOND);
        schedule.next(SECOND, true, true, None);
        assert_eq!(schedule.next(5 * SECOND, true, true, Some("coverage")), None);
        let start = schedule.next(11 * SECOND, true, true, Some("coverage"));
        assert_eq!(start, Some(Start { why: Why::Drift("coverage".to_owned()), warm: false }));
        assert_eq!(schedule.next(12 * SECOND, true, true, Some("coverage")), None);
    }

    #[test]
    fn one_run_in_ten_begins_from_nothing() {
        let mut schedule = Schedule::new(SECOND);
        let warm: Vec<bool> =
            (0..30).filter_map(|turn| schedule.next(turn * SECOND, true, true, None).map(|start| start.warm)).collect();
        assert_eq!(warm.iter().filter(|warm| !**warm).count(), 3, "{warm:?}");
    }
}
