//! What makes packets one flow.

use std::collections::HashSet;
use std::net::IpAddr;

use policy_compiler::model::Direction;
use policy_compiler::ruleset::{DropOf, DropPoint};

use super::Dropped;
use crate::flow_log::packet::{Packet, PacketTransport};

/// Packets with the same key are one flow: dropped for the same pod and direction, with the same peer, to the same port.
/// Source ports are not in it, since each attempt of a client that keeps trying has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    point: DropPoint,
    /// `None` for packets that could not be read.
    of: Option<(Ends, Service)>,
}

/// The ends that the drop point does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ends {
    /// A pod's drop: the other end.
    Peer(IpAddr),
    /// A drop that stands for many addresses: source and destination.
    Both(IpAddr, IpAddr),
}

/// The protocol number and the destination port; for ICMP the type and the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Service {
    protocol: u8,
    has_header: bool,
    port: u16,
}

impl Key {
    pub(super) fn of(dropped: &Dropped) -> Self {
        let point = dropped.point;
        let ends = |packet: Packet| match (point.of, point.direction) {
            (DropOf::Pod(_), Direction::Ingress) => Ends::Peer(packet.source),
            (DropOf::Pod(_), Direction::Egress) => Ends::Peer(packet.destination),
            _ => Ends::Both(packet.source, packet.destination),
        };
        Self {
            point,
            of: dropped
                .packet
                .map(|packet| (ends(packet), Service::of(packet.transport))),
        }
    }

    /// Whether an end that the drop point does not say has one of these addresses.
    pub(super) fn is_of(&self, addresses: &HashSet<IpAddr>) -> bool {
        match self.of {
            Some((Ends::Peer(peer), _)) => addresses.contains(&peer),
            Some((Ends::Both(source, destination), _)) => {
                addresses.contains(&source) || addresses.contains(&destination)
            }
            None => false,
        }
    }

    pub(super) fn point(&self) -> DropPoint {
        self.point
    }
}

impl Service {
    fn of(transport: PacketTransport) -> Self {
        let (protocol, port) = match transport {
            PacketTransport::Tcp {
                destination_port, ..
            } => (6, destination_port),
            PacketTransport::Udp {
                destination_port, ..
            } => (17, destination_port),
            PacketTransport::Sctp {
                destination_port, ..
            } => (132, destination_port),
            PacketTransport::Icmpv4 { kind, code } => (1, u16::from_be_bytes([kind, code])),
            PacketTransport::Icmpv6 { kind, code } => (58, u16::from_be_bytes([kind, code])),
            PacketTransport::Other { protocol, .. } => {
                return Self {
                    protocol,
                    has_header: false,
                    port: 0,
                };
            }
        };
        Self {
            protocol,
            has_header: true,
            port,
        }
    }
}
