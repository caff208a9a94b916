//! How many connections that were cut are told singly.

use std::time::Duration;

use tokio::time::Instant;

/// So many within [`WHILE`]: who makes many connections must not fill the log with their end.
const MOST: u64 = 500;

const WHILE: Duration = Duration::from_secs(5);

/// Those of late, and those that were not told.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    since: Option<Instant>,
    told: u64,
    untold: u64,
}

impl Cuts {
    /// Whether one more is told singly. If not it is counted.
    pub(super) fn is_told(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= WHILE) {
            (self.since, self.told) = (Some(now), 0);
        }
        let is_told = self.told < MOST;
        if is_told {
            self.told += 1;
        } else {
            self.untold += 1;
        }
        is_told
    }

    /// Those that were counted only.
    pub(super) fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_while_are_told() {
        let mut cuts = Cuts::default();
        let start = Instant::now();
        let told = |cuts: &mut Cuts, at| (0..MOST * 2).filter(|_| cuts.is_told(at)).count() as u64;
        assert_eq!(told(&mut cuts, start), MOST);
        assert_eq!(told(&mut cuts, start + WHILE / 2), 0);
        assert_eq!(cuts.take_untold(), MOST * 3);
        assert_eq!(told(&mut cuts, start + WHILE), MOST);
        assert_eq!(cuts.take_untold(), MOST);
        assert_eq!(cuts.take_untold(), 0);
    }
}
