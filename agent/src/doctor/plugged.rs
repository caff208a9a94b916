//! Tells when a link of the node comes, goes or changes, or an address of its own.

use std::io;

use tokio::io::unix::AsyncFd;

use crate::netlink::{Channel, Received};

/// `RTNLGRP_LINK`
pub(crate) const LINKS: u32 = 1;
/// `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`
pub(crate) const ADDRESSES: [u32; 2] = [5, 9];

/// What is told is not read, but that it is.
const DATAGRAM: usize = 64;

/// Listens in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Plugged {
    channel: AsyncFd<Channel>,
}

impl Plugged {
    /// Begins to listen to these groups. Must be called in a tokio runtime.
    pub(crate) fn open(groups: &[u32]) -> io::Result<Self> {
        let mut channel = Channel::open_route(DATAGRAM)?;
        for group in groups {
            channel.join(*group)?;
        }
        let channel = registered(channel)?;
        Ok(Self { channel })
    }

    /// Completes when something was told since the last time. Nothing is lost if this is dropped and called again.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        let mut is_told = false;
        while !is_told {
            let mut ready = self.channel.readable_mut().await?;
            let read: Result<io::Result<()>, _> = ready.try_io(|channel| {
                loop {
                    match channel.get_mut().receive()? {
                        Received::Datagram(_) | Received::Gap => is_told = true,
                        Received::Nothing => return Err(io::ErrorKind::WouldBlock.into()),
                    }
                }
            });
            // All has been read when it would block.
            read.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// A socket that the runtime wakes this task for.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe; a `Channel` owns its descriptor and shows no other, which is all that it asks for"
)]
fn registered(channel: Channel) -> io::Result<AsyncFd<Channel>> {
    AsyncFd::new(channel)
}
