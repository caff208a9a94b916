//! The socket by which the kernel hands on dropped packets.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use nix::libc;

use super::NflogError;
use super::decode::{Counts, Decoder};
use crate::dataplane::netlink::numbers::GET_GENERATION;
use crate::flow_log::fold::Dropped;
use crate::netlink::{Channel, Header, LOG, Received, Writer, kind};

/// `NFULNL_MSG_CONFIG`
const CONFIG: u16 = kind(LOG, 1);

// Attributes of it.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const BUFFER: u16 = 3;
const TIMEOUT: u16 = 4;
const THRESHOLD: u16 = 5;
const FLAGS: u16 = 6;

/// `NFULNL_CFG_CMD_BIND`
const BIND: u8 = 1;
/// `NFULNL_CFG_CMD_UNBIND`
const UNBIND: u8 = 2;
/// `NFULNL_COPY_PACKET`
const COPY_PACKET: u8 = 2;
/// `NFULNL_CFG_F_SEQ`: packets are numbered.
const NUMBERED: u16 = 1;

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
}

/// A bound group.
#[derive(Debug)]
pub struct Nflog {
    channel: Channel,
    group: u16,
    decoder: Decoder,
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
        let channel =
            Channel::open(DATAGRAM).map_err(|source| NflogError::refused(OPENING, source))?;
        channel
            .reserve_receiving(settings.receive_buffer)
            .map_err(NflogError::io("enlarging the buffer for dropped packets"))?;
        let mut nflog = Self {
            channel,
            group,
            decoder: Decoder::default(),
            early: VecDeque::new(),
        };
        match nflog.ask(config(group), |w| write_binding(w, settings.snaplen)) {
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
                let is_forbidden = matches!(
                    self.ask(Header::nftables(GET_GENERATION), |_| {}),
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

    /// Sends a request and takes the answer; packets that come before are kept.
    fn ask(
        &mut self,
        header: Header,
        attributes: impl FnOnce(&mut Writer),
    ) -> Result<(), NflogError> {
        const ASKING: &str = "asking netfilter for an NFLOG group";
        let keep = |datagram: &[u8]| self.early.push_back(datagram.to_vec());
        let answer = self.channel.acknowledge(header, attributes, keep);
        match answer.map_err(NflogError::io(ASKING))? {
            Some(answer) if answer.errno == 0 => Ok(()),
            Some(answer) => Err(NflogError::Io {
                doing: ASKING,
                source: io::Error::from_raw_os_error(answer.errno),
            }),
            None => Err(NflogError::NoAnswer { doing: ASKING }),
        }
    }

    /// Takes one datagram, without waiting, and hands each packet of netpol's rules to `each`.
    pub fn read(&mut self, each: impl FnMut(Dropped)) -> Result<Read, NflogError> {
        const READING: &str = "reading dropped packets from the kernel";
        let early = self.early.pop_front();
        let received = match &early {
            Some(early) => Received::Datagram(early),
            None => self.channel.receive().map_err(NflogError::io(READING))?,
        };
        Ok(match received {
            Received::Datagram(datagram) => {
                Read::Datagram(self.decoder.decode(datagram, SystemTime::now(), each))
            }
            Received::Gap => Read::Gap,
            Received::Nothing => Read::Empty,
        })
    }

    /// Gives the group back. What the kernel has gathered until then can be read afterwards.
    pub fn unbind(&mut self) -> Result<(), NflogError> {
        // It is not acknowledged: that would come behind the last packets.
        self.channel
            .request(config(self.group), |w| w.put(COMMAND, &[UNBIND]))
            .map_err(NflogError::io("giving an NFLOG group back"))
    }

    /// Bytes that may wait in the kernel, by its own count, which is twice what it was asked for.
    pub fn receive_buffer(&self) -> usize {
        self.channel.receive_buffer().unwrap_or(0)
    }
}

impl AsFd for Nflog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// What leads a message about a group.
fn config(group: u16) -> Header {
    Header {
        kind: CONFIG,
        resource: group,
        ..Header::default()
    }
}

/// All in one message: no packet comes in between that bears no number.
fn write_binding(writer: &mut Writer, snaplen: u32) {
    let [a, b, c, d] = snaplen.to_be_bytes();
    // The kernel counts in hundredths of a second.
    let timeout = u32::try_from(KERNEL_WAIT.as_millis() / 10).unwrap_or(u32::MAX);
    writer.put(COMMAND, &[BIND]);
    writer.put(MODE, &[a, b, c, d, COPY_PACKET, 0]);
    writer.be16(FLAGS, NUMBERED);
    writer.be32(BUFFER, BATCH);
    writer.be32(THRESHOLD, BATCH_PACKETS);
    writer.be32(TIMEOUT, timeout);
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_netfilter::nflog::{ConfigCmd, ConfigFlags, ConfigMode, ConfigNla};

    use super::*;
    use crate::netlink::written;

    #[test]
    fn the_binding_is_as_another_library_writes_it() {
        let attributes = [
            ConfigNla::Cmd(ConfigCmd::Bind),
            ConfigNla::Mode(ConfigMode::new_packet(0x0102_0304)),
            ConfigNla::Flags(ConfigFlags::SEQ),
            ConfigNla::NlBufSiz(BATCH),
            ConfigNla::QThresh(BATCH_PACKETS),
            ConfigNla::Timeout(KERNEL_WAIT.into()),
        ];
        let mut expected = vec![0; attributes.as_slice().buffer_len()];
        attributes.as_slice().emit(&mut expected);
        assert_eq!(written(|w| write_binding(w, 0x0102_0304)), Some(expected));
    }
}
