//! The kernel's nftables, spoken to by netlink.
//!
//! A transaction is one batch: one datagram to the kernel, which commits all of it or nothing and has done so when the
//! call returns. What is encoded is what `nft -f` makes of the transaction's text, so `nft list` shows one as the other.

mod batch;
mod chain;
mod command;
mod ear;
mod error;
mod expression;
mod header;
mod key;
pub(crate) mod numbers;
mod operation;
pub(crate) mod ports;
mod read;
mod rule;
mod same;
mod set;
mod transport;
mod userdata;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use policy_compiler::model::Direction;
use policy_compiler::ruleset::{
    DropLog, DropOf, DropPoint, Ident, Operation, Rule, Ruleset, Transaction, Verdict,
};
use tokio::task::spawn_blocking;

pub use error::NetlinkError;
pub use same::same_attributes;
pub use watch::{NOTICES, Watcher};

use super::{Dataplane, Found};
use crate::netlink::written;
use batch::{Batch, Encoded};
use error::reason;
use read::Reading;
use rule::{Lists, write_expressions};
use transport::{Report, Transport};

/// Commits each transaction as one netlink batch, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct NetlinkDataplane {
    /// A commit that is not waited for any more still holds it, and the next one waits.
    transport: Arc<Mutex<Transport>>,
    /// The number of its socket.
    port: u32,
    /// The number of the last commit to nftables, if there was none but this dataplane's since the table was whole.
    left: Option<u32>,
    /// Of all batches that were to be committed.
    bytes_sent: u64,
}

impl NetlinkDataplane {
    /// Opens a socket; changes nothing.
    pub fn open() -> Result<Self, NetlinkError> {
        let transport = Transport::open()?;
        Ok(Self {
            port: transport.port(),
            transport: Arc::new(Mutex::new(transport)),
            left: None,
            bytes_sent: 0,
        })
    }

    /// The number that the kernel knows the socket by, in this network namespace. Notifications of its commits bear it.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Whether the kernel takes rules that log to `group`. It is given one, in a batch that it never commits.
    pub async fn check_log(&self, group: u16) -> Result<(), NetlinkError> {
        let chain = Ident::fixed("check");
        let point = DropPoint {
            direction: Direction::Ingress,
            of: DropOf::Contested,
        };
        let log = DropLog {
            group,
            ..DropLog::default()
        };
        let transaction = Transaction::new(vec![
            Operation::AddTable,
            Operation::AddChain(chain.clone(), None),
            Operation::AddRule(chain, Rule::new(vec![], Verdict::Log(point, log))),
        ]);
        self.try_out(&transaction).await
    }

    /// Whether the kernel takes a transaction, which it looks at and does not commit.
    pub async fn try_out(&self, transaction: &Transaction) -> Result<(), NetlinkError> {
        let mut batch = Batch::encode(transaction)?;
        batch.only_try();
        let commit =
            |transport: &mut Transport, bytes: &mut [u8], last| transport.commit(bytes, last);
        self.send(batch, commit).await?;
        Ok(())
    }

    /// Sends a batch and says what became of it, and the number of the last commit before and after.
    async fn send(
        &self,
        mut batch: Encoded<'_>,
        commit: impl FnOnce(&mut Transport, &mut [u8], u32) -> Result<Report, NetlinkError>
        + Send
        + 'static,
    ) -> Result<(Option<u32>, Option<u32>), NetlinkError> {
        let (mut bytes, last) = (std::mem::take(&mut batch.bytes), batch.last);
        let work = move |transport: &mut Transport| {
            let report = commit(transport, &mut bytes, last)?;
            Ok((bytes, report))
        };
        let (bytes, report) = self.with_transport(work).await?;
        batch.bytes = bytes;
        verdict(&batch, &report)?;
        Ok(report.generations)
    }

    /// The same for what is to change something.
    async fn send_counted(
        &mut self,
        batch: Encoded<'_>,
        commit: impl FnOnce(&mut Transport, &mut [u8], u32) -> Result<Report, NetlinkError>
        + Send
        + 'static,
    ) -> Result<(Option<u32>, Option<u32>), NetlinkError> {
        let bytes = batch.bytes.len() as u64;
        let sent = self.send(batch, commit).await;
        let kept_back = matches!(
            sent,
            Err(NetlinkError::TooLarge { .. } | NetlinkError::Overtaken)
        );
        if !kept_back {
            self.bytes_sent += bytes;
        }
        sent
    }

    /// Does something with the socket on a thread that may wait. Small commits take no longer than waking that thread, but
    /// any commit waits while another program's is under way, and that may take seconds.
    async fn with_transport<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transport) -> Result<T, NetlinkError> + Send + 'static,
    ) -> Result<T, NetlinkError> {
        let transport = Arc::clone(&self.transport);
        let task = spawn_blocking(move || {
            let mut transport = transport.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut transport)
        });
        let is_unchanged = false;
        let unknown = Err(NetlinkError::NoAnswer { is_unchanged });
        task.await.unwrap_or(unknown)
    }
}

impl Dataplane for NetlinkDataplane {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        let batch = Batch::encode(transaction)?;
        if batch.count() == 0 {
            return Ok(());
        }
        let left = self.left.take();
        let commit =
            |transport: &mut Transport, bytes: &mut [u8], last| transport.commit(bytes, last);
        let (before, after) = self.send_counted(batch, commit).await?;
        // What others did before is of no matter if it is deleted.
        let is_whole = matches!(
            transaction.operations(),
            [.., Operation::DeleteTable, Operation::Load(_)]
        );
        let is_known = is_whole || (left.is_some() && left == before);
        self.left = after.filter(|_| is_known && is_next(before, after));
        Ok(())
    }

    async fn has_table(&mut self) -> Result<bool, NetlinkError> {
        self.with_transport(Transport::has_table).await
    }

    async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, NetlinkError> {
        self.left = None;
        let compare = move |transport: &mut Transport| {
            let Some(Reading { image, generation }) = read::read(transport)? else {
                return Ok((Found::Nothing, None));
            };
            let found = read::compare(&image, &wanted);
            if found == Found::Same {
                transport.end_reading();
                return Ok((found, generation));
            }
            Ok((found, None))
        };
        let found;
        (found, self.left) = self.with_transport(compare).await?;
        Ok(found)
    }

    async fn repair(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        self.left = None;
        let batch = Batch::encode(transaction)?;
        let (before, after) = self.send_counted(batch, Transport::repair).await?;
        self.left = after.filter(|_| is_next(before, after));
        Ok(())
    }

    async fn is_as_left(&mut self) -> Result<bool, NetlinkError> {
        let Some(left) = self.left else {
            return Ok(false);
        };
        let generation = self.with_transport(Transport::generation).await?;
        Ok(generation == Some(left))
    }

    fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }
}

/// The expressions of a rule, as they are sent and as the kernel dumps them but for the names of sets that hold a list of
/// ports: see [`same_attributes`].
pub fn expressions(rule: &Rule) -> Option<Vec<u8>> {
    written(|w| write_expressions(w, rule, Lists::Numbered(1)))
}

/// Whether nobody else has committed between these.
fn is_next(before: Option<u32>, after: Option<u32>) -> bool {
    before.is_some_and(|before| after == Some(before.wrapping_add(1)))
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
