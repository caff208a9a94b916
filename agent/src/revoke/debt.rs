//! Time that others are owed for what one has taken.

use std::time::Duration;

use tokio::time::Instant;

/// Grows with what is taken, and with time is paid off.
#[derive(Debug)]
pub(super) struct Debt {
    /// By then nothing is owed.
    settled: Instant,
}

impl Debt {
    /// None so far.
    pub(super) fn since(now: Instant) -> Self {
        Self { settled: now }
    }

    /// What was taken from `start` to `end` is to be no more than one part of so many.
    pub(super) fn add(&mut self, start: Instant, end: Instant, parts: u32) {
        self.settled = self.settled.max(start) + (end - start) * parts;
    }

    pub(super) fn owed(&self, now: Instant) -> Duration {
        self.settled.saturating_duration_since(now)
    }
}
