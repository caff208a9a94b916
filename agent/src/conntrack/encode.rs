//! What the kernel is told of a connection.

use std::net::IpAddr;

use super::connection::{CUT_BIT, CUT_BYTE};
use super::numbers::{
    BY_SOURCE, DESTINATION_PORT, FILTER, FILTER_ORIGINAL, FILTER_REPLY, ICMP_CODE, ICMP_ID,
    ICMP_TYPE, ICMPV6_CODE, ICMPV6_ID, ICMPV6_TYPE, ID, LABELS, LABELS_MASK, ORIGINAL, PROTOCOL,
    REPLY, SOURCE_PORT, TUPLE_IP, TUPLE_PROTOCOL, TUPLE_ZONE, V4, V4_DESTINATION, V4_SOURCE, V6,
    V6_DESTINATION, V6_SOURCE, ZONE,
};
use super::{Connection, Tuple, ZoneOf};
use crate::netlink::Writer;

/// `AF_INET` or `AF_INET6`.
pub(super) fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => V4,
        IpAddr::V6(_) => V6,
    }
}

/// A direction, with a zone of its own if it has one.
pub(super) fn tuple(writer: &mut Writer, kind: u16, tuple: &Tuple, zone: Option<u16>) {
    writer.nest(kind, |w| {
        w.nest(TUPLE_IP, |w| {
            address(w, tuple.source, [V4_SOURCE, V6_SOURCE]);
            address(w, tuple.destination, [V4_DESTINATION, V6_DESTINATION]);
        });
        w.nest(TUPLE_PROTOCOL, |w| {
            w.put(PROTOCOL, &[tuple.protocol]);
            if let Some(icmp) = tuple.icmp {
                let [id, kind, code] = match tuple.source {
                    IpAddr::V4(_) => [ICMP_ID, ICMP_TYPE, ICMP_CODE],
                    IpAddr::V6(_) => [ICMPV6_ID, ICMPV6_TYPE, ICMPV6_CODE],
                };
                w.be16(id, tuple.source_port);
                w.put(kind, &[icmp.kind]);
                w.put(code, &[icmp.code]);
            } else {
                // The kernel passes over ports of protocols that have none.
                w.be16(SOURCE_PORT, tuple.source_port);
                w.be16(DESTINATION_PORT, tuple.destination_port);
            }
        });
        if let Some(zone) = zone {
            w.be16(TUPLE_ZONE, zone);
        }
    });
}

fn address(writer: &mut Writer, address: IpAddr, [v4, v6]: [u16; 2]) {
    match address {
        IpAddr::V4(address) => writer.put(v4, &address.octets()),
        IpAddr::V6(address) => writer.put(v6, &address.octets()),
    }
}

/// By which the kernel finds a connection that is to be changed.
///
/// It goes by the direction of replies: that bears the backend. Should the connection be gone, and its ends have opened another
/// that looks the same to them, then it is between the same pods, which the same verdict fits; to a Service it need not be.
pub(super) fn which_one(writer: &mut Writer, connection: &Connection) {
    let zone = (connection.zone_of == ZoneOf::Reply).then_some(connection.zone);
    tuple(writer, REPLY, &connection.reply, zone);
    if connection.zone_of == ZoneOf::Both && connection.zone != 0 {
        writer.be16(ZONE, connection.zone);
    }
}

/// By which the kernel finds a connection that is only known as it was opened.
pub(super) fn by_original(writer: &mut Writer, connection: &Connection) {
    let zone = (connection.zone_of == ZoneOf::Original).then_some(connection.zone);
    tuple(writer, ORIGINAL, &connection.original, zone);
    if connection.zone_of == ZoneOf::Both && connection.zone != 0 {
        writer.be16(ZONE, connection.zone);
    }
}

/// As [`which_one`], and no other that looks the same. Only deletions heed that.
pub(super) fn exactly_which_one(writer: &mut Writer, connection: &Connection) {
    which_one(writer, connection);
    writer.be32(ID, connection.id);
}

/// The label of those that were cut, set or not. The others stay as they are.
pub(super) fn cut_label(writer: &mut Writer, is_cut: bool) {
    let mut mask = [0; 16];
    mask[CUT_BYTE] = CUT_BIT;
    let labels = if is_cut { mask } else { [0; 16] };
    writer.put(LABELS, &labels);
    writer.put(LABELS_MASK, &mask);
}

/// Which end of a connection is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Who opened it.
    Source,
    /// Who accepted it.
    Destination,
}

/// Only those that this address has this role in.
pub(super) fn filter(writer: &mut Writer, role: Role, wanted: IpAddr) {
    filter_flags(writer, role);
    writer.nest(attribute_of(role), |w| {
        w.nest(TUPLE_IP, |w| address(w, wanted, [V4_SOURCE, V6_SOURCE]));
    });
}

/// Asks for an address and gives none, which a kernel that reads it refuses.
pub(super) fn filter_without_address(writer: &mut Writer, role: Role) {
    filter_flags(writer, role);
    writer.nest(attribute_of(role), |_| {});
}

fn filter_flags(writer: &mut Writer, role: Role) {
    let flags = match role {
        Role::Source => FILTER_ORIGINAL,
        Role::Destination => FILTER_REPLY,
    };
    writer.nest(FILTER, |w| w.put(flags, &BY_SOURCE.to_ne_bytes()));
}

fn attribute_of(role: Role) -> u16 {
    match role {
        Role::Source => ORIGINAL,
        Role::Destination => REPLY,
    }
}

/// All that is told of a connection.
#[cfg(test)]
pub(super) fn whole(writer: &mut Writer, connection: &Connection) {
    use super::numbers::{MASTER, STATUS};

    let zone = |of| (connection.zone_of == of).then_some(connection.zone);
    tuple(
        writer,
        ORIGINAL,
        &connection.original,
        zone(ZoneOf::Original),
    );
    tuple(writer, REPLY, &connection.reply, zone(ZoneOf::Reply));
    if let Some(zone) = zone(ZoneOf::Both) {
        writer.be16(ZONE, zone);
    }
    writer.be32(ID, connection.id);
    writer.be32(STATUS, connection.status);
    if let Some(labels) = connection.labels {
        writer.put(LABELS, &labels);
    }
    if let Some(master) = &connection.master {
        tuple(writer, MASTER, master, None);
    }
}
