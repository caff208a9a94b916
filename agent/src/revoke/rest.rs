//! How soon after one look at connections the next may be.

use std::time::Duration;

use tokio::time::Instant;

use super::debt::Debt;

/// Where changes never end, looking takes a hundredth of a thread's time. A look walks the kernel's whole list, and a change of
/// rules that is committed meanwhile waits for its end.
const SHARE: u32 = 100;

/// So much of it may be taken in advance: a few changes after a quiet time are looked at one by one, at once.
const IN_ADVANCE: Duration = Duration::from_secs(2);

/// From one look's end to the next one's, at most: what is forbidden is to have ended half a second after its change.
const LATEST: Duration = Duration::from_millis(400);

/// Looks that are long by themselves leave others their turn.
const LONG: Duration = Duration::from_millis(150);

/// Where changes come one after another, a look that had to rest begins just behind one of them rather than into the next,
/// which would wait for it. For a change it waits so long.
const BEHIND: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Rest {
    /// What looks have taken beyond their share.
    debt: Debt,
    /// No look begins before this.
    over: Instant,
    /// When the first change after that has settled.
    behind: Option<Instant>,
}

impl Default for Rest {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

impl Rest {
    fn since(now: Instant) -> Self {
        Self {
            debt: Debt::since(now),
            over: now,
            behind: None,
        }
    }

    /// A look that took so long ends now.
    pub(super) fn begin(&mut self, took: Duration, now: Instant) {
        let begun = now.checked_sub(took).unwrap_or(now);
        self.debt.add(begun, now, SHARE);
        let rest = self.debt.owed(now).saturating_sub(IN_ADVANCE);
        self.over = now + rest.min(LATEST.saturating_sub(took)).max(took.min(LONG));
        self.behind = None;
    }

    /// It failed: the next begins no sooner than this, and need not wait for a change.
    pub(super) fn until(&mut self, earliest: Instant) {
        self.over = self.over.max(earliest);
        self.behind = Some(self.over);
    }

    /// A change that has come now will have settled by then.
    pub(super) fn settles(&mut self, settled: Instant) {
        if Instant::now() >= self.over {
            self.behind.get_or_insert(settled);
        }
    }

    /// When a look begins that is due at this time.
    pub(super) fn start(&self, due: Instant) -> Instant {
        if due >= self.over {
            due
        } else {
            self.behind.unwrap_or(self.over + BEHIND)
        }
    }

    /// A look begins.
    pub(super) fn end(&mut self) {
        self.behind = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The pauses after so many looks, each of which begins as soon as it may.
    fn pauses(took: Duration, looks: usize) -> Vec<Duration> {
        let mut now = Instant::now();
        let mut rest = Rest::since(now);
        let pause = |_| {
            let ended = now + took;
            rest.begin(took, ended);
            now = rest.over;
            now - ended
        };
        (0..looks).map(pause).collect()
    }

    #[test]
    fn a_few_looks_are_at_once_and_many_take_their_share() {
        let pauses = pauses(millis(4), 100);
        assert_eq!(pauses[..4], [millis(4); 4]);
        let lasting = &pauses[20..];
        let mean = lasting.iter().sum::<Duration>() / u32::try_from(lasting.len()).expect("few");
        assert_eq!(mean, millis(4) * (SHARE - 1));
        // After a quiet time it is as at the beginning.
        let (mut rest, now) = (Rest::default(), Instant::now());
        for _ in 0..100 {
            rest.begin(millis(4), now);
        }
        let later = now + Duration::from_secs(60);
        rest.begin(millis(4), later);
        assert_eq!(rest.over, later + millis(4));
    }

    #[test]
    fn what_is_forbidden_ends_in_half_a_second_however_long_looks_take() {
        for took in [1, 4, 34, 100, 225].map(millis) {
            for pause in pauses(took, 100) {
                assert!(pause >= took.min(LONG), "{took:?}: {pause:?}");
                assert!(pause + took <= millis(400), "{took:?}: {pause:?}");
            }
        }
        assert_eq!(pauses(Duration::from_secs(2), 3), [LONG; 3]);
    }
}
