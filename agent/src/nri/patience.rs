//! How long a pod's start waits.
//!
//! The runtime drops a plugin that has not answered in time, and asks about one pod at a time: while it waits, no other pod
//! of the node starts or stops. So an answer goes out well before, and where one was not given in time the next is waited
//! for half as long: an agent that hangs delays the node by a second or two, not each of its pods.

use std::time::Duration;

/// What NRI says if nobody configured anything.
const USUAL: Duration = Duration::from_secs(2);

/// However long the runtime would wait.
const LONGEST: Duration = Duration::from_secs(10);

/// After so many missed answers in a row it does not become shorter.
const MOST_HALVINGS: u32 = 4;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// How long the runtime waits.
    configured: Option<Duration>,
    missed: u32,
}

impl Patience {
    /// What the runtime says about all questions.
    pub(super) fn configure(&mut self, timeout: Option<Duration>) {
        self.configured = timeout;
    }

    /// How long to wait for the answer to one question, of which the runtime says how long it waits in nanoseconds, if it does.
    pub(super) fn of(&self, timeout: i64) -> Duration {
        let asked = u64::try_from(timeout).ok().filter(|asked| *asked > 0);
        let limit = self.configured.unwrap_or(USUAL);
        let limit = asked.map_or(limit, |asked| limit.min(Duration::from_nanos(asked)));
        limit.min(LONGEST) * 3 / 4 / 2u32.pow(self.missed)
    }

    /// Whether an answer came in time.
    pub(super) fn learn(&mut self, answered: bool) {
        self.missed = if answered {
            0
        } else {
            (self.missed + 1).min(MOST_HALVINGS)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanoseconds(duration: Duration) -> i64 {
        i64::try_from(duration.as_nanos()).expect("short")
    }

    #[test]
    fn an_answer_goes_out_before_the_runtime_stops_waiting() {
        let mut patience = Patience::default();
        assert_eq!(patience.of(0), Duration::from_millis(1500), "said nothing");
        assert_eq!(patience.of(-5), Duration::from_millis(1500), "nonsense");
        patience.configure(Some(Duration::from_secs(4)));
        assert_eq!(patience.of(0), Duration::from_secs(3));
        let one = nanoseconds(Duration::from_secs(1));
        assert_eq!(
            patience.of(one),
            Duration::from_millis(750),
            "this question"
        );
        assert_eq!(patience.of(i64::MAX), Duration::from_secs(3));
        patience.configure(Some(Duration::from_secs(600)));
        assert_eq!(
            patience.of(0),
            Duration::from_millis(7500),
            "never that long"
        );
    }

    #[test]
    fn missed_answers_halve_it_and_an_answer_restores_it() {
        let mut patience = Patience::default();
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(patience.of(0).as_millis());
            patience.learn(false);
        }
        assert_eq!(seen, [1500, 750, 375, 187, 93, 93, 93]);
        patience.learn(true);
        assert_eq!(patience.of(0).as_millis(), 1500);
    }
}
