//! Dropped packets, one and many.

use std::time::SystemTime;

use policy_compiler::ruleset::DropPoint;

use crate::flow_log::packet::Packet;
use crate::flow_log::sighting::{Extent, Sighting};

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
    pub(super) fn told_as(self, extent: Extent) -> Sighting {
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

/// Some of them, of which the last is known.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) count: u64,
    since: SystemTime,
    last: Dropped,
}

impl Counted {
    pub(super) fn add(counted: &mut Option<Box<Self>>, dropped: &Dropped) {
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

    /// Adds what was counted apart; the later packet stands for both.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.since = self.since.min(other.since);
        if other.last.time > self.last.time {
            self.last = other.last;
        }
    }

    pub(super) fn as_repeats(&self) -> Sighting {
        let (count, since) = (self.count, self.since);
        self.last.told_as(Extent::Repeats { count, since })
    }

    pub(super) fn as_others(&self) -> Sighting {
        let (count, since) = (self.count, self.since);
        self.last.told_as(Extent::Others { count, since })
    }
}
