//! What belongs to a connection passes although its direction is closed; what does not, does not.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{
    Expect, IpProtocol, Lab, NODES, Place, Probe, Topology, Transport, privileged, uninterrupted,
};

use crate::world::{
    CALLER, FAR, NEAR, STRANGER, addresses, at, build, build_isolated, check, deny_all,
};

const LONG: Duration = Duration::from_secs(5);

/// Replies pass into a pod that nobody may talk to, and out of one that may talk to nobody (semantics rule I3).
#[test]
fn replies_pass_in_both_directions() {
    if !privileged("replies_pass_in_both_directions") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        let mut probes = Vec::new();
        for callee in [NEAR, FAR] {
            for (there, back) in addresses(callee).into_iter().zip(addresses(CALLER)) {
                for transport in [Transport::Tcp(80), Transport::Udp(53)] {
                    probes.push(Probe::new(&at(CALLER), there, transport));
                    probes.push(Probe::new(&at(callee), back, transport).expect(Expect::Silence));
                    probes
                        .push(Probe::new(&at(STRANGER), there, transport).expect(Expect::Silence));
                }
            }
        }
        check(&mut lab, &probes);
    }
}

/// Fragments are put together before they are judged: whole datagrams pass or none of their parts.
#[test]
fn fragments_are_judged_as_a_whole() {
    if !privileged("fragments_are_judged_as_a_whole") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        let mut probes = Vec::new();
        for callee in [NEAR, FAR] {
            for there in addresses(callee) {
                for size in [4000, 20_000] {
                    let probe = |from: &str, port| {
                        Probe::new(&at(from), there, Transport::Udp(port)).size(size)
                    };
                    probes.push(probe(CALLER, 53));
                    probes.push(probe(CALLER, 5353).expect(Expect::Silence));
                    probes.push(probe(STRANGER, 53).expect(Expect::Silence));
                }
            }
        }
        check(&mut lab, &probes);
    }
}

/// The neighbours of bridged pods are other pods; those of routed ones are nodes.
#[test]
fn neighbours_are_found_from_a_cold_start() {
    if !privileged("neighbours_are_found_from_a_cold_start") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        forget_neighbours(&lab);
        let callees = [addresses(NEAR), addresses(FAR)].concat();
        let probes: Vec<_> = callees
            .iter()
            .map(|&address| Probe::new(&at(CALLER), address, Transport::Tcp(80)))
            .collect();
        check(&mut lab, &probes);

        // Nobody may do anything: still the node must find its pods.
        lab.load_rules(&deny_all())
            .unwrap_or_else(|error| panic!("{error}"));
        forget_neighbours(&lab);
        let probes: Vec<_> = addresses(NEAR)
            .into_iter()
            .chain(addresses(CALLER))
            .flat_map(|address| {
                let node = Place::node("node-a");
                [Transport::Tcp(80), Transport::Echo]
                    .map(|transport| Probe::new(&node, address, transport))
            })
            .collect();
        check(&mut lab, &probes);
    }
}

pub(crate) fn forget_neighbours(lab: &Lab) {
    for place in lab.places() {
        let netns = lab.host(place).expect("it is there").netns();
        for family in ["-4", "-6"] {
            netns
                .run(&["ip", family, "neighbour", "flush", "all"], "")
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Kubelets probe their pods, from whatever address the node has (semantics rule G1). Other nodes may not.
#[test]
fn the_own_node_gets_in_by_any_of_its_addresses() {
    if !privileged("the_own_node_gets_in_by_any_of_its_addresses") {
        return;
    }
    let everything = [
        Transport::Tcp(9999),
        Transport::Udp(9999),
        Transport::Sctp(9999),
        Transport::Echo,
    ];
    for topology in Topology::ALL {
        let mut lab = build(topology);
        lab.load_rules(&deny_all())
            .unwrap_or_else(|error| panic!("{error}"));
        let mut probes = Vec::new();
        for node in &NODES {
            let place = Place::node(node.name);
            for pod in [CALLER, NEAR, FAR] {
                let own = (pod == FAR) == (node.name == "node-b");
                let expect = if own { Expect::Answer } else { Expect::Silence };
                for to in addresses(pod) {
                    let sources = lab
                        .host(&place)
                        .expect("a node")
                        .addresses()
                        .iter()
                        .copied();
                    let sources = sources
                        .filter(|source| source.is_ipv4() == to.is_ipv4())
                        .map(Some);
                    for source in sources.chain([None]) {
                        probes.extend(everything.map(|transport| Probe {
                            source,
                            ..Probe::new(&place, to, transport).expect(expect)
                        }));
                    }
                }
            }
        }
        check(&mut lab, &probes);
    }
}

/// The rules alone let a connection that was allowed once go on when it no longer is; new ones fail. It is for the agent to
/// cut it, unless it is told not to (decision L3).
#[test]
fn established_connections_survive_a_policy() {
    if !privileged("established_connections_survive_a_policy") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        let (mut streams, mut sockets) = (Vec::new(), Vec::new());
        let mut again = Vec::new();
        for callee in [NEAR, FAR] {
            lab.listen(&at(callee), IpProtocol::Tcp, 80)
                .and_then(|()| lab.listen(&at(callee), IpProtocol::Udp, 53))
                .unwrap_or_else(|error| panic!("{error}"));
            for address in addresses(callee) {
                let netns = lab.host(&at(CALLER)).expect("a pod").netns();
                let connect = move || TcpStream::connect_timeout(&(address, 80).into(), LONG);
                let mut stream = netns
                    .call(connect)
                    .expect("the pod is there")
                    .expect("an allowed connection");
                echo(&mut stream).expect("an answer");
                streams.push(stream);
                let bind = move || {
                    let any: IpAddr = if address.is_ipv4() {
                        [0; 4].into()
                    } else {
                        [0; 16].into()
                    };
                    UdpSocket::bind((any, 0))
                        .and_then(|socket| socket.connect((address, 53)).map(|()| socket))
                };
                let socket = netns
                    .call(bind)
                    .expect("the pod is there")
                    .expect("a socket");
                ask(&socket).expect("an answer");
                sockets.push(socket);
                again.push(
                    Probe::new(&at(CALLER), address, Transport::Tcp(80)).expect(Expect::Silence),
                );
            }
        }
        lab.load_rules(&deny_all())
            .unwrap_or_else(|error| panic!("{error}"));
        check(&mut lab, &again);
        for socket in &sockets {
            ask(socket).unwrap_or_else(|error| panic!("{topology}: {socket:?}: {error}"));
        }
        for stream in &mut streams {
            echo(stream)
                .unwrap_or_else(|error| panic!("{topology}: {:?}: {error}", stream.peer_addr()));
        }
    }
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(b"still there?")?;
    stream.read_exact(&mut [0; 12])
}

fn ask(socket: &UdpSocket) -> std::io::Result<()> {
    socket.set_read_timeout(Some(LONG))?;
    socket.send(b"np?\n")?;
    uninterrupted(|| socket.recv(&mut [0; 64])).map(drop)
}
