//! A connection as the kernel tracks it.

use std::net::IpAddr;

/// The label of connections that were cut, by its number.
pub const CUT_LABEL: u8 = 127;

/// Where that is in the labels: numbered from the lowest bit of the first byte, as all machines that the agent is built
/// for number them.
pub(super) const CUT_BYTE: usize = CUT_LABEL as usize / 8;
pub(super) const CUT_BIT: u8 = 1 << (CUT_LABEL % 8);

/// `IPPROTO_ICMP`
const ICMP: u8 = 1;
/// `IPPROTO_ICMPV6`
const ICMPV6: u8 = 58;

/// `IPS_OFFLOAD` and `IPS_HW_OFFLOAD`
const OFFLOADED: u32 = 1 << 14 | 1 << 15;

/// What the packets of one direction have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Who sends them.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// IP's number of the protocol.
    pub protocol: u8,
    /// For ICMP the identifier, for GRE the key; 0 for protocols without ports.
    pub source_port: u16,
    /// For GRE the key of this direction; 0 for ICMP and protocols without ports.
    pub destination_port: u16,
    /// Of ICMP and `ICMPv6` only.
    pub icmp: Option<Icmp>,
}

/// What else belongs to a direction of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Icmp {
    /// The type: 8 for ICMP's echo requests, 128 for `ICMPv6`'s.
    pub kind: u8,
    /// The code.
    pub code: u8,
}

/// Which directions a connection's zone is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneOf {
    /// Both.
    #[default]
    Both,
    /// Only the one that it was opened in; the other is in zone 0.
    Original,
    /// Only the one of the replies; the other is in zone 0.
    Reply,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// As it was opened, before NAT.
    pub original: Tuple,
    /// What replies look like before they are translated back.
    pub reply: Tuple,
    /// Connections of different zones may look the same.
    pub zone: u16,
    /// Which directions are in that zone.
    pub zone_of: ZoneOf,
    /// Distinguishes it from an earlier and a later one that look the same.
    pub id: u32,
    /// Of a connection that another brought about, as FTP's for data, that other: who opened it, and to whom, after NAT.
    pub master: Option<Tuple>,
    /// The labels, if any is set. The kernel does not tell whether there is room for them.
    pub labels: Option<[u8; 16]>,
    /// `IPS_…`
    pub status: u32,
    /// Both ends of TCP have closed it, or one has broken it off: it is remembered for late packets.
    pub is_over: bool,
}

impl Tuple {
    /// Of a protocol with ports, or of ICMP's echo requests, whose identifier is the source's port.
    pub fn new(source: (IpAddr, u16), destination: (IpAddr, u16), protocol: u8) -> Self {
        let icmp = match protocol {
            ICMP => Some(Icmp { kind: 8, code: 0 }),
            ICMPV6 => Some(Icmp { kind: 128, code: 0 }),
            _ => None,
        };
        Self {
            source: source.0,
            destination: destination.0,
            protocol,
            source_port: source.1,
            destination_port: if icmp.is_some() { 0 } else { destination.1 },
            icmp,
        }
    }

    /// What replies look like without NAT.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let icmp = self.icmp.map(|icmp| Icmp {
            kind: answer(self.protocol, icmp.kind),
            code: icmp.code,
        });
        let (source_port, destination_port) = match icmp {
            Some(_) => (self.source_port, self.destination_port),
            None => (self.destination_port, self.source_port),
        };
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port,
            destination_port,
            icmp,
        }
    }
}

/// The type of ICMP's answers to this one, and the other way round.
fn answer(protocol: u8, kind: u8) -> u8 {
    match (protocol, kind) {
        (ICMP, 8) => 0,
        (ICMP, 0) => 8,
        (ICMP, 13 | 15 | 17) | (ICMPV6, 128 | 139) => kind + 1,
        (ICMP, 14 | 16 | 18) | (ICMPV6, 129 | 140) => kind - 1,
        _ => kind,
    }
}

impl Connection {
    /// One without NAT, zone and number.
    pub fn new(original: Tuple) -> Self {
        Self {
            original,
            reply: original.reversed(),
            zone: 0,
            zone_of: ZoneOf::Both,
            id: 0,
            master: None,
            labels: None,
            status: 0,
            is_over: false,
        }
    }

    /// The same, to where destination NAT leads it.
    #[must_use]
    pub fn redirected(mut self, address: IpAddr, port: u16) -> Self {
        (self.reply.source, self.reply.source_port) = (address, port);
        self
    }

    /// Who opened it.
    pub fn source(&self) -> IpAddr {
        self.original.source
    }

    /// Who accepted it: the backend, where a Service was addressed.
    #[expect(clippy::misnamed_getters, reason = "who answers is who accepted")]
    pub fn destination(&self) -> IpAddr {
        self.reply.source
    }

    /// The port that the destination sees; 0 for protocols without ports.
    pub fn destination_port(&self) -> u16 {
        match self.reply.icmp {
            Some(_) => 0,
            None => self.reply.source_port,
        }
    }

    /// Who opened it, and to whom, as policies see it: after destination NAT, before source NAT.
    pub fn opened(&self) -> Tuple {
        Tuple {
            destination: self.destination(),
            destination_port: self.destination_port(),
            ..self.original
        }
    }

    /// What stands for it where it is judged: the connection that brought it about, if one did.
    pub fn judged(&self) -> Tuple {
        self.master.unwrap_or_else(|| self.opened())
    }

    /// Whether it bears the label of those that were cut.
    pub fn is_cut(&self) -> bool {
        self.labels
            .is_some_and(|labels| labels[CUT_BYTE] & CUT_BIT != 0)
    }

    /// Whether its packets pass by the rules: it must be deleted to be cut.
    pub fn is_offloaded(&self) -> bool {
        self.status & OFFLOADED != 0
    }
}
