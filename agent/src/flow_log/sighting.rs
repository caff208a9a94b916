//! What the kernel's side of the log tells of dropped packets: the first of a flow, and how many followed.

use std::time::SystemTime;

use policy_compiler::ruleset::DropPoint;

use super::packet::Packet;

/// Dropped packets that are told of in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where they were dropped.
    pub point: DropPoint,
    /// The last of them; `None` if it could not be read.
    pub packet: Option<Packet>,
    /// When the last of them was dropped.
    pub time: SystemTime,
    /// Index of the interface it came in by; the port of the bridge if it came by one.
    pub input: Option<u32>,
    /// Index of the interface it would have left by; the port of the bridge if it would have left by one.
    pub output: Option<u32>,
    /// How many they are.
    pub extent: Extent,
}

/// How much a sighting stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One packet, the first of its flow for some time.
    First,
    /// Further packets of a flow whose first has been told.
    Repeats {
        /// How many, at least one.
        count: u64,
        /// When the first of these was dropped.
        since: SystemTime,
    },
    /// A connection that was cut; no packet of it has been dropped yet.
    Connection,
    /// Packets of so many flows at one drop that they are not told apart any more; the packet is one of them.
    Others {
        /// How many, at least one.
        count: u64,
        /// When the first of these was dropped.
        since: SystemTime,
    },
}
