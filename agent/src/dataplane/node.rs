//! The node's kernel, by either way there is to it.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, unfold};
use policy_compiler::ruleset::{Ruleset, Transaction};

use super::{
    Dataplane, DataplaneError, Disturbance, Found, NetlinkDataplane, NetlinkError, NftProcess,
    Watcher,
};

/// The kernel's nftables, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub enum NodeDataplane {
    /// Spoken to directly.
    Netlink(NetlinkDataplane),
    /// By the `nft` program.
    Nft(NftProcess),
}

impl NodeDataplane {
    /// Whether this process may change nftables at all; changes nothing.
    pub async fn check(&mut self) -> Result<(), DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.has_table().await.map(drop),
            Self::Nft(nft) => nft.check().await,
        }
    }

    /// Whether the kernel takes rules that log to `group`; changes nothing. Some have NFLOG but not nftables' `log`, and
    /// would refuse every table that has one.
    pub async fn check_log(&self, group: u16) -> Result<(), DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.check_log(group).await,
            Self::Nft(nft) => nft.check_log(group).await,
        }
    }

    /// What other programs do to the table from now on. `None` with the `nft` program, whose commits look like theirs.
    pub fn watch(&self) -> Option<Result<BoxStream<'static, Disturbance>, NetlinkError>> {
        let Self::Netlink(netlink) = self else {
            return None;
        };
        Some(Watcher::open(netlink).map(|watcher| {
            unfold(watcher, async |mut watcher| {
                Some((watcher.next().await, watcher))
            })
            .boxed()
        }))
    }
}

impl Dataplane for NodeDataplane {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.commit(transaction).await,
            Self::Nft(nft) => nft.commit(transaction).await,
        }
    }

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.has_table().await,
            Self::Nft(nft) => nft.has_table().await,
        }
    }

    fn compares(&self) -> bool {
        match self {
            Self::Netlink(netlink) => netlink.compares(),
            Self::Nft(nft) => nft.compares(),
        }
    }

    async fn repair(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.repair(transaction).await,
            Self::Nft(nft) => nft.repair(transaction).await,
        }
    }

    async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.read(wanted).await,
            Self::Nft(nft) => nft.read(wanted).await,
        }
    }

    async fn is_as_left(&mut self) -> Result<bool, DataplaneError> {
        match self {
            Self::Netlink(netlink) => netlink.is_as_left().await,
            Self::Nft(nft) => nft.is_as_left().await,
        }
    }

    fn bytes_sent(&self) -> u64 {
        match self {
            Self::Netlink(netlink) => netlink.bytes_sent(),
            Self::Nft(nft) => nft.bytes_sent(),
        }
    }
}
