//! One line every few seconds for something that fails again and again.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Often enough to be seen, seldom enough not to fill the disk that is full already.
const EVERY: Duration = Duration::from_secs(5);

/// Remembers when it complained last.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
    silent: u64,
}

impl Complaint {
    /// Logs the error, unless one was logged a moment ago; says how many were not.
    pub(super) fn about(&mut self, what: &str, error: &dyn Display, now: Instant) -> bool {
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            self.silent += 1;
            return false;
        }
        tracing::error!(%error, not_shown = self.silent, "{what}");
        self.last = Some(now);
        self.silent = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_in_ten_seconds_are_two_lines() {
        let start = Instant::now();
        let mut complaint = Complaint::default();
        let lines =
            (0..1_000).filter(|i| complaint.about("test", &"full", start + Duration::from_millis(i * 10 % 10_000)));
        assert_eq!(lines.count(), 2);
    }
}
