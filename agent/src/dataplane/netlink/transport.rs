//! The socket that batches go out by.

mod question;
mod repair;

use std::io;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::NetlinkError;
use super::answer::{Answer, Message, Messages};
use super::ear::Ear;

pub(super) use question::Dumped;

/// Bytes that a batch may have. It is a bound, no memory: 150,000 pods in ten sets each are some 40 MB.
const SEND_BUFFER: usize = 512 << 20;
/// What the kernel keeps of it for itself.
const OVERHEAD: usize = 32;
/// Bytes for answers: some thousand refusals.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Bytes of a datagram at most: so much the kernel dumps at once if there is room for it.
const DATAGRAM: usize = 32 << 10;
/// The kernel may ask for a batch again, as when a module of nftables is loaded for it.
const ATTEMPTS: u32 = 5;

/// The number of a request that is no batch; those of a batch begin behind it.
const QUESTION: u32 = 0;

const SENDING: &str = "sending to netfilter";
const ANSWERS: &str = "reading netfilter's answer";

/// A socket to netfilter in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    datagram: Vec<u8>,
    ear: Ear,
    /// Bytes that go out at once.
    limit: usize,
}

/// What the kernel said of a batch.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The last command was acknowledged, so answers are complete.
    is_complete: bool,
    /// The first command that was refused, by its number.
    pub(super) refused: Option<(u32, Answer)>,
    /// How many more were.
    pub(super) others: usize,
    /// The number of the last commit to nftables before, and after, if they are told.
    pub(super) generations: (Option<u32>, Option<u32>),
}

impl Transport {
    /// Opens one, and says its number.
    pub(super) fn open() -> Result<(Self, u32), NetlinkError> {
        const OPENING: &str = "opening a netlink socket to netfilter";
        let failed = |source| NetlinkError::socket(OPENING, source);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed)?;
        let port = socket.bind_auto().map_err(failed)?.port_number();
        // Refusals come without the refused message, but with where in it the fault is. Old kernels do without.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        let limit = reserve(&socket).map_err(|error| failed(error.into()))?;
        let transport = Self {
            socket,
            datagram: Vec::with_capacity(DATAGRAM),
            ear: Ear::open(port)?,
            limit,
        };
        Ok((transport, port))
    }

    /// Sends a batch whose last command has the number `last`, and reads what became of it. Fails if that is not known.
    pub(super) fn commit(&mut self, bytes: &[u8], last: u32) -> Result<Report, NetlinkError> {
        self.check_size(bytes)?;
        self.ear.end();
        let before = self.generation()?;
        self.commit_after(before, bytes, last)
    }

    fn check_size(&self, batch: &[u8]) -> Result<(), NetlinkError> {
        let (bytes, limit) = (batch.len(), self.limit);
        if bytes > limit {
            return Err(NetlinkError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Commits where the last commit to nftables had the number `before`, as far as is known.
    fn commit_after(
        &mut self,
        before: Option<u32>,
        bytes: &[u8],
        last: u32,
    ) -> Result<Report, NetlinkError> {
        let size = bytes.len();
        for _ in 1..ATTEMPTS {
            let report = self.try_commit(bytes, last)?;
            if !report.must_be_repeated() {
                return self.judge(report, before, size);
            }
        }
        let report = self.try_commit(bytes, last)?;
        self.judge(report, before, size)
    }

    fn try_commit(&mut self, bytes: &[u8], last: u32) -> Result<Report, NetlinkError> {
        self.send(bytes)?;
        let mut report = Report::default();
        let is_all = self.receive(|message| {
            if let Some(answer) = message.answer() {
                report.take(message.number, answer, message.number == last);
            }
        })?;
        // An answer for the batch as a whole comes behind that for the last command, and may be what was lost.
        report.is_complete &= is_all;
        Ok(report)
    }

    /// Answers that are not complete mean success of nothing; they may mean a refusal.
    fn judge(
        &mut self,
        mut report: Report,
        before: Option<u32>,
        bytes: usize,
    ) -> Result<Report, NetlinkError> {
        match &report.refused {
            Some((_, answer)) if answer.errno == libc::EPERM => Err(NetlinkError::NotPermitted),
            Some((_, answer)) if answer.errno == libc::ENOMEM => {
                Err(NetlinkError::OutOfMemory { bytes })
            }
            Some(_) => Ok(report),
            None if report.is_complete => {
                report.generations = (before, self.generation()?);
                Ok(report)
            }
            None => {
                let after = self.generation()?;
                let is_unchanged = before.is_some() && before == after;
                Err(NetlinkError::NoAnswer { is_unchanged })
            }
        }
    }

    /// The kernel has done all it is asked when this returns, and its answers wait.
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetlinkError> {
        // What came after reading failed is of another request that has the same numbers.
        self.receive(|_| {})?;
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(bytes, &kernel, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match error.raw_os_error() {
                        Some(libc::ENOMEM | libc::ENOBUFS) => {
                            NetlinkError::OutOfMemory { bytes: bytes.len() }
                        }
                        _ => NetlinkError::socket(SENDING, error),
                    });
                }
            }
        }
    }

    /// Reads all that waits. Says whether that is all there was, or some was lost for want of room.
    fn receive(&mut self, mut take: impl FnMut(Message<'_>)) -> Result<bool, NetlinkError> {
        let mut is_all = true;
        loop {
            self.datagram.clear();
            match self
                .socket
                .recv_from(&mut self.datagram, libc::MSG_DONTWAIT)
            {
                // Other processes can send to this socket, too.
                Ok((_, sender)) if sender.port_number() == 0 => {
                    Messages(&self.datagram).for_each(&mut take);
                }
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(is_all),
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => is_all = false,
                    _ => return Err(NetlinkError::socket(ANSWERS, error)),
                },
            }
        }
    }
}

impl Report {
    fn take(&mut self, number: u32, answer: Answer, is_last: bool) {
        self.is_complete |= is_last;
        if answer.errno == 0 {
            return;
        }
        match &self.refused {
            Some(_) => self.others += 1,
            None => self.refused = Some((number, answer)),
        }
    }

    fn must_be_repeated(&self) -> bool {
        let again = [libc::EINTR, libc::EAGAIN, libc::ERESTART];
        let refused = self.refused.as_ref();
        refused.is_some_and(|(_, answer)| again.contains(&answer.errno))
    }
}

/// Makes room in both directions and says how much goes out at once. Without `CAP_NET_ADMIN` in the first user namespace
/// `net.core.wmem_max` and `rmem_max` limit it.
fn reserve(socket: &Socket) -> nix::Result<usize> {
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER)?;
    }
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    }
    let granted = getsockopt(socket, sockopt::SndBuf)?;
    Ok(granted.saturating_sub(OVERHEAD))
}
