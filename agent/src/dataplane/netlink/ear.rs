//! Whether anybody changes the table between two moments, however often other tables are changed.

use std::io;

use netlink_sys::Socket;
use netlink_sys::constants::NETLINK_NETFILTER;
use nix::libc;

use super::NetlinkError;
use super::watch::{DATAGRAM, GROUP, NOTICES, Notices, make_room};

/// Listens while a table is read, and until it is repaired. It is no [`Watcher`](super::Watcher): what that hears is
/// told to people, some time later, and there may be none.
#[derive(Debug)]
pub(super) struct Ear {
    socket: Socket,
    datagram: Vec<u8>,
    notices: Notices,
    is_listening: bool,
}

impl Ear {
    /// Opens one, in the network namespace of this thread. What the socket numbered `own` commits is passed over.
    pub(super) fn open(own: u32) -> Result<Self, NetlinkError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            make_room(&socket, NOTICES)?;
            Ok(socket)
        };
        Ok(Self {
            socket: open().map_err(failed)?,
            datagram: Vec::new(),
            notices: Notices::new(own),
            is_listening: false,
        })
    }

    /// Listens from now on.
    pub(super) fn begin(&mut self) -> Result<(), NetlinkError> {
        if !self.is_listening {
            self.datagram.reserve_exact(DATAGRAM);
            self.socket.add_membership(GROUP).map_err(failed)?;
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
            self.datagram.clear();
            let received = self
                .socket
                .recv_from(&mut self.datagram, libc::MSG_DONTWAIT);
            match received {
                // Other processes can send to this socket, too.
                Ok((_, sender)) if sender.port_number() == 0 => self.notices.take(&self.datagram),
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(self.notices.tell().is_some()),
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => self.notices.overrun(),
                    _ => return Err(failed(error)),
                },
            }
        }
    }

    /// Listens no more, and holds no memory for it.
    pub(super) fn end(&mut self) {
        if self.is_listening && self.socket.drop_membership(GROUP).is_ok() {
            // What waits would go on taking the kernel's memory.
            let _ = self.has_heard();
            self.is_listening = false;
            self.datagram = Vec::new();
        }
    }
}

fn failed(source: io::Error) -> NetlinkError {
    NetlinkError::socket("listening to nftables while the table is read", source)
}
