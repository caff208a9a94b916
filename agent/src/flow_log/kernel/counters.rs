//! The table's named counters.

use std::io;

use nix::libc;

use super::NflogError;
use crate::dataplane::netlink::numbers::{
    COUNTER, GET_OBJECTS, IN_TABLE, NAME, NEW_OBJECT, OBJECT_DATA, OBJECT_TYPE,
};
use crate::dataplane::netlink::ports::forged;
use crate::netlink::{Attributes, Channel, Dumped, Header, NFTABLES, kind};

/// `NFTA_COUNTER_PACKETS`, within the data.
const PACKETS: u16 = 2;

/// What a datagram of a dump has at most, in kernels so far 32 KiB.
pub(super) const DATAGRAM: usize = 64 << 10;

/// Rules may change while counters are read; then they are read again, so many times.
const ATTEMPTS: u32 = 5;

/// What the counter of forged sources at bridges' ports is called here.
pub const FORGED_AT_PORTS: &str = "bridge/forged/egress";

const READING: &str = "reading the counters of dropped packets";

/// Reads named counters in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Counters {
    channel: Channel,
}

impl Counters {
    /// A socket of its own: what overflows here or at NFLOG does not disturb the other.
    pub fn open() -> Result<Self, NflogError> {
        let channel = Channel::open(DATAGRAM)
            .map_err(|source| NflogError::refused("opening a netlink socket", source))?;
        Ok(Self { channel })
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

    /// Packets that table `bridge netpol` has dropped and logged, if there is that table, under a name that no counter of
    /// table `inet netpol` has.
    pub fn read_ports(&mut self) -> Result<Option<(String, u64)>, NflogError> {
        let forged = forged(&mut self.channel);
        let forged = forged.map_err(|source| NflogError::refused(READING, source))?;
        Ok(forged.map(|packets| (FORGED_AT_PORTS.to_owned(), packets)))
    }

    /// `None` if the table changed meanwhile.
    fn dump(&mut self, table: &str) -> Result<Option<Vec<(String, u64)>>, NflogError> {
        let mut counters = Vec::new();
        let dumped = self.channel.dump(
            Header::nftables(GET_OBJECTS),
            kind(NFTABLES, NEW_OBJECT),
            |w| {
                w.text(IN_TABLE, table);
                w.be32(OBJECT_TYPE, COUNTER);
            },
            |attributes| counters.extend(counter(attributes)),
        );
        match dumped {
            Ok(Dumped::Whole) => Ok(Some(counters)),
            Ok(Dumped::Torn | Dumped::Cut) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Some(Vec::new())),
            Err(source) => Err(NflogError::refused(READING, source)),
        }
    }
}

/// Name and packets. The kernel is trusted to heed the request's table and type.
fn counter(attributes: Attributes<'_>) -> Option<(String, u64)> {
    let (mut name, mut packets) = (None, None);
    for attribute in attributes {
        match attribute.kind {
            NAME => name = attribute.text().map(ToOwned::to_owned),
            OBJECT_DATA => {
                packets = Attributes(attribute.value)
                    .find(|inner| inner.kind == PACKETS)
                    .and_then(|inner| Some(u64::from_be_bytes(*inner.value.first_chunk()?)));
            }
            _ => {}
        }
    }
    name.zip(packets)
}
