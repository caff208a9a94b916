//! Lines that were written a little late, put where they belong.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::source::Entry;

/// How much later than a line an older one may follow it in the same log. Repeats are told at the end of their window,
/// 10 s unless the agent is told otherwise, by the time of the last of them.
const LATENESS: SignedDuration = SignedDuration::from_secs(60);
/// Lines that are held at most, some 2 KiB each.
const HELD: usize = 16 << 10;

/// Holds lines back until nothing older can come. Lines of one time stay in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// By time and by when they came; lines that say no time before all others.
    held: BTreeMap<(Option<Timestamp>, u64), Entry>,
    taken: u64,
}

impl Order {
    pub(super) fn take(&mut self, entry: Entry) {
        self.held.insert((entry.record.time(), self.taken), entry);
        self.taken += 1;
    }

    /// The earliest, if nothing older can come.
    pub(super) fn next(&mut self) -> Option<Entry> {
        let (earliest, _) = self.held.first_key_value()?.0;
        let (latest, _) = self.held.last_key_value()?.0;
        let is_due = match (earliest, latest) {
            (Some(earliest), Some(latest)) => latest.duration_since(*earliest) > LATENESS,
            _ => true,
        };
        (is_due || self.held.len() > HELD).then(|| self.rest())?
    }

    /// The earliest; nothing else comes.
    pub(super) fn rest(&mut self) -> Option<Entry> {
        self.held.pop_first().map(|(_, entry)| entry)
    }
}
