//! The retry budget: retries are at most a fifth of requests, so that a failing pool is not hit twice as hard.
//!
//! A bucket of one core and pool: each request pays in a fifth of a retry, each retry takes one. Rejected: a limit a
//! request alone ("at most one retry"), which doubles the load of a pool that fails altogether. Source:
//! Finagle's and linkerd's `RetryBudget`.

/// Share of requests that may be retried.
const RATIO: f32 = 0.2;

/// Retries that may be saved up, and that a quiet proxy starts with: enough for one endpoint's connections to be
/// reset at once, too few to matter as load.
const RESERVE: f32 = 10.0;

/// What is left to spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryBudget {
    left: f32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { left: RESERVE }
    }
}

impl RetryBudget {
    /// A request arrived.
    pub(crate) fn deposit(&mut self) {
        self.left = (self.left + RATIO).min(RESERVE);
    }

    /// Takes one retry; false where none is left.
    pub(crate) fn withdraw(&mut self) -> bool {
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_everything_fails_one_request_in_five_is_retried() {
        let mut budget = RetryBudget::default();
        let retries = (0..10_000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        let count = retries.count();
        assert!((2_000..=2_011).contains(&count), "{count}");
    }
}
