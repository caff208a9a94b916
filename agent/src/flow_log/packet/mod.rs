//! What can be read of a packet from its first bytes.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
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
    /// The flags by their names in RFC 9293, the first of a connection first.
    const NAMES: [(u8, &'static str); 8] = [
        (Self::SYN, "SYN"),
        (Self::FIN, "FIN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];
    const FIN: u8 = 1;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;
    const PSH: u8 = 1 << 3;
    const ACK: u8 = 1 << 4;
    const URG: u8 = 1 << 5;
    const ECE: u8 = 1 << 6;
    const CWR: u8 = 1 << 7;

    /// No more data from the sender.
    pub fn fin(self) -> bool {
        self.has(Self::FIN)
    }

    /// The beginning of a connection.
    pub fn syn(self) -> bool {
        self.has(Self::SYN)
    }

    /// The connection is broken off.
    pub fn rst(self) -> bool {
        self.has(Self::RST)
    }

    /// Data to be handed on at once.
    pub fn psh(self) -> bool {
        self.has(Self::PSH)
    }

    /// The acknowledgement number counts.
    pub fn ack(self) -> bool {
        self.has(Self::ACK)
    }

    /// The urgent pointer counts.
    pub fn urg(self) -> bool {
        self.has(Self::URG)
    }

    /// Congestion was seen, or the sender knows of ECN.
    pub fn ece(self) -> bool {
        self.has(Self::ECE)
    }

    /// The sender has slowed down.
    pub fn cwr(self) -> bool {
        self.has(Self::CWR)
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

impl fmt::Display for TcpFlags {
    /// `SYN`, `SYN,ACK`; `none` if no flag is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in Self::NAMES.iter().filter(|(flag, _)| self.has(*flag)) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        if separator.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}
