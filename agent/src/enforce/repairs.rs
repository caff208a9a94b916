//! What other programs have done to the table, and when to put it right.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::dataplane::{Disturbance, Foreign, Part};

/// More disturbances than this within [`A_WHILE`] are a quarrel with another program, which may answer each repair.
const OFTEN: usize = 20;
const A_WHILE: Duration = Duration::from_secs(60);

/// Time between repairs in a quarrel, unless the table is gone and the node open.
const QUARREL: Duration = Duration::from_secs(1);

/// In a quarrel, so many times as long as a repair takes is the pause after it.
const REST: u32 = 9;

/// Where all of nftables changes without end, the table is written anew only so often for want of knowledge.
const UNKNOWN: Duration = Duration::from_secs(10);

/// Disturbances that wait, and those of late.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// What no write that was begun later has put right, and since when.
    pending: Option<(Disturbance, Instant)>,
    /// What the write puts right that is under way, or that failed.
    under_way: Option<Part>,
    /// Whether it must be asked if there is a table.
    must_look: bool,
    /// When there was a disturbance within the last while; one more than are often is enough.
    recent: VecDeque<Instant>,
    warned: Option<Instant>,
    /// The end of the last write, and how long it took.
    written: Option<(Instant, Duration)>,
    /// When a write was last begun that was for want of knowledge only.
    unknown: Option<Instant>,
}

impl Repairs {
    /// Takes what has happened, and tells people.
    pub(super) fn disturbed(&mut self, disturbance: Disturbance, now: Instant) {
        match &disturbance {
            Disturbance::Foreign(foreign) => {
                self.recent.push_back(now);
                if self.recent.len() > OFTEN + 1 {
                    self.recent.pop_front();
                }
                self.tell(foreign, now);
            }
            Disturbance::Overrun => self.must_look = true,
        }
        match &mut self.pending {
            Some((pending, _)) => pending.merge(disturbance),
            None => self.pending = Some((disturbance, now)),
        }
    }

    /// Whether it should be asked at once if there is a table. Says so once.
    pub(super) fn must_look(&self) -> bool {
        self.must_look
    }

    /// It is being asked.
    pub(super) fn looking(&mut self) {
        self.must_look = false;
    }

    /// When to write the table anew.
    pub(super) fn due(&self) -> Option<Instant> {
        let (pending, since) = self.pending.as_ref()?;
        let pause = match pending {
            Disturbance::Overrun => {
                return Some(
                    self.unknown
                        .map_or(*since, |last| (last + UNKNOWN).max(*since)),
                );
            }
            _ if !self.is_quarrel(*since) => return Some(*since),
            Disturbance::Foreign(foreign) if foreign.is_gone => Duration::ZERO,
            Disturbance::Foreign(_) => QUARREL,
        };
        let earliest = self.written.map(|(end, took)| end + pause.max(took * REST));
        Some(earliest.map_or(*since, |earliest| earliest.max(*since)))
    }

    /// A write begins, and it is of the whole table if this says so.
    pub(super) fn start(&mut self, now: Instant) -> bool {
        let Some((pending, _)) = self.pending.take() else {
            return false;
        };
        match pending {
            Disturbance::Foreign(foreign) => {
                let part = foreign.part();
                self.under_way = Some(self.under_way.map_or(part, |before| before.min(part)));
            }
            Disturbance::Overrun => {
                info!(
                    "nftables changed faster than could be read; writing table inet netpol anew, lest it is not whole"
                );
                self.unknown = Some(now);
            }
        }
        true
    }

    /// A write has succeeded. Returns what it has put right.
    pub(super) fn succeeded(&mut self, now: Instant, took: Duration) -> Option<Part> {
        self.written = Some((now, took));
        self.under_way.take()
    }

    fn is_quarrel(&self, now: Instant) -> bool {
        let first = self.recent.front();
        self.recent.len() > OFTEN && first.is_some_and(|first| now - *first < A_WHILE)
    }

    fn tell(&mut self, foreign: &Foreign, now: Instant) {
        let (process, pid) = match &foreign.process {
            Some(process) => (process.name.as_str(), process.pid),
            None => ("unknown", 0),
        };
        if self.is_quarrel(now) {
            if self.warned.is_none_or(|warned| now - warned >= A_WHILE) {
                self.warned = Some(now);
                warn!(process, pid, changed = %foreign, "another program changes table inet netpol again and again, more \
                    than {OFTEN} times a minute; it is put right each time, but this is told once a minute. Stop that program");
            }
        } else if foreign.is_gone {
            warn!(
                process,
                pid, "another program has deleted table inet netpol; writing all of it anew"
            );
        } else {
            warn!(process, pid, changed = %foreign, "another program has changed table inet netpol; writing all of it anew");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(part: Part, is_gone: bool) -> Disturbance {
        Disturbance::Foreign(Foreign::of(part, is_gone))
    }

    #[test]
    fn a_repair_is_due_at_once_and_counted_when_done() {
        let (start, took) = (Instant::now(), Duration::from_millis(3));
        let mut repairs = Repairs::default();
        assert_eq!(repairs.due(), None);
        assert!(!repairs.start(start));
        repairs.disturbed(foreign(Part::Element, false), start);
        repairs.disturbed(foreign(Part::Chain, false), start + took);
        assert_eq!(repairs.due(), Some(start));
        assert!(repairs.start(start));
        // What comes after the write was begun is not put right by it.
        repairs.disturbed(foreign(Part::Rule, false), start + took);
        assert_eq!(repairs.succeeded(start + took, took), Some(Part::Chain));
        assert_eq!(repairs.due(), Some(start + took));
        assert!(repairs.start(start + took));
        assert_eq!(repairs.succeeded(start + took, took), Some(Part::Rule));
        assert_eq!(
            (repairs.due(), repairs.succeeded(start, took)),
            (None, None)
        );
    }

    #[test]
    fn in_a_quarrel_repairs_take_their_time_unless_the_table_is_gone() {
        let start = Instant::now();
        let took = Duration::from_millis(2);
        let rows = [(false, 0, 0), (true, 0, 0), (false, 1, 1000), (true, 1, 18)];
        for (is_gone, more, expected) in rows {
            let mut repairs = Repairs::default();
            for _ in 0..OFTEN + more - 1 {
                repairs.disturbed(foreign(Part::Rule, is_gone), start);
                repairs.start(start);
                repairs.succeeded(start, took);
            }
            repairs.disturbed(foreign(Part::Rule, is_gone), start);
            let due = repairs.due().map(|due| (due - start).as_millis());
            assert_eq!(due, Some(expected), "{is_gone} {more}");
            // A minute later it is forgotten.
            repairs.start(start);
            repairs.disturbed(foreign(Part::Rule, is_gone), start + A_WHILE);
            assert_eq!(repairs.due(), Some(start + A_WHILE));
        }
    }

    #[test]
    fn what_is_not_known_is_looked_at_once_and_written_now_and_then() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut repairs = Repairs::default();
        repairs.disturbed(Disturbance::Overrun, start);
        assert!(repairs.must_look());
        repairs.looking();
        assert!(!repairs.must_look());
        assert_eq!(repairs.due(), Some(start));
        assert!(repairs.start(start));
        assert_eq!(repairs.succeeded(start, Duration::ZERO), None);
        repairs.disturbed(Disturbance::Overrun, at(1));
        assert_eq!(repairs.due(), Some(at(10)));
        // What is known does not wait for it.
        repairs.disturbed(foreign(Part::Table, true), at(2));
        assert_eq!(repairs.due(), Some(at(1)));
        assert!(repairs.start(at(2)));
        assert_eq!(repairs.succeeded(at(2), Duration::ZERO), Some(Part::Table));
    }
}
