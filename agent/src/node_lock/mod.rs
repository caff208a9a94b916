//! One agent a node: whoever holds the lock enforces in this network namespace.
//!
//! The lock is an NFLOG group that no rule logs to. The kernel gives a group to one socket of a network namespace, only with
//! `CAP_NET_ADMIN`, so that no ordinary pod on the host network can keep the agent from its work, and takes it back from a
//! process that ends, however it ends. A table of nftables that has an owner would do that, too, but only since Linux 5.12,
//! and it would stand in everybody's listings.

mod holder;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::flow_log::kernel::NflogError;
use crate::flow_log::kernel::nflog::{Nflog, NflogSettings};
pub use holder::Holder;

/// The group that is the lock.
pub const GROUP: u16 = 9807;

/// How long an agent waits for its predecessor to end. What it does at its end, telling the last drops, takes up to some
/// seconds.
pub const GRACE: Duration = Duration::from_secs(10);

/// How often it tries meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// The right to write netpol's table in this network namespace; given back when dropped.
#[derive(Debug)]
pub struct NodeLock {
    _group: Nflog,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it: an agent.
    #[error("{holder} holds NFLOG group {GROUP}, as only a node's agent does")]
    Held {
        /// Which.
        holder: Holder,
    },
    /// The kernel has none to give, or not to this process.
    #[error(transparent)]
    Unavailable(#[from] NflogError),
}

/// The node has its agent already.
#[derive(Debug, thiserror::Error)]
#[error(
    "another agent enforces policy on this node: {holder} holds NFLOG group {GROUP}, which only one agent can, and did \
     not end within {} s. Stop one of the two; perhaps a DaemonSet runs one, and the node another as a service",
    GRACE.as_secs()
)]
pub struct TakenError {
    /// Which process that is.
    pub holder: Holder,
}

impl NodeLock {
    /// Takes the lock of the network namespace that this thread is in.
    pub fn take() -> Result<Self, LockError> {
        Self::try_take()?.ok_or_else(|| LockError::Held {
            holder: Holder::of(GROUP),
        })
    }

    /// Who holds the lock of the network namespace that this thread is in, if anybody does. Takes nothing.
    pub fn holder() -> Option<Holder> {
        Some(Holder::of(GROUP)).filter(|holder| holder.port.is_some())
    }

    fn try_take() -> Result<Option<Self>, NflogError> {
        // Should anybody log to this group, next to nothing of it waits in the kernel.
        let settings = NflogSettings {
            group: GROUP,
            snaplen: 1,
            receive_buffer: 0,
        };
        match Nflog::open(&settings) {
            Ok(group) => Ok(Some(Self { _group: group })),
            Err(NflogError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the lock until the kernel has ended this process: a commit that nobody waits for any more is over by then. What
    /// a process opens first is closed last, so the next agent finds this one's addresses and sockets free.
    fn keep(self) {
        std::mem::forget(self);
    }
}

/// Makes this process the node's agent until it ends. An agent that is about to end is waited for.
///
/// A kernel without NFLOG has no lock: agents go without.
pub async fn claim() -> Result<(), TakenError> {
    let deadline = Instant::now() + GRACE;
    let mut is_told = false;
    loop {
        match NodeLock::try_take() {
            Ok(Some(lock)) => {
                lock.keep();
                return Ok(());
            }
            Ok(None) if Instant::now() >= deadline => {
                let holder = Holder::of(GROUP);
                return Err(TakenError { holder });
            }
            Ok(None) => {
                if !std::mem::replace(&mut is_told, true) {
                    let holder = Holder::of(GROUP);
                    info!(%holder, "another agent holds this node; waiting {} s for it to end", GRACE.as_secs());
                }
                sleep(POLL).await;
            }
            // It may not change nftables either, which is said in better words when that is tried.
            Err(NflogError::NotPermitted { .. }) => return Ok(()),
            Err(error) => {
                warn!(%error, "if another agent runs on this node, that is not noticed");
                return Ok(());
            }
        }
    }
}
