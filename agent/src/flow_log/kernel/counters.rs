//! The table's named counters.

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_DUMP, NLM_F_DUMP_INTR, NetlinkBuffer, NlasIterator};
use nix::libc;

use super::NflogError;
use super::request::{Channel, Messages, NFTABLES, PATIENCE, answer, kind};

/// `NFT_MSG_GETOBJ`
const GET_OBJECT: u16 = kind(NFTABLES, 19);
/// `NFT_MSG_NEWOBJ`
const OBJECT: u16 = kind(NFTABLES, 18);
/// `NFPROTO_INET`
const INET: u8 = 1;
/// `NFT_OBJECT_COUNTER`
const COUNTER: u32 = 1;

// Attributes of objects.
const TABLE: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
const DATA: u16 = 4;

/// `NFTA_COUNTER_PACKETS`, within the data.
const PACKETS: u16 = 2;

/// What a datagram of a dump has at most, in kernels so far 32 KiB.
pub(super) const DATAGRAM: usize = 64 << 10;

/// Rules may change while counters are read; then they are read again, so many times.
const ATTEMPTS: u32 = 5;

const READING: &str = "reading the counters of dropped packets";

/// Reads named counters in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Counters {
    channel: Channel,
    datagram: Vec<u8>,
}

impl Counters {
    /// A socket of its own: what overflows here or at NFLOG does not disturb the other.
    pub fn open() -> Result<Self, NflogError> {
        let channel = Channel::open()
            .map_err(|source| NflogError::refused("opening a netlink socket", source))?;
        Ok(Self {
            channel,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Names and packets of all named counters of `table` of family inet, in the kernel's order; none if there is no such
    /// table. Fails if the kernel does, or if the rules keep changing meanwhile.
    pub fn read(&mut self, table: &str) -> Result<Vec<(String, u64)>, NflogError> {
        for _ in 0..ATTEMPTS {
            if let Some(counters) = self.dump(table)? {
                return Ok(counters);
            }
        }
        Err(NflogError::Io {
            doing: READING,
            source: io::Error::new(io::ErrorKind::Interrupted, "the rules keep changing"),
        })
    }

    /// `None` if the table changed meanwhile.
    fn dump(&mut self, table: &str) -> Result<Option<Vec<(String, u64)>>, NflogError> {
        let mut name = table.as_bytes().to_vec();
        name.push(0);
        let attributes = [
            DefaultNla::new(TABLE, name),
            DefaultNla::new(TYPE, COUNTER.to_be_bytes().to_vec()),
        ];
        let sequence = self
            .channel
            .send(GET_OBJECT, NLM_F_DUMP, INET, 0, &attributes)
            .map_err(NflogError::io(READING))?;
        let mut counters = Vec::new();
        let mut is_whole = true;
        loop {
            let received = self.channel.receive(&mut self.datagram);
            if !received.map_err(NflogError::io(READING))? {
                if !self
                    .channel
                    .wait(PATIENCE)
                    .map_err(NflogError::io(READING))?
                {
                    return Err(NflogError::NoAnswer { doing: READING });
                }
                continue;
            }
            let is_ours = |message: &NetlinkBuffer<_>| message.sequence_number() == sequence;
            for message in Messages(&self.datagram).filter(is_ours) {
                is_whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match answer(&message, sequence) {
                    Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => {
                        return Ok(Some(Vec::new()));
                    }
                    Some(Err(source)) => return Err(NflogError::refused(READING, source)),
                    Some(Ok(())) => return Ok(is_whole.then_some(counters)),
                    None if message.message_type() == OBJECT => counters.extend(counter(&message)),
                    None => {}
                }
            }
        }
    }
}

/// Name and packets. The kernel is trusted to heed the request's table and type.
fn counter(message: &NetlinkBuffer<&[u8]>) -> Option<(String, u64)> {
    let (mut name, mut packets) = (None, None);
    let attributes = message.payload().get(4..)?;
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        match attribute.kind() {
            NAME => {
                let text = attribute.value();
                let text = text.strip_suffix(&[0]).unwrap_or(text);
                name = Some(String::from_utf8_lossy(text).into_owned());
            }
            DATA => {
                packets = NlasIterator::new(attribute.value())
                    .map_while(Result::ok)
                    .find(|inner| inner.kind() == PACKETS)
                    .and_then(|inner| Some(u64::from_be_bytes(*inner.value().first_chunk()?)));
            }
            _ => {}
        }
    }
    name.zip(packets)
}
