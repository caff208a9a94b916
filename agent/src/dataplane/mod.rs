//! Where rules go: the kernel's nftables, or memory.

mod disturbance;
mod memory;
pub(crate) mod netlink;
mod nft;
mod node;

use std::future::{Future, ready};
use std::sync::Arc;

use nix::libc;
use policy_compiler::ruleset::{Ruleset, Transaction};

pub use disturbance::{Disturbance, Foreign, Part, Process};
pub use memory::Memory;
pub use netlink::{NOTICES, NetlinkDataplane, NetlinkError, Watcher, expressions, same_attributes};
pub use nft::NftProcess;
pub use node::NodeDataplane;

/// Something that commits transactions atomically: all of one, or nothing.
pub trait Dataplane {
    /// Commits a transaction.
    fn commit(
        &mut self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<(), DataplaneError>>;

    /// Whether there is a table of netpol's at all.
    fn has_table(&mut self) -> impl Future<Output = Result<bool, DataplaneError>>;

    /// Compares what the table holds with what it should hold. Where that cannot be done, any table differs and is to be
    /// replaced.
    fn read(
        &mut self,
        wanted: Arc<Ruleset>,
    ) -> impl Future<Output = Result<Found, DataplaneError>> {
        async move {
            Ok(if self.has_table().await? {
                Found::Differs {
                    repair: Transaction::replace(&wanted),
                    differences: vec!["what the table holds is not known".to_owned()],
                }
            } else {
                Found::Nothing
            })
        }
    }

    /// Whether [`read`](Self::read) compares, so that it may be done without need.
    fn compares(&self) -> bool {
        false
    }

    /// Commits what the last reading found to be needed, but for a replacement of the table. Where it can be told that
    /// another program has changed the table since, it fails and is [overtaken](DataplaneError::is_overtaken).
    fn repair(
        &mut self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<(), DataplaneError>> {
        self.commit(transaction)
    }

    /// Whether nobody else can have changed the table since it was last committed as a whole, or
    /// read and found to be right. Most dataplanes cannot know.
    fn is_as_left(&mut self) -> impl Future<Output = Result<bool, DataplaneError>> {
        ready(Ok(false))
    }

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

impl DataplaneError {
    /// Whether the kernel was asked and does not take what it was given, for whatever reason but the want of rights.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let netlink = |error: &NetlinkError| {
            matches!(
                error,
                NetlinkError::Refused { .. } | NetlinkError::BatchRefused { .. }
            )
        };
        match self {
            Self::Netlink(error) => netlink(error),
            error => matches!(error, Self::Refused { .. }),
        }
    }

    /// Whether another program has changed the table since it was read, so that it must be read again.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Netlink(NetlinkError::Overtaken))
    }

    /// Whether something does not exist that was to be deleted or referred to.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Netlink(NetlinkError::Refused { errno, .. }) => *errno == libc::ENOENT,
            Self::Refused { stderr, .. } => stderr.contains("No such file or directory"),
            _ => false,
        }
    }
}

/// Why a transaction was not committed. Whatever was in the kernel before is still there.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The kernel did not take it, by netlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// There is no `nft` on this machine.
    #[error(
        "there is no `nft` program in {searched}: install the package nftables on the node, or in the image the agent \
         runs in"
    )]
    NotInstalled {
        /// The folders looked in.
        searched: String,
    },
    /// `nft` could not be started.
    #[error("{program} cannot be started: {source}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The kernel does not let this process change nftables.
    #[error(
        "not allowed to change nftables: run as root, or with the capability NET_ADMIN (`nft` said: {stderr})"
    )]
    NotPermitted {
        /// What `nft` wrote.
        stderr: String,
    },
    /// `nft` or the kernel refused the script.
    #[error("nft refused the rules: {stderr}{}", culprit.as_ref().map(|line| format!("\n{line}")).unwrap_or_default())]
    Refused {
        /// What `nft` wrote.
        stderr: String,
        /// The line of the script that `nft` names, with its number, unless `nft` has shown it itself.
        culprit: Option<String>,
    },
    /// `nft` ended without saying why.
    #[error("nft ended without a word ({status}); was it killed, for want of memory perhaps?")]
    Ended {
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// `nft` did not finish; it was killed.
    #[error(
        "nft did not finish within {seconds} s and was killed; is another program holding nftables?"
    )]
    TimedOut {
        /// How long it was waited for.
        seconds: u64,
    },
}
