//! Connections that were cut, as the log tells of them.

use policy_compiler::model::Direction;

use super::event::Hint;
use super::packet::PacketTransport;
use crate::conntrack::judge::Objection;
use crate::conntrack::{Connection, Tuple};
use crate::revoke::causes::Causes;

/// A connection that was cut.
#[derive(Debug)]
pub struct Cut<'a> {
    /// The connection.
    pub connection: Connection,
    /// What policies have against it.
    pub objection: Objection,
    /// What had changed.
    pub causes: &'a Causes,
}

impl Cut<'_> {
    /// The side that objects; the source's if both do.
    pub(super) fn direction(&self) -> Direction {
        let first = self.objection.directions().next();
        first.unwrap_or(Direction::Egress)
    }

    /// The policies of the other end object too.
    pub(super) fn other_side(&self) -> Option<Hint> {
        let side = self.objection.directions().nth(1)?;
        let policies = self.objection.side(side).iter();
        let names: Vec<String> = policies.map(ToString::to_string).collect();
        Some(Hint {
            code: "other-side",
            text: format!(
                "{side} is not allowed either: no rule of {}",
                names.join(", ")
            ),
        })
    }
}

/// Protocol and ports as the first packet had them, after destination NAT.
pub(super) fn transport(tuple: &Tuple) -> PacketTransport {
    let (source_port, destination_port) = (tuple.source_port, tuple.destination_port);
    let icmp = tuple.icmp.map(|icmp| (icmp.kind, icmp.code));
    match (tuple.protocol, icmp) {
        (6, _) => PacketTransport::Tcp {
            source_port,
            destination_port,
            flags: None,
        },
        (17, _) => PacketTransport::Udp {
            source_port,
            destination_port,
        },
        (132, _) => PacketTransport::Sctp {
            source_port,
            destination_port,
        },
        (1, Some((kind, code))) => PacketTransport::Icmpv4 { kind, code },
        (58, Some((kind, code))) => PacketTransport::Icmpv6 { kind, code },
        (protocol, _) => PacketTransport::Other {
            protocol,
            fragment: false,
        },
    }
}
