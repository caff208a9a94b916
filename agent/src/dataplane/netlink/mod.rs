//! The kernel's nftables, spoken to by netlink.
//!
//! A transaction is one batch: one datagram to the kernel, which commits all of it or nothing and has done so when the
//! call returns. What is encoded is what `nft -f` makes of the transaction's text, so `nft list` shows one as the other.

mod answer;
mod attribute;
mod batch;
mod command;
mod error;
mod expression;
mod operation;
mod rule;
mod set;
mod transport;
mod userdata;

use std::sync::{Arc, Mutex, PoisonError};

use policy_compiler::ruleset::Transaction;
use tokio::task::spawn_blocking;

pub use attribute::same_attributes;
pub use error::NetlinkError;

use super::{Dataplane, DataplaneError};
use batch::{Batch, Encoded};
use error::reason;
use transport::{Report, Transport};

/// Bytes of a batch up to which the event loop waits for the kernel itself: that takes less than a millisecond, and
/// another thread some tens of microseconds more. Larger ones are sent by another thread.
const INLINE: usize = 64 << 10;

/// Commits each transaction as one netlink batch, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct NetlinkDataplane {
    /// A commit that is not waited for any more still holds it, and the next one waits.
    transport: Arc<Mutex<Transport>>,
}

impl NetlinkDataplane {
    /// Opens a socket; changes nothing.
    pub fn open() -> Result<Self, NetlinkError> {
        let transport = Arc::new(Mutex::new(Transport::open()?));
        Ok(Self { transport })
    }

    async fn send(&self, bytes: Vec<u8>, last: u32) -> (Vec<u8>, Result<Report, NetlinkError>) {
        let transport = Arc::clone(&self.transport);
        let commit = move |bytes: &[u8]| {
            let mut transport = transport.lock().unwrap_or_else(PoisonError::into_inner);
            transport.commit(bytes, last)
        };
        if bytes.len() <= INLINE {
            let result = commit(&bytes);
            return (bytes, result);
        }
        let elsewhere = spawn_blocking(move || {
            let result = commit(&bytes);
            (bytes, result)
        });
        let is_unchanged = false;
        let unknown = (Vec::new(), Err(NetlinkError::NoAnswer { is_unchanged }));
        elsewhere.await.unwrap_or(unknown)
    }
}

impl Dataplane for NetlinkDataplane {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::encode(transaction)?;
        let (bytes, result) = self
            .send(std::mem::take(&mut batch.bytes), batch.last)
            .await;
        batch.bytes = bytes;
        let report = result?;
        Ok(verdict(&batch, &report)?)
    }

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        let mut transport = self
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(transport.has_table()?)
    }
}

fn verdict(batch: &Encoded<'_>, report: &Report) -> Result<(), NetlinkError> {
    let Some((number, answer)) = &report.refused else {
        return Ok(());
    };
    Err(match batch.describe(*number, answer.offset) {
        Some(command) => NetlinkError::Refused {
            command,
            reason: reason(answer.errno, answer.text.as_deref()),
            errno: answer.errno,
            others: report.others,
        },
        None => NetlinkError::BatchRefused {
            commands: batch.count(),
            source: std::io::Error::from_raw_os_error(answer.errno),
        },
    })
}
