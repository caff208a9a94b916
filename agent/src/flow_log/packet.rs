//! What can be read of a packet from its first bytes.

use std::net::IpAddr;

/// A dropped packet, as the hook saw it: after destination NAT, before source NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What is above IP.
    pub transport: PacketTransport,
}

/// The protocol above IP and what it says of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketTransport {
    /// TCP.
    Tcp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// The flags, `None` if the packet was cut before them.
        flags: Option<TcpFlags>,
    },
    /// UDP.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// SCTP.
    Sctp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// ICMP.
    Icmpv4 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// ICMPv6.
    Icmpv6 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Another protocol, or one of the above whose header is not in the packet: it is a later fragment, or was cut.
    Other {
        /// The IP protocol number.
        protocol: u8,
        /// Whether it is a fragment other than the first.
        fragment: bool,
    },
}

/// TCP's flags, as in the header's 14th byte: FIN is the lowest bit, CWR the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// SYN.
    pub fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// ACK.
    pub fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}
