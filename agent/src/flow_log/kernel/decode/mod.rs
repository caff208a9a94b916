//! What is in a datagram of NFLOG.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use policy_compiler::ruleset::{DropLog, DropPoint};

use crate::flow_log::fold::Dropped;
use crate::flow_log::kernel::request::{LOG, Messages, kind};
use crate::flow_log::packet::Packet;

/// `NFULNL_MSG_PACKET`
const PACKET: u16 = kind(LOG, 0);

// Attributes of packets.
const TIMESTAMP: u16 = 3;
const INPUT: u16 = 4;
const OUTPUT: u16 = 5;
const BRIDGE_INPUT: u16 = 6;
const BRIDGE_OUTPUT: u16 = 7;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
const SEQUENCE: u16 = 12;

/// The kernel hands packets on within this. A sender that may use `SO_TXTIME` (`CAP_NET_ADMIN` in its own network namespace
/// is enough) chooses their time stamps, and must not be able to say that they were dropped when another pod had its
/// address, or when nobody looks.
const LATEST: Duration = Duration::from_secs(5);

/// Reads what one socket receives, in order.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The number the next packet has if none is lost. The kernel counts from zero after the group was bound.
    next: u32,
    /// Packets come in runs from the same rule.
    last_prefix: Option<(Vec<u8>, DropPoint, Option<u32>)>,
    run: Option<u32>,
}

/// What a datagram held besides packets of netpol's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets lost before those in it.
    pub lost: u64,
    /// Packets that are not of netpol's rules, or cannot be read.
    pub foreign: u64,
}

impl Decoder {
    /// For what the rules of one run of the agent drop.
    pub fn of_run(run: Option<u32>) -> Self {
        Self {
            run,
            ..Self::default()
        }
    }

    /// Hands each packet of the run's rules in `datagram` to `each`, and passes over those of others. `received` is the
    /// time of those that bear none, or one that cannot be.
    pub fn decode(
        &mut self,
        datagram: &[u8],
        received: SystemTime,
        mut each: impl FnMut(Dropped),
    ) -> Counts {
        let mut counts = Counts::default();
        for message in Messages(datagram).filter(|message| message.message_type() == PACKET) {
            let attributes = Attributes::of(&message);
            if let Some(number) = attributes.sequence {
                counts.lost += u64::from(number.wrapping_sub(self.next));
                self.next = number.wrapping_add(1);
            }
            match attributes.prefix.and_then(|prefix| self.point(prefix)) {
                Some((_, run)) if run != self.run => {}
                Some((point, _)) => each(Dropped {
                    point,
                    packet: attributes.payload.and_then(Packet::parse),
                    time: attributes
                        .time
                        .filter(|time| {
                            received
                                .duration_since(*time)
                                .is_ok_and(|age| age <= LATEST)
                        })
                        .unwrap_or(received),
                    input: attributes.bridge_input.or(attributes.input),
                    output: attributes.bridge_output.or(attributes.output),
                }),
                None => counts.foreign += 1,
            }
        }
        counts
    }

    fn point(&mut self, prefix: &[u8]) -> Option<(DropPoint, Option<u32>)> {
        if let Some((last, point, run)) = &self.last_prefix
            && last == prefix
        {
            return Some((*point, *run));
        }
        let text = str::from_utf8(prefix.strip_suffix(&[0]).unwrap_or(prefix)).ok()?;
        let (point, run) = DropLog::read_prefix(text)?;
        let (last, last_point, last_run) = self.last_prefix.get_or_insert((Vec::new(), point, run));
        last.clear();
        last.extend_from_slice(prefix);
        (*last_point, *last_run) = (point, run);
        Some((point, run))
    }
}

/// The attributes of one message that matter here, borrowed from it.
#[derive(Default)]
struct Attributes<'a> {
    prefix: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    time: Option<SystemTime>,
    input: Option<u32>,
    output: Option<u32>,
    bridge_input: Option<u32>,
    bridge_output: Option<u32>,
    sequence: Option<u32>,
}

impl<'a> Attributes<'a> {
    fn of(message: &NetlinkBuffer<&'a [u8]>) -> Self {
        let mut found = Self::default();
        // After netfilter's own header: family, version, group.
        let bytes = message.payload().get(4..).unwrap_or_default();
        for attribute in NlasIterator::new(bytes).map_while(Result::ok) {
            let value = attribute.into_inner();
            found.take(attribute.kind(), value_of(value, attribute.length()));
        }
        found
    }

    fn take(&mut self, kind: u16, value: &'a [u8]) {
        match kind {
            PREFIX => self.prefix = Some(value),
            PAYLOAD => self.payload = Some(value),
            TIMESTAMP => self.time = time(value),
            INPUT => self.input = number(value),
            OUTPUT => self.output = number(value),
            BRIDGE_INPUT => self.bridge_input = number(value),
            BRIDGE_OUTPUT => self.bridge_output = number(value),
            SEQUENCE => self.sequence = number(value),
            _ => {}
        }
    }
}

/// An attribute's value, borrowed from the datagram; the length is checked already and includes the header of four bytes.
fn value_of(attribute: &[u8], length: u16) -> &[u8] {
    attribute.get(4..usize::from(length)).unwrap_or_default()
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Seconds and microseconds since 1970.
fn time(value: &[u8]) -> Option<SystemTime> {
    let (seconds, rest) = value.split_first_chunk::<8>()?;
    let micros = rest.first_chunk::<8>()?;
    let since = Duration::from_secs(u64::from_be_bytes(*seconds))
        .checked_add(Duration::from_micros(u64::from_be_bytes(*micros)))?;
    UNIX_EPOCH.checked_add(since)
}
