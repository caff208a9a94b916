//! Pods that there are no rules for yet: closed for everybody but their node.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{
    Expect, IpProtocol, Lab, NodeSpec, Place, Probe, Topology, Transport, privileged, uninterrupted,
};
use policy_compiler::compile::{PodPlaces, Protection};
use policy_compiler::model::Snapshot;

use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, check, deny_all, open_to};

const LONG: Duration = Duration::from_secs(5);
const EVERYTHING: [Transport; 4] = [
    Transport::Tcp(80),
    Transport::Udp(53),
    Transport::Sctp(9000),
    Transport::Echo,
];

/// How a node tells where its pods are.
#[derive(Clone, Copy, Debug)]
enum By {
    Network,
    Interface,
}

fn close(lab: &Lab, by: By, snapshot: &Snapshot) {
    let pattern = if lab.topology().has_bridge() {
        "cni0"
    } else {
        "pod*"
    };
    let protection = |node: &NodeSpec| {
        let places = match by {
            By::Network => PodPlaces {
                networks: node.pod_ranges().into(),
                ..PodPlaces::default()
            },
            By::Interface => PodPlaces {
                interfaces: [pattern.parse().expect("a pattern")].into(),
                ..PodPlaces::default()
            },
        };
        Protection {
            closed: Some(places),
            ..Protection::default()
        }
    };
    lab.load_protected(snapshot, protection)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Probes from `from` to all addresses of `to`.
fn all(lab: &Lab, from: &Place, to: &Place, expect: Expect) -> Vec<Probe> {
    let addresses = lab.host(to).expect("a place of the lab").addresses();
    let pairs = addresses
        .iter()
        .flat_map(|address| EVERYTHING.map(|t| (*address, t)));
    pairs
        .map(|(address, transport)| Probe::new(from, address, transport).expect(expect))
        .collect()
}

#[test]
fn a_pod_without_rules_is_closed() {
    if !privileged("a_pod_without_rules_is_closed") {
        return;
    }
    for topology in Topology::ALL {
        for by in [By::Network, By::Interface] {
            let mut lab = build(topology);
            let node = Place::node("node-a");
            let with_pod = |lab: &Lab, expect| {
                let mut probes = Vec::new();
                for other in [at(NEAR), at(FAR), node.clone()] {
                    probes.extend(all(lab, &at(CALLER), &other, expect));
                    let back = if other == node {
                        Expect::Answer
                    } else {
                        expect
                    };
                    probes.extend(all(lab, &other, &at(CALLER), back));
                }
                probes.extend(all(lab, &Place::Outside, &at(CALLER), expect));
                // Whom the rules know is not concerned.
                for (from, to) in [(NEAR, FAR), (FAR, NEAR), (STRANGER, NEAR)] {
                    probes.extend(all(lab, &at(from), &at(to), Expect::Answer));
                }
                probes.extend(all(lab, &at(NEAR), &node, Expect::Answer));
                probes
            };
            close(&lab, by, &open_to(|pod| pod != CALLER));
            let probes = with_pod(&lab, Expect::Silence);
            check(&mut lab, &probes);
            let counters = lab
                .counters("node-a")
                .unwrap_or_else(|error| panic!("{error}"));
            for direction in ["egress", "ingress"] {
                let name = format!("not-programmed-{direction}");
                assert!(counters[&name] > 0, "{topology} by {by:?}: {name}");
            }
            close(&lab, by, &open_to(|_| true));
            let probes = with_pod(&lab, Expect::Answer);
            check(&mut lab, &probes);
        }
    }
}

/// What the agent forgets for a while, because it has just begun, does not break connections.
#[test]
fn connections_outlive_the_rules_of_their_pod() {
    if !privileged("connections_outlive_the_rules_of_their_pod") {
        return;
    }
    for topology in Topology::ALL {
        for by in [By::Network, By::Interface] {
            let mut lab = build(topology);
            close(&lab, by, &open_to(|_| true));
            let mut talks = Vec::new();
            for callee in [NEAR, FAR] {
                lab.listen(&at(callee), IpProtocol::Tcp, 80)
                    .and_then(|()| lab.listen(&at(callee), IpProtocol::Udp, 53))
                    .unwrap_or_else(|error| panic!("{error}"));
                for address in addresses(callee) {
                    let netns = lab.host(&at(CALLER)).expect("a pod").netns();
                    let open = move || open_both(address);
                    talks.push(netns.call(open).expect("alive").expect("a connection"));
                }
            }
            let mut still_there = |when: &str| {
                for (stream, socket) in &mut talks {
                    talk(stream, socket).unwrap_or_else(|error| {
                        panic!(
                            "{topology} by {by:?}, {when}: {:?}: {error}",
                            stream.peer_addr()
                        )
                    });
                }
            };
            still_there("programmed");
            close(&lab, by, &open_to(|pod| pod != CALLER && pod != NEAR));
            still_there("without either's rules");
            close(&lab, by, &deny_all());
            still_there("isolated");
        }
    }
}

fn open_both(address: IpAddr) -> std::io::Result<(TcpStream, UdpSocket)> {
    let stream = TcpStream::connect_timeout(&(address, 80).into(), LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    let any: IpAddr = if address.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, 53))?;
    socket.set_read_timeout(Some(LONG))?;
    Ok((stream, socket))
}

fn talk(stream: &mut TcpStream, socket: &UdpSocket) -> std::io::Result<()> {
    stream.write_all(b"still there?")?;
    stream.read_exact(&mut [0; 12])?;
    socket.send(b"np?\n")?;
    uninterrupted(|| socket.recv(&mut [0; 64])).map(drop)
}
