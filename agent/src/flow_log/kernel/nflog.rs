//! The socket by which the kernel hands on dropped packets.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use netlink_packet_core::{DefaultNla, NLM_F_ACK, Nla};
use netlink_packet_netfilter::nflog::{ConfigCmd, ConfigFlags, ConfigMode, ConfigNla, Timeout};
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::NflogError;
use super::decode::{Counts, Decoder};
use super::request::{Channel, LOG, Messages, NFTABLES, PATIENCE, answer, kind};
use crate::flow_log::fold::Dropped;

/// `NFULNL_MSG_CONFIG`
const CONFIG: u16 = kind(LOG, 1);

/// `NFT_MSG_GETGEN`
const GET_GENERATION: u16 = kind(NFTABLES, 16);

/// Packets wait in the kernel at most so long for others to come along.
pub(super) const KERNEL_WAIT: Duration = Duration::from_millis(30);

/// Bytes that the kernel gathers before it hands them on: with its own overhead just within 32 KiB, the largest memory that it
/// gives readily where it must not wait. That is some hundred packets.
const BATCH: u32 = (32 << 10) - 512;

/// Packets that the kernel gathers at most; the bytes are the tighter bound.
const BATCH_PACKETS: u32 = 1024;

/// What a datagram has at most. Kernels may fill the memory they get instead of what was asked for.
pub(super) const DATAGRAM: usize = 256 << 10;

/// The usual [`NflogSettings::receive_buffer`]: half a second at 100,000 packets a second.
pub const RECEIVE_BUFFER: usize = 8 << 20;

/// What is asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NflogSettings {
    /// The group that the rules log to.
    pub group: u16,
    /// Bytes of each packet, from its IP header on.
    pub snaplen: u32,
    /// Bytes that may wait in the kernel; it counts its own overhead, too. Without `CAP_NET_ADMIN` in the first user
    /// namespace `net.core.rmem_max` limits it.
    pub receive_buffer: usize,
    /// Of the rules whose packets are looked at; others of netpol's are passed over.
    pub run: Option<u32>,
}

/// A bound group.
#[derive(Debug)]
pub struct Nflog {
    channel: Channel,
    group: u16,
    decoder: Decoder,
    datagram: Vec<u8>,
    /// What came before the kernel's answer to the binding.
    early: VecDeque<Vec<u8>>,
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A datagram, and besides netpol's packets these.
    Datagram(Counts),
    /// The kernel has had to drop some; the next packet tells how many.
    Gap,
    /// Nothing is waiting.
    Empty,
}

impl Nflog {
    /// Binds the group in the network namespace of this thread. Fails with [`NflogError::Busy`] while another program has it.
    pub fn open(settings: &NflogSettings) -> Result<Self, NflogError> {
        const OPENING: &str = "opening a netlink socket";
        let group = settings.group;
        let channel = Channel::open().map_err(|source| NflogError::refused(OPENING, source))?;
        reserve(&channel, settings.receive_buffer)?;
        let mut nflog = Self {
            channel,
            group,
            decoder: Decoder::of_run(settings.run),
            datagram: Vec::with_capacity(DATAGRAM),
            early: VecDeque::new(),
        };
        // All in one message: no packet comes in between that bears no number.
        let asked = nflog.ask(
            CONFIG,
            group,
            &[
                ConfigNla::Cmd(ConfigCmd::Bind),
                ConfigNla::Mode(ConfigMode::new_packet(settings.snaplen)),
                ConfigNla::Flags(ConfigFlags::SEQ),
                ConfigNla::NlBufSiz(BATCH),
                ConfigNla::QThresh(BATCH_PACKETS),
                ConfigNla::Timeout(Timeout::from(KERNEL_WAIT)),
            ],
        );
        match asked {
            Ok(()) => Ok(nflog),
            Err(NflogError::Io { source, .. }) => Err(nflog.refusal(source)),
            Err(error) => Err(error),
        }
    }

    /// Why the kernel refuses the binding. It says EPERM both to those who may not ask and if the group is another's.
    fn refusal(&mut self, source: io::Error) -> NflogError {
        const BINDING: &str = "binding an NFLOG group";
        let group = self.group;
        match source.raw_os_error() {
            Some(libc::EBUSY) => NflogError::Busy { group },
            Some(libc::EPERM) => {
                let nothing: [DefaultNla; 0] = [];
                let is_forbidden = matches!(
                    self.ask(GET_GENERATION, 0, &nothing),
                    Err(NflogError::Io { source, .. }) if source.raw_os_error() == Some(libc::EPERM)
                );
                if is_forbidden {
                    NflogError::NotPermitted { group }
                } else {
                    NflogError::Busy { group }
                }
            }
            _ => NflogError::refused(BINDING, source),
        }
    }

    /// Sends a request and waits for the answer; packets that come before are kept.
    fn ask(&mut self, kind: u16, resource: u16, attributes: &[impl Nla]) -> Result<(), NflogError> {
        const ASKING: &str = "asking netfilter for an NFLOG group";
        let sequence = self
            .channel
            .send(kind, NLM_F_ACK, 0, resource, attributes)
            .map_err(NflogError::io(ASKING))?;
        loop {
            let received = match self.channel.receive(&mut self.datagram) {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => continue,
                received => received.map_err(NflogError::io(ASKING))?,
            };
            if received {
                let mut messages = Messages(&self.datagram);
                if let Some(answer) = messages.find_map(|message| answer(&message, sequence)) {
                    return answer.map_err(NflogError::io(ASKING));
                }
                self.early.push_back(self.datagram.clone());
            } else if !self
                .channel
                .wait(PATIENCE)
                .map_err(NflogError::io(ASKING))?
            {
                return Err(NflogError::NoAnswer { doing: ASKING });
            }
        }
    }

    /// Takes one datagram, without waiting, and hands each packet of netpol's rules to `each`.
    pub fn read(&mut self, each: impl FnMut(Dropped)) -> Result<Read, NflogError> {
        if let Some(early) = self.early.pop_front() {
            let counts = self.decoder.decode(&early, SystemTime::now(), each);
            return Ok(Read::Datagram(counts));
        }
        match self.channel.receive(&mut self.datagram) {
            Ok(true) => {
                let now = SystemTime::now();
                Ok(Read::Datagram(self.decoder.decode(
                    &self.datagram,
                    now,
                    each,
                )))
            }
            Ok(false) => Ok(Read::Empty),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Read::Gap),
            Err(source) => Err(NflogError::Io {
                doing: "reading dropped packets from the kernel",
                source,
            }),
        }
    }

    /// Gives the group back. What the kernel has gathered until then can be read afterwards.
    pub fn unbind(&mut self) -> Result<(), NflogError> {
        let command = [ConfigNla::Cmd(ConfigCmd::Unbind)];
        // Nobody waits for the answer: it is behind the last packets.
        self.channel
            .send(CONFIG, 0, 0, self.group, &command)
            .map(drop)
            .map_err(NflogError::io("giving an NFLOG group back"))
    }

    /// Bytes that may wait in the kernel, by its own count, which is twice what it was asked for.
    pub fn receive_buffer(&self) -> usize {
        getsockopt(self.channel.socket(), sockopt::RcvBuf).unwrap_or(0)
    }
}

impl AsFd for Nflog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.socket().as_fd()
    }
}

fn reserve(channel: &Channel, bytes: usize) -> Result<(), NflogError> {
    let socket = channel.socket();
    setsockopt(socket, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))
        .map_err(|error| NflogError::Io {
            doing: "enlarging the buffer for dropped packets",
            source: error.into(),
        })
}
