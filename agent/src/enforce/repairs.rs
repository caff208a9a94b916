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

/// Time between repairs where another agent writes the table as well: one from before the lock, or where the kernel has none.
/// Mostly they want the same, and one is about to end.
const AGENTS: Duration = Duration::from_secs(5);

/// Where all of nftables changes without end, the table is compared only so often for want of knowledge.
const UNKNOWN: Duration = Duration::from_secs(10);

/// And for so many times as long as a write takes it is not, or for a minute: a large table may itself be more than can be
/// read in time.
const LONG_REST: u32 = 99;

/// Disturbances that wait, and those of late.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// What no write that was begun later has put right, and since when.
    pending: Option<(Disturbance, Instant)>,
    /// What the write puts right that is under way, or that failed.
    under_way: Option<Part>,
    /// Something may have happened: it must be asked whether that can be, or is being asked.
    must_look: bool,
    is_looking: bool,
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
            Disturbance::Foreign(foreign) => self.note(foreign, now),
            Disturbance::Overrun => {
                self.must_look = true;
                return;
            }
        }
        self.add(disturbance, now);
    }

    /// Counts what others have done, and tells people.
    pub(super) fn note(&mut self, foreign: &Foreign, now: Instant) {
        self.recent.push_back(now);
        if self.recent.len() > OFTEN + 1 {
            self.recent.pop_front();
        }
        self.tell(foreign, now);
    }

    fn add(&mut self, disturbance: Disturbance, now: Instant) {
        match &mut self.pending {
            Some((pending, _)) => pending.merge(disturbance),
            None => self.pending = Some((disturbance, now)),
        }
    }

    /// Whether the kernel should be asked at once what there is of the table.
    pub(super) fn must_look(&self) -> bool {
        self.must_look
    }

    /// It is being asked.
    pub(super) fn look(&mut self) {
        self.is_looking |= std::mem::take(&mut self.must_look);
    }

    /// It has been asked, and said whether the table may have been changed.
    pub(super) fn seen(&mut self, may_have_changed: bool, now: Instant) {
        if std::mem::take(&mut self.is_looking) && may_have_changed {
            self.add(Disturbance::Overrun, now);
        }
    }

    /// When to write the table anew.
    pub(super) fn due(&self) -> Option<Instant> {
        let (pending, since) = self.pending.as_ref()?;
        let pause = match pending {
            Disturbance::Overrun => {
                let took = self.written.map_or(Duration::ZERO, |(_, took)| took);
                let earliest = self
                    .unknown
                    .map(|last| last + (took * LONG_REST).clamp(UNKNOWN, A_WHILE));
                return Some(earliest.map_or(*since, |earliest| earliest.max(*since)));
            }
            Disturbance::Foreign(foreign) if !foreign.is_gone && foreign.is_agents() => AGENTS,
            _ if !self.is_quarrel(*since) => return Some(*since),
            Disturbance::Foreign(foreign) if foreign.is_gone => Duration::ZERO,
            Disturbance::Foreign(_) => QUARREL,
        };
        let earliest = self.written.map(|(end, took)| end + pause.max(took * REST));
        Some(earliest.map_or(*since, |earliest| earliest.max(*since)))
    }

    /// A write begins, of the whole table or not. Says whether it must be of all of it.
    pub(super) fn start(&mut self, now: Instant, is_whole: bool) -> bool {
        // Changes may come more often than a large table can be compared for want of knowledge.
        let is_unknown = matches!(self.pending, Some((Disturbance::Overrun, _)));
        if is_unknown && !is_whole && self.due().is_some_and(|due| due > now) {
            return false;
        }
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
                    "nftables changed faster than could be read; comparing table inet netpol, lest it is not whole"
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

    /// Whether another program does not leave off. Then nothing is told of each repair.
    pub(super) fn is_quarrel(&self, now: Instant) -> bool {
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
                pid, "another program has deleted table inet netpol; writing it anew"
            );
        } else if foreign.is_agents() {
            warn!(pid, changed = %foreign, "another agent writes table inet netpol; only one may run on a node");
        } else {
            warn!(process, pid, changed = %foreign, "another program has changed table inet netpol; putting it right");
        }
    }
}

#[cfg(test)]
mod tests;
