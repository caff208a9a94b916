//! What is in a datagram of NFLOG.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use policy_compiler::ruleset::DropPoint;

use crate::flow_log::fold::Dropped;
use crate::flow_log::packet::Packet;
use crate::netlink::{LOG, Message, Messages, kind};

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
    last_prefix: Option<(Vec<u8>, DropPoint)>,
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
    /// Hands each packet of netpol's rules in `datagram` to `each`. `received` is the time of those that bear none, or one
    /// that cannot be.
    pub fn decode(
        &mut self,
        datagram: &[u8],
        received: SystemTime,
        mut each: impl FnMut(Dropped),
    ) -> Counts {
        let mut counts = Counts::default();
        for message in Messages(datagram).filter(|message| message.kind == PACKET) {
            let found = Found::of(&message);
            if let Some(number) = found.sequence {
                counts.lost += u64::from(number.wrapping_sub(self.next));
                self.next = number.wrapping_add(1);
            }
            match found.prefix.and_then(|prefix| self.point(prefix)) {
                Some(point) => each(Dropped {
                    point,
                    packet: found.payload.and_then(Packet::parse),
                    time: found
                        .time
                        .filter(|time| {
                            received
                                .duration_since(*time)
                                .is_ok_and(|age| age <= LATEST)
                        })
                        .unwrap_or(received),
                    input: found.bridge_input.or(found.input),
                    output: found.bridge_output.or(found.output),
                }),
                None => counts.foreign += 1,
            }
        }
        counts
    }

    fn point(&mut self, prefix: &[u8]) -> Option<DropPoint> {
        if let Some((last, point)) = &self.last_prefix
            && last == prefix
        {
            return Some(*point);
        }
        let text = str::from_utf8(prefix.strip_suffix(&[0]).unwrap_or(prefix)).ok()?;
        let point = text.parse().ok()?;
        let (last, last_point) = self.last_prefix.get_or_insert((Vec::new(), point));
        last.clear();
        last.extend_from_slice(prefix);
        *last_point = point;
        Some(point)
    }
}

/// The attributes of one message that matter here, borrowed from it.
#[derive(Default)]
struct Found<'a> {
    prefix: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    time: Option<SystemTime>,
    input: Option<u32>,
    output: Option<u32>,
    bridge_input: Option<u32>,
    bridge_output: Option<u32>,
    sequence: Option<u32>,
}

impl<'a> Found<'a> {
    fn of(message: &Message<'a>) -> Self {
        let mut found = Self::default();
        for attribute in message.attributes() {
            found.take(attribute.kind, attribute.value);
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
