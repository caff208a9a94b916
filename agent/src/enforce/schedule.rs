//! When to commit: soon after a change, but not for each of many.

use std::time::Duration;

use tokio::time::Instant;

/// How changes are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A commit waits until nothing has changed for this long…
    pub debounce: Duration,
    /// …but no longer than this after the first change.
    pub max_delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(50),
            max_delay: Duration::from_millis(500),
        }
    }
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// When the next commit is due.
#[derive(Debug)]
pub(super) struct Schedule {
    timing: Timing,
    /// The first and the latest change since the last commit was started.
    changed: Option<(Instant, Instant)>,
    /// When the last commit failed, and the pause after it.
    failed: Option<(Instant, Duration)>,
}

impl Schedule {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            changed: None,
            failed: None,
        }
    }

    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// A commit of all changes so far is on its way.
    pub(super) fn started(&mut self) {
        self.changed = None;
    }

    pub(super) fn succeeded(&mut self) {
        self.failed = None;
    }

    /// Returns the pause until the next attempt: none if that is `another` thing than what failed.
    pub(super) fn failed(&mut self, now: Instant, another: bool) -> Duration {
        let longer = |(_, pause): (Instant, Duration)| (pause * 2).clamp(FIRST_RETRY, LAST_RETRY);
        let pause = if another {
            Duration::ZERO
        } else {
            self.failed.map_or(FIRST_RETRY, longer)
        };
        self.failed = Some((now, pause));
        pause
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let change = self.changed.map(|(first, latest)| {
            (latest + self.timing.debounce).min(first + self.timing.max_delay)
        });
        match (change, self.failed) {
            // A change may be what mends it. But where changes never end, loading all of a large table each second
            // would be all the node does.
            (Some(change), Some((when, pause))) => {
                let shortened = (pause / 4).max(FIRST_RETRY);
                Some(change.max(when + shortened).min(when + pause))
            }
            (None, Some((when, pause))) => Some(when + pause),
            (change, None) => change,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds after the start.
    fn due(schedule: &Schedule, start: Instant) -> Option<u128> {
        schedule.due().map(|due| (due - start).as_millis())
    }

    #[test]
    fn changes_are_gathered_but_not_for_ever() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut schedule = Schedule::new(Timing::default());
        assert_eq!(due(&schedule, start), None);
        schedule.changed(at(0));
        assert_eq!(due(&schedule, start), Some(50));
        schedule.changed(at(40));
        assert_eq!(due(&schedule, start), Some(90));
        schedule.changed(at(480));
        assert_eq!(due(&schedule, start), Some(500));
        schedule.started();
        assert_eq!(due(&schedule, start), None);
        schedule.changed(at(600));
        assert_eq!(due(&schedule, start), Some(650));
    }

    #[test]
    fn failures_are_followed_by_growing_pauses() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Timing::default());
        assert_eq!(schedule.failed(start, true), Duration::ZERO);
        assert_eq!(due(&schedule, start), Some(0));
        let pauses = (0..7).map(|_| schedule.failed(start, false).as_secs());
        let pauses: Vec<u64> = pauses.collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(due(&schedule, start), Some(30_000));
        schedule.changed(start + Duration::from_millis(100));
        assert_eq!(due(&schedule, start), Some(7_500));
        schedule.succeeded();
        schedule.started();
        assert_eq!(due(&schedule, start), None);
    }
}
