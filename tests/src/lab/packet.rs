//! The packets that are written and read by hand.

use crc::{CRC_32_ISCSI, Crc};

/// What a probe is recognised by wherever it arrives, whatever address translation did to it.
///
/// The number is the source port, or the identifier of an echo; within one lab each is given out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The IP protocol.
    pub protocol: IpProtocol,
    /// Source port or echo identifier.
    pub number: u16,
}

/// The protocols the lab speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP or ICMPv6, by the family.
    Icmp,
}

impl IpProtocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp];

    /// The protocol's number in an IP header.
    pub fn number(self, ipv4: bool) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Icmp => {
                if ipv4 {
                    1
                } else {
                    58
                }
            }
        }
    }
}

/// Begins every UDP request of the lab; the answer begins with [`ANSWER`].
pub(super) const REQUEST: &[u8; 4] = b"np?\n";
/// Begins every UDP answer of the lab.
pub(super) const ANSWER: &[u8; 4] = b"np!\n";

/// TCP's flag of a first segment.
pub(super) const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The transport part of a packet as a raw socket delivers it: IPv4 with its header, IPv6 without.
pub(super) fn transport(packet: &[u8], ipv4: bool) -> Option<&[u8]> {
    if !ipv4 {
        return Some(packet);
    }
    let header = usize::from(packet.first()? & 0x0f) * 4;
    packet.get(header..)
}

/// The token of a request; nothing for answers and for packets that are not the lab's.
pub(super) fn request_token(protocol: IpProtocol, transport: &[u8], ipv4: bool) -> Option<Token> {
    let source_port = || {
        Some(u16::from_be_bytes([
            *transport.first()?,
            *transport.get(1)?,
        ]))
    };
    let number = match protocol {
        IpProtocol::Tcp => (transport.get(13)? & (SYN | ACK) == SYN).then(source_port)??,
        IpProtocol::Udp => transport
            .get(8..)?
            .starts_with(REQUEST)
            .then(source_port)??,
        IpProtocol::Sctp => (*transport.get(12)? == SctpChunk::Init as u8).then(source_port)??,
        IpProtocol::Icmp => {
            let request = if ipv4 { 8 } else { 128 };
            (*transport.first()? == request).then_some(())?;
            u16::from_be_bytes([*transport.get(4)?, *transport.get(5)?])
        }
    };
    Some(Token { protocol, number })
}

/// The chunk that opens an SCTP association, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpChunk {
    /// Opens.
    Init = 1,
    /// Answers.
    InitAck = 2,
}

/// The fields of an SCTP packet with one INIT or INIT-ACK chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpInit {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// What the receiver knows the packet by; 0 in an INIT.
    pub verification_tag: u32,
    /// Which of the two.
    pub chunk: SctpChunk,
    /// What the sender wants to be known by.
    pub initiate_tag: u32,
}

/// SCTP's checksum is stored in the order the polynomial's bits leave it: least significant byte first.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

impl SctpInit {
    /// The packet, with a valid checksum: connection tracking drops others.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(32);
        packet.extend(self.source.to_be_bytes());
        packet.extend(self.destination.to_be_bytes());
        packet.extend(self.verification_tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([self.chunk as u8, 0, 0, 20]);
        packet.extend(self.initiate_tag.to_be_bytes());
        packet.extend(65_536_u32.to_be_bytes());
        packet.extend(1_u16.to_be_bytes());
        packet.extend(1_u16.to_be_bytes());
        packet.extend(1_u32.to_be_bytes());
        let sum = CRC32C.checksum(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        packet
    }

    /// Reads what [`SctpInit::encode`] writes; nothing if it is something else or damaged.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut zeroed = packet.get(..32)?.to_vec();
        zeroed[8..12].fill(0);
        let u16_at = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let u32_at = |at: usize| {
            u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
        };
        if CRC32C.checksum(&zeroed).to_le_bytes() != packet[8..12] {
            return None;
        }
        let chunk = match packet[12] {
            1 => SctpChunk::Init,
            2 => SctpChunk::InitAck,
            _ => return None,
        };
        Some(Self {
            source: u16_at(0),
            destination: u16_at(2),
            verification_tag: u32_at(4),
            chunk,
            initiate_tag: u32_at(16),
        })
    }
}

/// An echo request as a ping socket wants it: the kernel fills in checksum and identifier.
pub(super) fn echo_request(ipv4: bool, size: usize) -> Vec<u8> {
    let mut packet = vec![if ipv4 { 8 } else { 128 }, 0, 0, 0, 0, 0, 0, 1];
    packet.resize(8 + size, 0x6e);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sctp_survives_a_round_trip_and_damage_does_not() {
        let init = SctpInit {
            source: 40_000,
            destination: 9000,
            verification_tag: 0,
            chunk: SctpChunk::Init,
            initiate_tag: 7,
        };
        let mut packet = init.encode();
        assert_eq!(SctpInit::decode(&packet), Some(init));
        packet[2] ^= 1;
        assert_eq!(SctpInit::decode(&packet), None);
    }

    #[test]
    fn answers_have_no_token() {
        let init_ack = SctpInit {
            source: 9000,
            destination: 40_000,
            verification_tag: 7,
            chunk: SctpChunk::InitAck,
            initiate_tag: 9,
        };
        assert_eq!(
            request_token(IpProtocol::Sctp, &init_ack.encode(), true),
            None
        );
    }
}
