//! Where rules go: the kernel's nftables, or memory.

mod disturbance;
mod memory;
pub(crate) mod netlink;

use std::future::Future;
use std::sync::Arc;

use policy_compiler::ruleset::{Ruleset, Transaction};

pub use disturbance::{Disturbance, Foreign, Part, Process};
pub use memory::Memory;
pub use netlink::{NOTICES, NetlinkDataplane, NetlinkError, Watcher, expressions, same_attributes};

/// Something that commits transactions atomically: all of one, or nothing.
pub trait Dataplane {
    /// Commits a transaction.
    fn commit(
        &mut self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<(), NetlinkError>>;

    /// Whether there is a table of netpol's at all.
    fn has_table(&mut self) -> impl Future<Output = Result<bool, NetlinkError>>;

    /// Compares what the table holds with what it should hold.
    fn read(&mut self, wanted: Arc<Ruleset>) -> impl Future<Output = Result<Found, NetlinkError>>;

    /// Commits what the last reading found to be needed, but for a replacement of the table. Where it can be told that
    /// another program has changed the table since, it fails and is [overtaken](NetlinkError::is_overtaken).
    fn repair(
        &mut self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<(), NetlinkError>> {
        self.commit(transaction)
    }

    /// Whether nobody else can have changed the table since it was last committed as a whole, or
    /// read and found to be right.
    fn is_as_left(&mut self) -> impl Future<Output = Result<bool, NetlinkError>>;

    /// Bytes of all transactions so far, as they were handed on, whatever became of them.
    fn bytes_sent(&self) -> u64 {
        0
    }
}

/// What the table was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no table.
    Nothing,
    /// Exactly what it should.
    Same,
    /// Something else.
    Differs {
        /// What makes it what it should be. It changes only what differs, or replaces the table where that cannot be.
        repair: Transaction,
        /// What differs, in words for people: as much as they may want to read.
        differences: Vec<String>,
    },
}
