//! How much of the event loop's time judging takes.

use std::time::Duration;

use tokio::time::Instant;

use super::debt::Debt;

/// Connections may be judged this long at a time; one may take longer, where policies have very many rules.
const TURN: Duration = Duration::from_millis(5);

/// Judging may take this part of the time.
const SHARE: u32 = 2;

/// When the next turn may be. Many short turns take no more than one long.
#[derive(Debug)]
pub(super) struct Pace {
    /// The loop's share for all turns so far.
    debt: Debt,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            debt: Debt::since(Instant::now()),
        }
    }
}

impl Pace {
    /// When the next turn may begin. Where nothing else is to be done, pauses are as long as turns: timers count in milliseconds.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let owed = self.debt.owed(now);
        if owed < TURN { now } else { now + owed }
    }

    /// When a turn that begins now ends.
    pub(super) fn end(&self, start: Instant) -> Instant {
        start + TURN.saturating_sub(self.debt.owed(start))
    }

    /// Takes note of a turn.
    pub(super) fn took(&mut self, start: Instant, end: Instant) {
        self.debt.add(start, end, SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE: Duration = Duration::from_secs(1);

    /// What judging takes of a while if there is always more, and the longest of it without a pause. What is found at a time takes
    /// `each` to judge, and `between` to find.
    fn run(each: Duration, between: Duration) -> (Duration, Duration) {
        let start = Instant::now();
        let (mut pace, mut now) = (
            Pace {
                debt: Debt::since(start),
            },
            start,
        );
        let (mut all, mut longest, mut stretch) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut left = each;
        while now < start + WHILE {
            let next = pace.next(now);
            assert!(next >= now);
            if next > now {
                stretch = Duration::ZERO;
            }
            let end = pace.end(next).min(next + left);
            pace.took(next, end);
            all += end - next;
            stretch += end - next;
            longest = longest.max(stretch);
            left -= end - next;
            now = end;
            if left.is_zero() {
                left = each;
                now += between;
            }
        }
        (all, longest)
    }

    #[test]
    fn judging_takes_half_of_the_time_at_most() {
        let micros = Duration::from_micros;
        for each in [50, 900, 4_900, 5_000, 5_100, 80_000].map(micros) {
            for between in [0, 10, 300].map(micros) {
                let (all, longest) = run(each, between);
                assert!(
                    all <= WHILE / 2 + TURN * 2,
                    "{each:?}, {between:?}: {all:?}"
                );
                let fair = WHILE.mul_f64(each.as_secs_f64() / (each + between).as_secs_f64());
                assert!(
                    all >= fair.min(WHILE / 2).mul_f64(0.9),
                    "{each:?}, {between:?}: {all:?}"
                );
                // What takes less never pauses.
                assert!(
                    longest <= TURN * SHARE || fair < WHILE / 2,
                    "{each:?}, {between:?}: {longest:?}"
                );
            }
        }
    }

    #[test]
    fn what_takes_little_never_waits() {
        let (all, _) = run(Duration::from_micros(200), Duration::from_micros(300));
        assert!(all.abs_diff(WHILE * 2 / 5) < TURN, "{all:?}");
    }
}
