//! What can be changed and read while an endpoint runs.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// How an endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As its specification says.
    Serve,
    /// Answers 503 at once.
    FailFast,
    /// Accepts requests and never answers.
    Hang,
    /// Closes the connection instead of answering.
    Reset,
}

impl Mode {
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::FailFast,
            2 => Self::Hang,
            3 => Self::Reset,
            _ => Self::Serve,
        }
    }
}

/// Shared between the fleet's handle and an endpoint's thread.
#[derive(Debug)]
pub(super) struct Control {
    /// Bits of an f32: services take this many times as long.
    slow_factor: AtomicU32,
    mode: AtomicU8,
    pub(super) served: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    /// Time for which workers were held, microseconds.
    pub(super) busy_us: AtomicU64,
    pub(super) in_service: AtomicU32,
    pub(super) most_in_service: AtomicU32,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            slow_factor: AtomicU32::new(1f32.to_bits()),
            mode: AtomicU8::new(0),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            in_service: AtomicU32::new(0),
            most_in_service: AtomicU32::new(0),
        }
    }
}

/// Counters of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests answered by a worker.
    pub served: u64,
    /// Requests refused: queue full, or failing fast.
    pub refused: u64,
    /// Requests whose tenant was in the cache.
    pub hits: u64,
    /// Requests whose tenant was not.
    pub misses: u64,
    /// Time for which workers were held, all of them together, microseconds.
    pub busy_us: u64,
    /// Most requests that were in service at a time.
    pub most_in_service: u32,
}

impl Control {
    pub(super) fn slow_factor(&self) -> f32 {
        f32::from_bits(self.slow_factor.load(Ordering::Relaxed))
    }

    pub(super) fn set_slow_factor(&self, factor: f32) {
        self.slow_factor.store(factor.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn mode(&self) -> Mode {
        Mode::from_code(self.mode.load(Ordering::Relaxed))
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    pub(super) fn enter(&self) {
        let now = self.in_service.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_service.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_service.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            served: self.served.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            busy_us: self.busy_us.load(Ordering::Relaxed),
            most_in_service: self.most_in_service.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_survives_its_code() {
        let control = Control::default();
        assert_eq!(control.mode(), Mode::Serve);
        for mode in [Mode::FailFast, Mode::Hang, Mode::Reset, Mode::Serve] {
            control.set_mode(mode);
            assert_eq!(control.mode(), mode);
        }
    }
}
