//! The socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::constants::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

use super::message::{Message, Messages};

/// Bytes of a datagram at most, for whoever has objects dumped: so much the kernel tells at once if there is room for it.
pub(crate) const DUMP: usize = 32 << 10;

/// A socket to netfilter, or to what knows the links, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    port: u32,
    datagram: Vec<u8>,
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// A datagram from the kernel.
    Datagram(&'a [u8]),
    /// The kernel had to drop some for want of room.
    Gap,
    /// Nothing is waiting.
    Nothing,
}

impl Channel {
    /// Opens one to netfilter that takes datagrams of so many bytes; what is longer is cut.
    pub(crate) fn open(datagram: usize) -> io::Result<Self> {
        Self::open_to(NETLINK_NETFILTER, datagram)
    }

    /// As [`Channel::open`], to what knows links and routes.
    pub(crate) fn open_route(datagram: usize) -> io::Result<Self> {
        Self::open_to(NETLINK_ROUTE, datagram)
    }

    /// Has the kernel look at all of a request for a dump, which it otherwise takes for one of everything. Since Linux 4.20.
    pub(crate) fn ask_strictly(&self) -> io::Result<()> {
        self.socket.set_netlink_get_strict_chk(true)
    }

    fn open_to(protocol: isize, datagram: usize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        // Refusals come without the refused message, but with where in it the fault is. Old kernels do without.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self {
            socket,
            port,
            datagram: Vec::with_capacity(datagram),
        })
    }

    /// The number that the kernel knows the socket by, in this network namespace.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// A socket that the runtime wakes its task for.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; a `Channel` owns its descriptor and shows no other, which is all that it asks for"
    )]
    pub(crate) fn registered(self) -> io::Result<AsyncFd<Self>> {
        AsyncFd::new(self)
    }

    /// Joins a group that the kernel tells things to.
    pub(crate) fn join(&mut self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Leaves a group.
    pub(crate) fn leave(&mut self, group: u32) -> io::Result<()> {
        self.socket.drop_membership(group)
    }

    /// Lets so many bytes wait in the kernel, by its own count. Without `CAP_NET_ADMIN` in the first user namespace
    /// `net.core.rmem_max` limits it.
    pub(crate) fn reserve_receiving(&self, bytes: usize) -> io::Result<()> {
        setsockopt(&self.socket, sockopt::RcvBufForce, &bytes)
            .or_else(|_| setsockopt(&self.socket, sockopt::RcvBuf, &bytes))?;
        Ok(())
    }

    /// Bytes that may wait in the kernel, by its own count, which is twice what it was asked for.
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.socket, sockopt::RcvBuf)?)
    }

    /// Makes room for so many bytes that go out at once, and says how many there is room for. Without `CAP_NET_ADMIN` in
    /// the first user namespace `net.core.wmem_max` limits it.
    pub(crate) fn reserve_sending(&self, bytes: usize) -> io::Result<usize> {
        /// What the kernel keeps of it for itself.
        const OVERHEAD: usize = 32;
        setsockopt(&self.socket, sockopt::SndBufForce, &bytes)
            .or_else(|_| setsockopt(&self.socket, sockopt::SndBuf, &bytes))?;
        let granted = getsockopt(&self.socket, sockopt::SndBuf)?;
        Ok(granted.saturating_sub(OVERHEAD))
    }

    /// The kernel has done all it is asked when this returns, and its answers wait.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(bytes, &kernel, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one datagram, without waiting. What other processes send is passed over.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        loop {
            self.datagram.clear();
            match self
                .socket
                .recv_from(&mut self.datagram, libc::MSG_DONTWAIT)
            {
                Ok((_, sender)) if sender.port_number() == 0 => {
                    return Ok(Received::Datagram(&self.datagram));
                }
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(Received::Nothing),
                    Some(libc::ENOBUFS) => return Ok(Received::Gap),
                    Some(libc::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Sends requests and takes all that comes back. Says whether that is all there was, or some was lost for want of room.
    pub(crate) fn exchange(
        &mut self,
        bytes: &[u8],
        take: impl FnMut(Message<'_>),
    ) -> io::Result<bool> {
        // What came after reading failed is of another request that has the same number.
        self.receive_all(|_| {})?;
        self.send(bytes)?;
        self.receive_all(take)
    }

    /// Takes all that waits.
    fn receive_all(&mut self, mut take: impl FnMut(Message<'_>)) -> io::Result<bool> {
        let mut is_all = true;
        loop {
            match self.receive()? {
                Received::Datagram(datagram) => Messages(datagram).for_each(&mut take),
                Received::Gap => is_all = false,
                Received::Nothing => return Ok(is_all),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
