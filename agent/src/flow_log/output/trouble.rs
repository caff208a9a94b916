//! A difficulty that goes on for a while is told of when it begins and when it is over, not each time it is met.

use std::time::{Duration, Instant};

/// Difficulties that come and go are told of this often at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// Whether a difficulty has been told of.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: Option<Instant>,
    under_way: bool,
    cost: u64,
}

impl Trouble {
    /// The difficulty has been met, and has cost so many lines; whether it should be told of.
    pub(super) fn met(&mut self, cost: u64, now: Instant) -> bool {
        let recent = self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < AT_MOST_EVERY);
        self.cost += cost;
        if self.under_way || recent {
            return false;
        }
        self.told = Some(now);
        self.under_way = true;
        true
    }

    /// The difficulty is over. If it was told of, that should be too: what it has cost.
    pub(super) fn over(&mut self) -> Option<u64> {
        if !self.under_way {
            return None;
        }
        self.under_way = false;
        Some(std::mem::take(&mut self.cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_and_when_it_is_over_and_not_again_within_the_minute() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(trouble.over(), None);
        assert!(trouble.met(2, at(0)));
        assert!(!trouble.met(3, at(1)));
        assert!(!trouble.met(0, at(3600)), "still the same");
        assert_eq!(trouble.over(), Some(5));
        assert_eq!(trouble.over(), None);
        assert!(trouble.met(1, at(3600)));
        assert_eq!(trouble.over(), Some(1));
        assert!(!trouble.met(7, at(3601)), "comes and goes");
        assert_eq!(trouble.over(), None, "nobody knows of it");
        assert!(
            trouble.met(1, at(3660)),
            "it stays, and that should be known"
        );
        assert_eq!(
            trouble.over(),
            Some(8),
            "with what it cost while it was not told of"
        );
    }
}
