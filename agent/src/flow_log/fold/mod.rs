//! Folds dropped packets into sightings: the first of a flow is told at once, the others are counted and told once a window.
//!
//! Pods choose whom they send to and from which ports, so everything here is bounded. At most [`FLOWS`] flows are told apart,
//! [`FLOWS_OF_ONE`] at one drop point, and [`POINTS`] drop points; with the tables' spare room that is
//! [less than](MEMORY) 16 MiB. What exceeds the first two is counted in one record for each drop point
//! ([`Extent::Others`]); what exceeds the third is lost, and counted too. A packet costs one or two look-ups in hash tables,
//! whose keys pods cannot aim at each other (`SipHash`); windows end in the order in which they began, so that nothing is
//! searched.
//!
//! For every history: packets added = firsts + repeats + others told + lost + still folded.

mod key;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use policy_compiler::ruleset::DropPoint;

use self::key::Key;
use super::packet::Packet;
use super::sighting::{Extent, Sighting};

/// The most flows told apart at a time.
pub const FLOWS: usize = 16_384;

/// The most flows told apart at one drop point, so that one pod does not take all from the others.
pub const FLOWS_OF_ONE: usize = 256;

/// The most drop points at a time.
pub const POINTS: usize = 4_096;

/// Bytes that a fold takes at most.
pub const MEMORY: usize = table_bytes::<Key, Repeats>(2 * FLOWS)
    + table_bytes::<DropPoint, Point>(2 * POINTS)
    + queue_bytes::<Key>(FLOWS)
    + queue_bytes::<DropPoint>(POINTS)
    + (FLOWS + POINTS) * size_of::<Counted>();

/// The standard library's hash tables fill 7 of 8 places, have a power of two of them, and a byte of their own for each.
/// Entries that come and go make a table grow until it has room for twice as many.
const fn table_bytes<K, V>(capacity: usize) -> usize {
    (capacity * 8 / 7).next_power_of_two() * (size_of::<(K, V)>() + 1)
}

const fn queue_bytes<K>(entries: usize) -> usize {
    entries.next_power_of_two() * size_of::<(Instant, K)>()
}

/// One dropped packet as the kernel told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Where.
    pub point: DropPoint,
    /// What could be read of it.
    pub packet: Option<Packet>,
    /// When, by the clock on the wall.
    pub time: SystemTime,
    /// Index of the interface it came in by.
    pub input: Option<u32>,
    /// Index of the interface it would have left by.
    pub output: Option<u32>,
}

impl Dropped {
    fn told_as(self, extent: Extent) -> Sighting {
        Sighting {
            point: self.point,
            packet: self.packet,
            time: self.time,
            input: self.input,
            output: self.output,
            extent,
        }
    }
}

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
    /// The latest time given, so that the queues stay in order.
    now: Option<Instant>,
}

/// A flow's repeats in this window, if there were any.
type Repeats = Option<Box<Counted>>;

/// One drop point.
#[derive(Debug, Default)]
struct Point {
    flows: usize,
    others: Option<Box<Counted>>,
}

#[derive(Debug)]
struct Counted {
    count: u64,
    since: SystemTime,
    last: Dropped,
}

impl Counted {
    fn add(counted: &mut Option<Box<Self>>, dropped: &Dropped) {
        match counted {
            Some(counted) => {
                counted.count += 1;
                counted.last = *dropped;
            }
            None => {
                *counted = Some(Box::new(Self {
                    count: 1,
                    since: dropped.time,
                    last: *dropped,
                }));
            }
        }
    }

    fn as_repeats(&self) -> Sighting {
        let (count, since) = (self.count, self.since);
        self.last.told_as(Extent::Repeats { count, since })
    }

    fn as_others(&self) -> Sighting {
        let (count, since) = (self.count, self.since);
        self.last.told_as(Extent::Others { count, since })
    }
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
            now: None,
        }
    }

    /// Takes in a packet, and tells it if it is the first of its flow.
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
        let ends = self.clock(now) + self.window;
        let has_room = self.points.len() < POINTS;
        let point = match self.points.entry(dropped.point) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if has_room => entry.insert(Point::default()),
            Entry::Vacant(_) => return Added::Lost,
        };
        let is_told_apart = point.flows < FLOWS_OF_ONE && self.flows.len() < FLOWS;
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
        let now = self.clock(now);
        while let Some(&(due, key)) = self.flows_due.front()
            && due <= now
        {
            let repeats = self.flows.get_mut(&key);
            match repeats {
                Some(Some(counted)) if !tell(counted.as_repeats()) => return,
                Some(repeats @ Some(_)) => {
                    *repeats = None;
                    self.flows_due.push_back((now + self.window, key));
                }
                Some(None) | None => self.forget(&key),
            }
            self.flows_due.pop_front();
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

    /// `now`, but never earlier than before.
    fn clock(&mut self, now: Instant) -> Instant {
        let latest = self.now.map_or(now, |before| before.max(now));
        self.now = Some(latest);
        latest
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
