//! Tells when a link of the node comes, goes or changes, or an address of its own.

use std::future::pending;
use std::io;

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tracing::warn;

use crate::netlink::{Channel, Received};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`
const GROUPS: [u32; 3] = [1, 5, 9];

/// What is told is not read, but that it is.
const DATAGRAM: usize = 64;

/// One listens for all: clones are told the same.
#[derive(Clone, Debug)]
pub struct Plugged {
    told: watch::Receiver<()>,
}

impl Plugged {
    /// Begins to listen in the network namespace of this thread. Must be called in a tokio runtime.
    #[must_use]
    pub fn listen() -> Self {
        let (tell, told) = watch::channel(());
        match open() {
            Ok(channel) => drop(tokio::spawn(listen(channel, tell))),
            Err(error) => unheard(&error),
        }
        Self { told }
    }

    /// Completes when something was told since the last time, and never if the kernel does not tell. Nothing is lost if
    /// this is dropped and called again.
    pub(crate) async fn next(&mut self) {
        if self.told.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

fn open() -> io::Result<AsyncFd<Channel>> {
    let mut channel = Channel::open_route(DATAGRAM)?;
    for group in GROUPS {
        channel.join(group)?;
    }
    channel.registered()
}

/// Goes on until nobody is there to be told, or the socket fails.
async fn listen(mut channel: AsyncFd<Channel>, tell: watch::Sender<()>) {
    loop {
        match hear(&mut channel).await {
            Ok(true) if tell.send(()).is_err() => return,
            Ok(_) => {}
            Err(error) => return unheard(&error),
        }
    }
}

/// Takes all that waits, and says whether there was anything. What was lost for want of room was something, too.
async fn hear(channel: &mut AsyncFd<Channel>) -> io::Result<bool> {
    let mut ready = channel.readable_mut().await?;
    let mut is_told = false;
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
    Ok(is_told)
}

fn unheard(error: &io::Error) {
    warn!(%error, "links and addresses that come and go are noticed late: the kernel does not tell of them");
}
