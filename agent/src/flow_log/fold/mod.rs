//! Folds dropped packets into sightings: the first of a flow is told at once, the others are counted and told once a window.
//!
//! Pods choose whom they send to and from which ports, so everything here is bounded. At most [`FLOWS`] flows are told apart,
//! [`FLOWS_OF_ONE`] (or [fewer](FLOWS_OF_ONE_IN_A_CROWD)) at one drop point, and [`POINTS`] drop points; with the tables' spare room that is
//! [less than](MEMORY) 10 MiB. What exceeds the first two is counted in one record for each drop point
//! ([`Extent::Others`]); what exceeds the third is lost, and counted too. A packet costs one or two look-ups in hash tables,
//! whose keys pods cannot aim at each other (`SipHash`); windows end in the order in which they began, so that nothing is
//! searched.
//!
//! For every history: packets added = firsts + repeats + others told + lost + still folded.

mod dropped;
mod key;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use policy_compiler::ruleset::DropPoint;

use self::dropped::Counted;
pub use self::dropped::Dropped;
use self::key::Key;
pub(in crate::flow_log) use self::memory::table_bytes;
pub use self::memory::{FLOWS, FLOWS_OF_ONE, FLOWS_OF_ONE_IN_A_CROWD, MEMORY, POINTS};
use super::sighting::{Extent, Sighting};

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was the first of its flow, and told.
    Told,
    /// It is counted and will be told with others.
    Folded,
    /// It is only counted as lost: there are too many drop points.
    Lost,
}

/// The flows of which something has been told in this window or the one before.
///
/// Sightings go to a `tell` of the caller's, which says whether it could take them. A refused first packet is counted
/// among the drop point's others; refused counts are kept and offered again.
#[derive(Debug)]
pub struct Fold {
    window: Duration,
    flows: HashMap<Key, Repeats>,
    points: HashMap<DropPoint, Point>,
    /// When the windows of `flows` end, each flow once.
    flows_due: VecDeque<(Instant, Key)>,
    /// When the windows of others end, once for each point that has some.
    others_due: VecDeque<(Instant, DropPoint)>,
}

/// A flow's repeats in this window, if there were any.
type Repeats = Option<Box<Counted>>;

/// One drop point.
#[derive(Debug, Default)]
struct Point {
    flows: usize,
    others: Option<Box<Counted>>,
}

impl Fold {
    /// Nothing folded yet. Repeats are told once in `window`.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            flows: HashMap::new(),
            points: HashMap::new(),
            flows_due: VecDeque::new(),
            others_due: VecDeque::new(),
        }
    }

    /// Takes in a packet, and tells it if it is the first of its flow. `now` is never earlier than before.
    pub fn add(
        &mut self,
        dropped: &Dropped,
        now: Instant,
        mut tell: impl FnMut(Sighting) -> bool,
    ) -> Added {
        let key = Key::of(dropped);
        if let Some(repeats) = self.flows.get_mut(&key) {
            Counted::add(repeats, dropped);
            return Added::Folded;
        }
        let ends = now + self.window;
        let has_room = self.points.len() < POINTS;
        let point = match self.points.entry(dropped.point) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if has_room => entry.insert(Point::default()),
            Entry::Vacant(_) => return Added::Lost,
        };
        let most = match self.flows.len() {
            FLOWS.. => 0,
            flows if flows >= FLOWS / 2 => FLOWS_OF_ONE_IN_A_CROWD,
            _ => FLOWS_OF_ONE,
        };
        let is_told_apart = point.flows < most;
        if is_told_apart && tell(dropped.told_as(Extent::First)) {
            point.flows += 1;
            self.flows.insert(key, None);
            self.flows_due.push_back((ends, key));
            return Added::Told;
        }
        if point.others.is_none() {
            self.others_due.push_back((ends, dropped.point));
        }
        Counted::add(&mut point.others, dropped);
        Added::Folded
    }

    /// Tells what has been counted in windows that are over, and forgets flows without repeats. If `tell` refuses
    /// something it stops there and goes on the next time.
    pub fn expire(&mut self, now: Instant, mut tell: impl FnMut(Sighting) -> bool) {
        while let Some(&(due, key)) = self.flows_due.front()
            && due <= now
        {
            let is_over = match self.flows.get_mut(&key) {
                Some(Some(repeats)) if !tell(repeats.as_repeats()) => return,
                Some(repeats @ Some(_)) => {
                    *repeats = None;
                    false
                }
                Some(None) | None => true,
            };
            self.flows_due.pop_front();
            if is_over {
                self.forget(&key);
            } else {
                self.flows_due.push_back((now + self.window, key));
            }
        }
        while let Some(&(due, at)) = self.others_due.front()
            && due <= now
        {
            if let Some(point) = self.points.get_mut(&at) {
                if let Some(others) = &point.others
                    && !tell(others.as_others())
                {
                    return;
                }
                point.others = None;
                self.forget_point_if_empty(at);
            }
            self.others_due.pop_front();
        }
    }

    /// Tells what has been counted of flows from or to these addresses, and forgets the flows: whoever has an address from
    /// now on is another, whose packets are not repeats of theirs. What `tell` refuses is counted among others.
    pub fn forget_peers(
        &mut self,
        addresses: &HashSet<IpAddr>,
        now: Instant,
        mut tell: impl FnMut(Sighting) -> bool,
    ) {
        let mut forgotten = Vec::new();
        self.flows_due.retain(|(_, key)| {
            let is_of = key.is_of(addresses);
            if is_of {
                forgotten.push(*key);
            }
            !is_of
        });
        let ends = now + self.window;
        for key in forgotten {
            if let Some(repeats) = self.flows.get_mut(&key).and_then(Option::take)
                && !tell(repeats.as_repeats())
                && let Some(point) = self.points.get_mut(&key.point())
            {
                match &mut point.others {
                    Some(others) => others.merge(&repeats),
                    none => {
                        *none = Some(repeats);
                        self.others_due.push_back((ends, key.point()));
                    }
                }
            }
            self.forget(&key);
        }
    }

    /// When [`Fold::expire`] has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let flows = self.flows_due.front().map(|(due, _)| *due);
        let others = self.others_due.front().map(|(due, _)| *due);
        flows.into_iter().chain(others).min()
    }

    /// Tells everything that is still counted, in the order in which windows began, and forgets all. Returns the
    /// packets that `tell` refused.
    pub fn drain(&mut self, mut tell: impl FnMut(Sighting) -> bool) -> u64 {
        let mut refused = 0;
        for (_, key) in std::mem::take(&mut self.flows_due) {
            if let Some(repeats) = self.flows.remove(&key).flatten()
                && !tell(repeats.as_repeats())
            {
                refused += repeats.count;
            }
        }
        for (_, at) in std::mem::take(&mut self.others_due) {
            let point = self.points.remove(&at);
            if let Some(others) = point.and_then(|point| point.others)
                && !tell(others.as_others())
            {
                refused += others.count;
            }
        }
        self.flows.clear();
        self.points.clear();
        refused
    }

    fn forget(&mut self, key: &Key) {
        self.flows.remove(key);
        if let Some(point) = self.points.get_mut(&key.point()) {
            point.flows = point.flows.saturating_sub(1);
            self.forget_point_if_empty(key.point());
        }
    }

    fn forget_point_if_empty(&mut self, at: DropPoint) {
        let is_empty = |point: &Point| point.flows == 0 && point.others.is_none();
        if self.points.get(&at).is_some_and(is_empty) {
            self.points.remove(&at);
        }
    }
}
