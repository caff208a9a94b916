//! What the kernel tells of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::numbers::{
    DESTINATION_PORT, ICMP_CODE, ICMP_ID, ICMP_TYPE, ICMPV6_CODE, ICMPV6_ID, ICMPV6_TYPE, ID,
    LABELS, MASTER, ORIGINAL, PROTOCOL, PROTOCOL_STATE, REPLY, SOURCE_PORT, STATUS, TCP, TCP_STATE,
    TUPLE_IP, TUPLE_PROTOCOL, TUPLE_ZONE, V4_DESTINATION, V4_SOURCE, V6_DESTINATION, V6_SOURCE,
    ZONE,
};
use super::{Connection, Icmp, Tuple, ZoneOf};
use crate::netlink::{Attribute, Attributes};

/// A connection; nothing if what makes one is missing. Its master is as it was opened, before NAT.
pub(super) fn connection(attributes: Attributes<'_>) -> Option<Connection> {
    let (mut original, mut reply, mut master) = (None, None, None);
    let (mut zone, mut zone_of) = (0, ZoneOf::Both);
    let (mut id, mut labels, mut status) = (0, None, 0);
    let mut is_over = false;
    for attribute in attributes {
        match attribute.kind {
            ORIGINAL | REPLY => {
                let (tuple, own_zone) = tuple(&attribute)?;
                let (place, direction) = if attribute.kind == ORIGINAL {
                    (&mut original, ZoneOf::Original)
                } else {
                    (&mut reply, ZoneOf::Reply)
                };
                *place = Some(tuple);
                if let Some(number) = own_zone {
                    (zone, zone_of) = (number, direction);
                }
            }
            MASTER => master = tuple(&attribute).map(|(tuple, _)| tuple),
            ZONE => (zone, zone_of) = (be16(&attribute)?, ZoneOf::Both),
            ID => id = attribute.number(),
            STATUS => status = attribute.number(),
            PROTOCOL_STATE => is_over = tcp_is_over(&attribute),
            LABELS => labels = attribute.value.first_chunk().copied(),
            _ => {}
        }
    }
    Some(Connection {
        original: original?,
        reply: reply?,
        zone,
        zone_of,
        id,
        master,
        labels,
        status,
        is_over,
    })
}

/// `TCP_CONNTRACK_TIME_WAIT` or `TCP_CONNTRACK_CLOSE`
fn tcp_is_over(attribute: &Attribute<'_>) -> bool {
    let tcp = Attributes(attribute.value).find(|part| part.kind == TCP);
    let state = tcp.and_then(|tcp| Attributes(tcp.value).find(|part| part.kind == TCP_STATE));
    state.is_some_and(|state| matches!(state.value, [7 | 8, ..]))
}

/// A direction, and its zone if it has one of its own.
fn tuple(attribute: &Attribute<'_>) -> Option<(Tuple, Option<u16>)> {
    let (mut source, mut destination, mut zone) = (None, None, None);
    let (mut protocol, mut source_port, mut destination_port) = (None, 0, 0);
    let (mut kind, mut code) = (None, 0);
    for part in Attributes(attribute.value) {
        match part.kind {
            TUPLE_IP => {
                for end in Attributes(part.value) {
                    match end.kind {
                        V4_SOURCE => source = v4(&end),
                        V4_DESTINATION => destination = v4(&end),
                        V6_SOURCE => source = v6(&end),
                        V6_DESTINATION => destination = v6(&end),
                        _ => {}
                    }
                }
            }
            TUPLE_PROTOCOL => {
                for word in Attributes(part.value) {
                    match word.kind {
                        PROTOCOL => protocol = word.value.first().copied(),
                        SOURCE_PORT | ICMP_ID | ICMPV6_ID => source_port = be16(&word)?,
                        DESTINATION_PORT => destination_port = be16(&word)?,
                        ICMP_TYPE | ICMPV6_TYPE => kind = word.value.first().copied(),
                        ICMP_CODE | ICMPV6_CODE => code = *word.value.first()?,
                        _ => {}
                    }
                }
            }
            TUPLE_ZONE => zone = be16(&part),
            _ => {}
        }
    }
    let tuple = Tuple {
        source: source?,
        destination: destination?,
        protocol: protocol?,
        source_port,
        destination_port,
        icmp: kind.map(|kind| Icmp { kind, code }),
    };
    Some((tuple, zone))
}

fn v4(attribute: &Attribute<'_>) -> Option<IpAddr> {
    let octets: [u8; 4] = attribute.value.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(attribute: &Attribute<'_>) -> Option<IpAddr> {
    let octets: [u8; 16] = attribute.value.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

fn be16(attribute: &Attribute<'_>) -> Option<u16> {
    Some(u16::from_be_bytes(*attribute.value.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode;
    use super::*;
    use crate::netlink::written;

    fn address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (a.into(), b.into())),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (a.into(), b.into())),
        ]
    }

    prop_compose! {
        fn a_tuple()(
            (source, destination) in address(),
            ports in any::<(u16, u16)>(),
            protocol in prop_oneof![Just(1), Just(6), Just(17), Just(47), Just(58), any::<u8>()],
        ) -> Tuple {
            Tuple::new((source, ports.0), (destination, ports.1), protocol)
        }
    }

    prop_compose! {
        fn a_connection()(
            original in a_tuple(),
            backend in any::<u16>(),
            (zone, zone_of) in (
                1_u16..,
                prop_oneof![Just(ZoneOf::Both), Just(ZoneOf::Original), Just(ZoneOf::Reply)],
            ),
            master in proptest::option::of(a_tuple()),
            labels in proptest::option::of(any::<[u8; 16]>()),
            (id, status) in any::<(u32, u32)>(),
        ) -> Connection {
            let mut connection = Connection::new(original);
            if original.icmp.is_none() {
                connection.reply.source_port = backend;
            }
            Connection { zone, zone_of, id, master, labels, status, ..connection }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(connection in a_connection()) {
            let bytes = written(|w| encode::whole(w, &connection)).expect("short");
            prop_assert_eq!(super::connection(Attributes(&bytes)), Some(connection));
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = connection(Attributes(&bytes));
        }

        #[test]
        fn broken_connections_are_read_or_not(
            connection in a_connection(),
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
            end in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = written(|w| encode::whole(w, &connection)).expect("short");
            for (place, byte) in edits {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let end = end.index(bytes.len());
            let _ = super::connection(Attributes(&bytes[..end]));
        }
    }

    #[test]
    fn tcp_that_is_over_is_known() {
        let tuple = Tuple::new(([10, 0, 0, 1].into(), 1), ([10, 0, 0, 2].into(), 2), 6);
        for (state, is_over) in [(3, false), (6, false), (7, true), (8, true), (9, false)] {
            let bytes = written(|w| {
                encode::whole(w, &Connection::new(tuple));
                w.nest(PROTOCOL_STATE, |w| {
                    w.nest(TCP, |w| w.put(TCP_STATE, &[state]));
                });
            });
            let found = connection(Attributes(&bytes.expect("short")));
            assert_eq!(found.map(|found| found.is_over), Some(is_over), "{state}");
        }
    }

    #[test]
    fn half_a_connection_is_none() {
        let tuple = Tuple::new(([10, 0, 0, 1].into(), 1), ([10, 0, 0, 2].into(), 2), 6);
        let bytes = written(|w| encode::tuple(w, ORIGINAL, &tuple, None)).expect("short");
        assert_eq!(connection(Attributes(&bytes)), None);
    }
}
