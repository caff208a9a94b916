//! Reads a packet as nftables does, so that the log and the rules speak of the same protocol and port.
//!
//! The walk is netfilter's own (`nft_set_pktinfo`, `ipv6_find_hdr`) and not a general parser's: it stops at later fragments, whose
//! bytes are the sender's to choose, and it steps over AH in IPv6 but not in IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Packet, PacketTransport, TcpFlags};

const HOP_BY_HOP: u8 = 0;
const ICMPV4: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;

impl Packet {
    /// Reads a packet from its IP header on; it may be cut anywhere. `None` if its addresses cannot be read.
    ///
    /// What is cut before its ports, or is a later fragment, has only a protocol: [`PacketTransport::Other`]. If IPv6 is cut
    /// within its extension headers, that is the number of the first header that is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => ipv4(bytes),
            6 => ipv6(bytes),
            _ => None,
        }
    }
}

fn ipv4(bytes: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let [first, .., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let protocol = header[9];
    // 13 bits of offset; the three above are flags.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let header_length = usize::from(first & 0xf) * 4;
    let transport = match bytes.get(header_length..) {
        // A header shorter than itself has its protocol still, but nothing can be found after it.
        Some(payload) if header_length >= header.len() && !fragment => {
            transport(protocol, ICMPV4, payload)
        }
        _ => PacketTransport::Other { protocol, fragment },
    };
    Some(Packet {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        transport,
    })
}

fn ipv6(bytes: &[u8]) -> Option<Packet> {
    let (header, payload) = bytes.split_first_chunk::<40>()?;
    let address = |from| -> Option<IpAddr> {
        let octets: &[u8; 16] = header.get(from..)?.first_chunk()?;
        Some(Ipv6Addr::from(*octets).into())
    };
    Some(Packet {
        source: address(8)?,
        destination: address(24)?,
        transport: after_extensions(header[6], payload),
    })
}

/// Steps over IPv6 extension headers. Each is at least eight bytes long, so that the walk ends with the packet.
fn after_extensions(mut protocol: u8, mut rest: &[u8]) -> PacketTransport {
    loop {
        let cut = PacketTransport::Other {
            protocol,
            fragment: false,
        };
        if !is_extension(protocol) {
            return transport(protocol, ICMPV6, rest);
        }
        let Some(&[next, length, offset_high, offset_low, ..]) = rest.first_chunk::<8>() else {
            return cut;
        };
        let length = match protocol {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        // 13 bits of offset, two reserved, one for "more follow".
        let is_later = u16::from_be_bytes([offset_high, offset_low]) & 0xfff8 != 0;
        if protocol == FRAGMENT && is_later {
            return PacketTransport::Other {
                protocol: next,
                fragment: true,
            };
        }
        let Some(after) = rest.get(length..) else {
            return cut;
        };
        (protocol, rest) = (next, after);
    }
}

fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS
    )
}

/// What is above IP; `icmp` is the protocol number of the ICMP that belongs to this version of IP.
fn transport(protocol: u8, icmp: u8, bytes: &[u8]) -> PacketTransport {
    let other = PacketTransport::Other {
        protocol,
        fragment: false,
    };
    if protocol == icmp {
        return match *bytes {
            [kind, code, ..] if icmp == ICMPV4 => PacketTransport::Icmpv4 { kind, code },
            [kind, code, ..] => PacketTransport::Icmpv6 { kind, code },
            _ => other,
        };
    }
    let &[s0, s1, d0, d1, ref after_ports @ ..] = bytes else {
        return other;
    };
    let source_port = u16::from_be_bytes([s0, s1]);
    let destination_port = u16::from_be_bytes([d0, d1]);
    match protocol {
        TCP => PacketTransport::Tcp {
            source_port,
            destination_port,
            // Two numbers of four bytes and the header's length are in between.
            flags: after_ports.get(9).copied().map(TcpFlags),
        },
        UDP => PacketTransport::Udp {
            source_port,
            destination_port,
        },
        SCTP => PacketTransport::Sctp {
            source_port,
            destination_port,
        },
        _ => other,
    }
}
