//! Notices changes that other programs make to netpol's table.
//!
//! The kernel tells of every commit to nftables, of whatever table and program: one notification for each object and
//! element, and one behind them with the process. A commit bears the number of the socket that it came by.

mod notice;

use std::io;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::ports::{BRIDGE, PortTable};
use super::{NetlinkDataplane, NetlinkError};
use crate::dataplane::Disturbance;
use crate::netlink::{Channel, INET, Received};
pub(super) use notice::Notices;

/// `NFNLGRP_NFTABLES`
pub(super) const GROUP: u32 = 7;

/// Bytes that notifications may take before they are read: some hundred thousand elements. It is a bound, no memory.
pub const NOTICES: usize = 8 << 20;

/// Bytes of a datagram at most. The kernel makes them as large as a page of memory has, which may be 64 KiB.
pub(super) const DATAGRAM: usize = 64 << 10;

/// A program that edits a table often does so by several commits. What comes so soon after the first is told with it.
const TOGETHER: Duration = Duration::from_millis(5);

/// A socket that fails for no known reason is not asked again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens to nftables in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watcher {
    channel: AsyncFd<Channel>,
    notices: Notices,
    /// When to tell what there is.
    due: Option<Instant>,
}

impl Watcher {
    /// Listens to all commits but `own`'s. Must be called in a tokio runtime.
    pub fn open(own: &NetlinkDataplane) -> Result<Self, NetlinkError> {
        Self::with_buffer(own, NOTICES)
    }

    /// As [`Watcher::open`], with so many bytes for what is not read yet.
    pub fn with_buffer(own: &NetlinkDataplane, bytes: usize) -> Result<Self, NetlinkError> {
        Self::listen(Notices::new(INET, own.port()), bytes)
    }

    /// The same for table `bridge netpol`.
    pub(crate) fn of_ports(own: &PortTable) -> Result<Self, NetlinkError> {
        Self::listen(Notices::new(BRIDGE, own.port()), NOTICES)
    }

    fn listen(notices: Notices, bytes: usize) -> Result<Self, NetlinkError> {
        let open = || {
            let mut channel = Channel::open(DATAGRAM)?;
            channel.reserve_receiving(bytes)?;
            channel.join(GROUP)?;
            channel.registered()
        };
        let channel =
            open().map_err(|source| NetlinkError::socket("listening to nftables", source))?;
        Ok(Self {
            channel,
            notices,
            due: None,
        })
    }

    /// The next change. Nothing is lost if this is dropped and called again.
    pub async fn next(&mut self) -> Disturbance {
        loop {
            if self.due.is_none() && self.notices.has_some() {
                self.due = Some(Instant::now() + TOGETHER);
            }
            let due = self.due;
            let read = tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.due = None;
                    match self.notices.tell() {
                        Some(disturbance) => return disturbance,
                        None => continue,
                    }
                }
                read = self.read() => read,
            };
            if let Err(error) = read {
                warn!(%error, "cannot read what other programs do to nftables");
                self.notices.overrun();
                sleep(PAUSE).await;
            }
        }
    }

    /// Takes one datagram.
    async fn read(&mut self) -> io::Result<()> {
        let mut ready = self.channel.readable_mut().await?;
        let read = ready.try_io(|channel| {
            match channel.get_mut().receive()? {
                Received::Datagram(datagram) => self.notices.take(datagram),
                Received::Gap => self.notices.overrun(),
                Received::Nothing => return Err(io::ErrorKind::WouldBlock.into()),
            }
            Ok(())
        });
        read.unwrap_or(Ok(()))
    }
}
