//! A netlink socket to netfilter, and its requests.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{Emitable, NLM_F_REQUEST, NetlinkBuffer, Nla, parse_i32};
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long the kernel may take to answer. It does so before the request returns, unless the answer is lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a netlink header and of netfilter's after it.
const HEADERS: usize = 20;

/// `NLMSG_ERROR`, also for success.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`
pub(super) const DONE: u16 = 3;

/// A socket to netfilter in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(netlink_sys::constants::NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends a request and returns its sequence number.
    ///
    /// `kind` is subsystem × 256 + message, `resource` the group for NFLOG.
    pub(super) fn send(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        attributes: &[impl Nla],
    ) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADERS + attributes.buffer_len();
        let mut bytes = vec![0; length];
        let mut message = NetlinkBuffer::new(&mut bytes);
        message.set_length(u32::try_from(length).unwrap_or(u32::MAX));
        message.set_message_type(kind);
        message.set_flags(NLM_F_REQUEST | flags);
        message.set_sequence_number(self.sequence);
        let [high, low] = resource.to_be_bytes();
        let payload = message.payload_mut();
        payload[..4].copy_from_slice(&[family, 0, high, low]);
        attributes.emit(&mut payload[4..]);
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(&bytes, &kernel, 0)?;
        Ok(self.sequence)
    }

    /// Reads one datagram into `buffer`, replacing what is there, at most its capacity. Says `false` if there is none.
    ///
    /// What other processes send is passed over. Fails with `ENOBUFS` if the kernel had to drop some.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            buffer.clear();
            match self.socket.recv_from(buffer, 0) {
                Ok((_, sender)) if sender.port_number() == 0 => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a datagram; says `false` if none came in time.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut sockets, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// The messages in a datagram. What does not look like one ends it.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = NetlinkBuffer<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = NetlinkBuffer::new_checked(self.0).ok()?;
        let length = usize::try_from(message.length()).ok()?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    }
}

/// What the kernel answered to the request `sequence`, if this message is the answer.
pub(super) fn answer(
    message: &NetlinkBuffer<&[u8]>,
    sequence: u32,
) -> Option<Result<(), io::Error>> {
    if message.message_type() != ERROR || message.sequence_number() != sequence {
        return None;
    }
    let code = message.payload().get(..4).and_then(|c| parse_i32(c).ok());
    Some(match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::from_raw_os_error(libc::EBADMSG)),
    })
}
