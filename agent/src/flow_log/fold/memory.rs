//! How much is kept, and what memory that takes.

use std::time::Instant;

use policy_compiler::ruleset::DropPoint;

use super::dropped::Counted;
use super::key::Key;
use super::{Point, Repeats};

/// The most flows told apart at a time.
pub const FLOWS: usize = 16_384;

/// The most flows told apart at one drop point, so that one pod does not take all from the others.
pub const FLOWS_OF_ONE: usize = 256;

/// The same once half of [`FLOWS`] are taken: some pods' floods must not keep those of a node's other pods from being told
/// apart.
pub const FLOWS_OF_ONE_IN_A_CROWD: usize = 16;

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
pub(in crate::flow_log) const fn table_bytes<K, V>(capacity: usize) -> usize {
    (capacity * 8 / 7).next_power_of_two() * (size_of::<(K, V)>() + 1)
}

pub(super) const fn queue_bytes<K>(entries: usize) -> usize {
    entries.next_power_of_two() * size_of::<(Instant, K)>()
}
