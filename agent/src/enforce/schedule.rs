//! When to commit: soon after a change, but not for each of many.

use std::time::Duration;

use tokio::time::Instant;

/// How changes are gathered. The first after a quiet time is committed at once; it is the many after one another that are
/// gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Where the commit before is not this long ago, a commit waits until nothing has changed for this long…
    pub debounce: Duration,
    /// …but no longer than this after the first change.
    pub max_delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(5),
            max_delay: Duration::from_millis(50),
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
    /// When the last commit was started.
    started: Option<Instant>,
    /// When the last commit failed, and the pause after it.
    failed: Option<(Instant, Duration)>,
}

impl Schedule {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            changed: None,
            started: None,
            failed: None,
        }
    }

    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// A commit of all changes so far is on its way. Returns when the first of them was.
    pub(super) fn started(&mut self, now: Instant) -> Option<Instant> {
        self.started = Some(now);
        self.changed.take().map(|(first, _)| first)
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
        let Timing {
            debounce,
            max_delay,
        } = self.timing;
        let change = self.changed.map(|(first, latest)| {
            let is_quiet = self
                .started
                .is_none_or(|started| first >= started + debounce);
            if is_quiet {
                first
            } else {
                (latest + debounce).min(first + max_delay)
            }
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
        assert_eq!(due(&schedule, start), Some(0), "the first at once");
        assert_eq!(schedule.started(at(0)), Some(at(0)));
        schedule.changed(at(2));
        assert_eq!(due(&schedule, start), Some(7));
        schedule.changed(at(6));
        assert_eq!(due(&schedule, start), Some(11));
        for ms in 7..60 {
            schedule.changed(at(ms));
        }
        assert_eq!(
            due(&schedule, start),
            Some(52),
            "of many, the first waits no longer"
        );
        assert_eq!(schedule.started(at(52)), Some(at(2)));
        assert_eq!(due(&schedule, start), None);
        schedule.changed(at(57));
        assert_eq!(due(&schedule, start), Some(57), "it was quiet");
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
        schedule.started(start);
        assert_eq!(due(&schedule, start), None);
    }
}
