//! Why a request is not let in, and when it may come again.

use std::time::Duration;

/// Why a request is refused before it costs an endpoint anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShedReason {
    /// The tenant is above its rate.
    Rate,
    /// The tenant has as many requests in the proxy as it may have.
    TenantConcurrency,
    /// As many requests wait as may wait.
    QueueFull,
    /// It waited as long as a request may wait while the pool is full.
    QueueTime,
    /// It would not be done before its deadline.
    Deadline,
}

impl ShedReason {
    /// All of them, in the order of the enum: the labels of a counter.
    pub const ALL: [Self; 5] = [Self::Rate, Self::TenantConcurrency, Self::QueueFull, Self::QueueTime, Self::Deadline];

    /// The name in metrics and in the answer's body.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate_limited",
            Self::TenantConcurrency => "tenant_concurrency",
            Self::QueueFull => "queue_full",
            Self::QueueTime => "queue_time",
            Self::Deadline => "deadline",
        }
    }

    /// True where the tenant's own limit was hit (429); otherwise the pool is full (503).
    pub fn is_own_limit(self) -> bool {
        matches!(self, Self::Rate | Self::TenantConcurrency)
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Why.
    pub reason: ShedReason,
    /// When another try may succeed: exact for a rate, one second otherwise, since how long an overload lasts is
    /// unknown and an earlier try is part of it.
    pub retry_after: Duration,
}

/// For overloads, whose end nobody knows.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<ShedReason> for Shed {
    fn from(reason: ShedReason) -> Self {
        Self { reason, retry_after: RETRY_AFTER }
    }
}
