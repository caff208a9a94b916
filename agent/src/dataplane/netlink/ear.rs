//! Whether anybody changes the table between two moments, however often other tables are changed.

use std::io;

use super::NetlinkError;
use super::watch::{DATAGRAM, GROUP, NOTICES, Notices};
use crate::netlink::{Channel, INET, Received};

/// Listens while a table is read, and until it is repaired. It is no [`Watcher`](super::Watcher): what that hears is
/// told to people, some time later, and there may be none.
#[derive(Debug)]
pub(super) struct Ear {
    channel: Channel,
    notices: Notices,
    is_listening: bool,
}

impl Ear {
    /// Opens one, in the network namespace of this thread. What the socket numbered `own` commits is passed over.
    pub(super) fn open(own: u32) -> io::Result<Self> {
        let channel = Channel::open(DATAGRAM)?;
        channel.reserve_receiving(NOTICES)?;
        Ok(Self {
            channel,
            notices: Notices::new(INET, own),
            is_listening: false,
        })
    }

    /// Listens from now on.
    pub(super) fn begin(&mut self) -> Result<(), NetlinkError> {
        if !self.is_listening {
            self.channel.join(GROUP).map_err(failed)?;
            self.is_listening = true;
        }
        // What has been is not of the time that is asked for.
        self.has_heard().map(drop)
    }

    /// Whether somebody has changed the table since this was last asked, or may have.
    pub(super) fn has_heard(&mut self) -> Result<bool, NetlinkError> {
        if !self.is_listening {
            return Ok(true);
        }
        loop {
            match self.channel.receive().map_err(failed)? {
                Received::Datagram(datagram) => self.notices.take(datagram),
                Received::Gap => self.notices.overrun(),
                Received::Nothing => return Ok(self.notices.tell().is_some()),
            }
        }
    }

    /// Listens no more.
    pub(super) fn end(&mut self) {
        if self.is_listening && self.channel.leave(GROUP).is_ok() {
            // What waits would go on taking the kernel's memory.
            let _ = self.has_heard();
            self.is_listening = false;
        }
    }
}

fn failed(source: io::Error) -> NetlinkError {
    NetlinkError::socket("listening to nftables while the table is read", source)
}
