//! Notices changes that other programs make to netpol's table.
//!
//! The kernel tells of every commit to nftables, of whatever table and program: one notification for each object and
//! element, and one behind them with the process. A commit bears the number of the socket that it came by.

mod notice;

use std::io;
use std::time::Duration;

use netlink_sys::Socket;
use netlink_sys::constants::NETLINK_NETFILTER;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::{NetlinkDataplane, NetlinkError};
use crate::dataplane::Disturbance;
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
    socket: AsyncFd<Socket>,
    datagram: Vec<u8>,
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
        const OPENING: &str = "listening to nftables";
        let failed = |source| NetlinkError::socket(OPENING, source);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.set_non_blocking(true).map_err(failed)?;
        make_room(&socket, bytes).map_err(failed)?;
        socket.add_membership(GROUP).map_err(failed)?;
        Ok(Self {
            socket: registered(socket).map_err(failed)?,
            datagram: Vec::with_capacity(DATAGRAM),
            notices: Notices::new(own.port()),
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
        let mut ready = self.socket.readable().await?;
        self.datagram.clear();
        let datagram = &mut self.datagram;
        let received = ready.try_io(|socket| socket.get_ref().recv_from(datagram, 0));
        match received {
            Ok(Ok((_, sender))) => {
                // Other processes can send to this socket, too.
                if sender.port_number() == 0 {
                    self.notices.take(&self.datagram);
                }
                Ok(())
            }
            Ok(Err(error)) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    self.notices.overrun();
                    Ok(())
                }
                Some(libc::EINTR) => Ok(()),
                _ => Err(error),
            },
            Err(_would_block) => Ok(()),
        }
    }
}

/// Room for what is not read yet.
pub(super) fn make_room(socket: &Socket, bytes: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))?;
    Ok(())
}

/// A socket that the runtime wakes this task for.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe; a `Socket` owns its descriptor and shows no other, which is all that it asks for"
)]
fn registered(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}
