//! Packets that bear a source that is not their sender's. No policy is in the way of any: everybody may talk to
//! everybody.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use netpol_tests::lab::{
    IpProtocol, Ipv4Header, Ipv6Header, Lab, NODES, OUTSIDE, Topology, privileged, send_raw,
    udp_request, uninterrupted,
};
use policy_compiler::compile::Protection;

use crate::shots::{ARRIVED_WITHIN, DENIED_WITHIN, Shots};
use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, open_to};

/// Who forges.
const FORGER: &str = STRANGER;
/// Whom: on the forger's node and on the other.
const VICTIMS: [&str; 2] = [NEAR, FAR];

fn guard(lab: &Lab) {
    let protection = |_: &_| Protection {
        source_guard: true,
        ..Protection::default()
    };
    lab.load_protected(&open_to(|_| true), protection)
        .unwrap_or_else(|error| panic!("{error}"));
}

fn forged_packets(lab: &Lab) -> u64 {
    let counters = lab
        .counters("node-a")
        .unwrap_or_else(|error| panic!("{error}"));
    counters["forged-source"]
}

/// The sources that are not the forger's, by what they are, and whether the way back tells.
fn sources(topology: Topology, victim: &str) -> Vec<(&'static str, IpAddr, bool)> {
    let node = &NODES[0];
    let of_node = [IpAddr::V4(node.v4), node.v6.into()].into_iter();
    let of_node = of_node.chain(topology.extra_node_addresses(node));
    let outside = [IpAddr::V4(OUTSIDE.0), OUTSIDE.1.into()];
    // The way back to a neighbour on the bridge is by the bridge. Which port an address is behind only the bridge knows.
    let has_own_veth = !topology.has_bridge();
    let remote = if victim == FAR { CALLER } else { FAR };
    let mut all: Vec<_> = of_node.map(|source| ("the node's", source, true)).collect();
    all.extend(addresses(CALLER).map(|source| ("another pod's", source, has_own_veth)));
    all.extend(
        addresses(victim).map(|source| ("the victim's", source, has_own_veth || victim == FAR)),
    );
    if remote == FAR {
        all.extend(addresses(FAR).map(|source| ("a remote pod's", source, true)));
    }
    all.extend(outside.map(|source| ("an outside host's", source, true)));
    all
}

#[test]
fn a_forged_source_does_not_get_anywhere() {
    if !privileged("a_forged_source_does_not_get_anywhere") {
        return;
    }
    for topology in Topology::ALL {
        let (mut caught, mut own) = (Shots::default(), Shots::default());
        for victim in VICTIMS {
            for (_, source, _) in sources(topology, victim).into_iter().filter(|s| s.2) {
                caught.aim(FORGER, source, victim, 80);
            }
            for source in addresses(FORGER) {
                own.aim(FORGER, source, victim, 80);
            }
        }
        for shots in [&caught, &own] {
            for protocol in [IpProtocol::Tcp, IpProtocol::Udp] {
                assert!(shots.0.iter().any(|shot| shot.token.protocol == protocol));
            }
        }
        let open = build(topology);
        caught.fire(&open);
        let arrived = caught.arrived(&open, DENIED_WITHIN);
        for victim in VICTIMS {
            let unhindered = |name: &&&str| name.contains(victim) && name.contains("fd00:");
            assert!(
                arrived.iter().any(|name| unhindered(&name)),
                "{topology}: nobody else stops what bears a forged IPv6 address to {victim}, or this test proves nothing"
            );
        }

        let lab = build(topology);
        guard(&lab);
        caught.none_arrives(&lab);
        let counted = forged_packets(&lab);
        // Some are sent in several packets, and all of those may have been put together before.
        let sent = u64::try_from(caught.0.len()).expect("not that many");
        assert!(counted >= sent, "{topology}: {counted} of {sent} counted");
        // The same numbers, from who may use them.
        let lab = build(topology);
        guard(&lab);
        own.fire(&lab);
        let arrived = own.arrived(&lab, ARRIVED_WITHIN).len();
        assert_eq!(arrived, own.0.len(), "{topology}: true sources arrive");
        assert_eq!(forged_packets(&lab), 0, "{topology}");
    }
}

/// Nor into a connection that is there: its packets would pass without being judged.
#[test]
fn a_forged_source_does_not_get_into_anothers_connection() {
    if !privileged("a_forged_source_does_not_get_into_anothers_connection") {
        return;
    }
    for topology in Topology::ALL {
        for victim in VICTIMS {
            for (client, server) in addresses(CALLER).into_iter().zip(addresses(victim)) {
                let (client, server) =
                    (SocketAddr::new(client, 7001), SocketAddr::new(server, 7000));
                let lab = build(topology);
                let [sender, receiver] =
                    [(CALLER, client), (victim, server)].map(|(pod, address)| {
                        let netns = lab.host(&at(pod)).expect("a pod").netns();
                        let bound = netns.call(move || UdpSocket::bind(address));
                        bound.expect("alive").expect("a free port")
                    });
                sender.connect(server).expect("a way");
                let mut buffer = [0; 64];
                let mut sent_truly = || {
                    receiver
                        .set_read_timeout(Some(ARRIVED_WITHIN))
                        .expect("a time");
                    sender.send(b"true").expect("sent");
                    let (length, from) =
                        uninterrupted(|| receiver.recv_from(&mut buffer)).expect("arrives");
                    assert_eq!((&buffer[..length], from), (&b"true"[..], client));
                };
                sent_truly();
                let forge = || {
                    let (packet, to) = (forged(client, server), server.ip());
                    let netns = lab.host(&at(FORGER)).expect("a pod").netns();
                    let sent = netns.call(move || send_raw(&[packet], to));
                    sent.expect("alive").expect("sent");
                };
                let arrives = |within| {
                    receiver.set_read_timeout(Some(within)).expect("a time");
                    match uninterrupted(|| receiver.recv_from(&mut [0; 64])) {
                        Ok(_) => true,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                        Err(error) => panic!("{topology}: {error}"),
                    }
                };
                // Over IPv4 the reverse-path filter of routed interfaces stops it as well.
                if client.is_ipv6() {
                    forge();
                    assert!(
                        arrives(ARRIVED_WITHIN),
                        "{topology}, {victim}: without a guard"
                    );
                }
                guard(&lab);
                sent_truly();
                forge();
                // Neighbours on a bridge: see above.
                if !topology.has_bridge() {
                    assert!(!arrives(DENIED_WITHIN), "{topology}: {client} to {victim}");
                    assert_eq!(forged_packets(&lab), 1, "{topology}: {client} to {victim}");
                } else if client.is_ipv6() {
                    assert!(
                        arrives(ARRIVED_WITHIN),
                        "{topology}: not this guard's to tell"
                    );
                } else {
                    let _ = arrives(DENIED_WITHIN);
                }
                sent_truly();
            }
        }
    }
}

fn forged(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let datagram = udp_request(from, to, 0);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ipv4Header {
            source,
            destination,
            protocol: 17,
            id: 1,
            fragment_offset: 0,
            more_fragments: false,
            options: Vec::new(),
        }
        .encode(&datagram),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ipv6Header {
            source,
            destination,
            next_header: 17,
        }
        .encode(&datagram),
        _ => panic!("two families"),
    }
}
