//! What belongs to a connection passes although its direction is closed; what does not, does not.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{Expect, IpProtocol, Lab, NODES, Netns, Place, Probe, Topology, Transport, privileged};

use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, build_isolated, check, deny_all, isolated};

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(700);

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
                    probes.push(Probe::new(&at(STRANGER), there, transport).expect(Expect::Silence));
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
                    let probe = |from: &str, port| Probe::new(&at(from), there, Transport::Udp(port)).size(size);
                    probes.push(probe(CALLER, 53));
                    probes.push(probe(CALLER, 5353).expect(Expect::Silence));
                    probes.push(probe(STRANGER, 53).expect(Expect::Silence));
                }
            }
        }
        check(&mut lab, &probes);
    }
}

/// A closed port answers with an ICMP error, through an isolation that lets no ICMP in (semantics rule I2).
#[test]
fn icmp_errors_of_allowed_flows_come_back() {
    if !privileged("icmp_errors_of_allowed_flows_come_back") {
        return;
    }
    for topology in Topology::ALL {
        let lab = build_isolated(topology);
        let netns = lab.host(&at(CALLER)).expect("a pod").netns();
        for callee in [NEAR, FAR] {
            for address in addresses(callee) {
                let error = udp_error(netns, (address, 54).into(), LONG);
                assert_eq!(error, ErrorKind::ConnectionRefused, "{topology}: {callee} {address} port 54");
                // The port is as closed here, but the question is not allowed.
                let error = udp_error(netns, (address, 55).into(), SHORT);
                assert_eq!(error, ErrorKind::WouldBlock, "{topology}: {callee} {address} port 55");
            }
        }
    }
}

/// What a program hears that sends a datagram to a closed port and waits.
fn udp_error(netns: &Netns, to: SocketAddr, patience: Duration) -> ErrorKind {
    let ask = move || -> std::io::Result<usize> {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"anybody?")?;
        socket.recv(&mut [0; 64])
    };
    netns.call(ask).expect("the pod is there").expect_err("nobody listens").kind()
}

/// A node with a smaller link says so by ICMP; a sender that does not hear it is stuck.
#[test]
fn path_mtu_discovery_works() {
    if !privileged("path_mtu_discovery_works") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        narrow(&lab, FAR);
        for address in addresses(FAR) {
            let length = transfer(&mut lab, address, LONG);
            assert_eq!(length, BULK, "{topology}: {address}: bytes that came back");
        }
    }
}

/// The same with the ICMP messages taken away, to see that they are needed.
#[test]
fn path_mtu_discovery_needs_its_messages() {
    if !privileged("path_mtu_discovery_needs_its_messages") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    narrow(&lab, FAR);
    lab.host(&Place::node("node-a"))
        .and_then(|node| {
            node.netns().nft(
                "table inet deaf { chain forward { type filter hook forward priority 0;\n\
                 icmp type destination-unreachable drop\n icmpv6 type packet-too-big drop\n }\n }\n",
            )
        })
        .unwrap_or_else(|error| panic!("{error}"));
    for address in addresses(FAR) {
        assert!(transfer(&mut lab, address, SHORT) < BULK, "{address}: came through all the same");
    }
}

const BULK: usize = 200_000;

/// Makes the last link to a pod narrower than its sender can know.
fn narrow(lab: &Lab, pod: &str) {
    let node = lab.host(&Place::node("node-b")).expect("a node").netns();
    let [v4, _] = addresses(pod);
    let route = node.run(&["ip", "route", "get", &v4.to_string()], "").unwrap_or_else(|error| panic!("{error}"));
    let device = route.split_whitespace().skip_while(|word| *word != "dev").nth(1).expect("a device");
    node.ip(&format!("link set {device} mtu 1400\n")).unwrap_or_else(|error| panic!("{error}"));
}

/// Sends a good deal to the echo on port 80 and counts what comes back until nothing does.
fn transfer(lab: &mut Lab, to: IpAddr, patience: Duration) -> usize {
    lab.listen(&at(FAR), IpProtocol::Tcp, 80).unwrap_or_else(|error| panic!("{error}"));
    let run = move || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(&(to, 80).into(), LONG)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut sender = stream.try_clone()?;
        let sending = std::thread::spawn(move || sender.write_all(&vec![b'x'; BULK]));
        let mut received = 0;
        let mut buffer = [0; 65_536];
        while received < BULK {
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => received += length,
                Ok(0) | Err(_) => break,
            }
        }
        // The count says all there is to say about the other half.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = sending.join();
        Ok(received)
    };
    let netns = lab.host(&at(CALLER)).expect("a pod").netns();
    netns.call(run).expect("the pod is there").unwrap_or_else(|error| panic!("connect: {error}"))
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
        let probes: Vec<_> =
            callees.iter().map(|&address| Probe::new(&at(CALLER), address, Transport::Tcp(80))).collect();
        check(&mut lab, &probes);

        // Nobody may do anything: still the node must find its pods.
        lab.load_rules(&deny_all()).unwrap_or_else(|error| panic!("{error}"));
        forget_neighbours(&lab);
        let probes: Vec<_> = addresses(NEAR)
            .into_iter()
            .chain(addresses(CALLER))
            .flat_map(|address| {
                let node = Place::node("node-a");
                [Transport::Tcp(80), Transport::Echo].map(|transport| Probe::new(&node, address, transport))
            })
            .collect();
        check(&mut lab, &probes);
    }
}

fn forget_neighbours(lab: &Lab) {
    for place in lab.places() {
        let netns = lab.host(place).expect("it is there").netns();
        for family in ["-4", "-6"] {
            netns.run(&["ip", family, "neighbour", "flush", "all"], "").unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Kubelets probe their pods, from whatever address the node has (semantics rule G1). Other nodes may not.
#[test]
fn the_own_node_gets_in_by_any_of_its_addresses() {
    if !privileged("the_own_node_gets_in_by_any_of_its_addresses") {
        return;
    }
    let everything = [Transport::Tcp(9999), Transport::Udp(9999), Transport::Sctp(9999), Transport::Echo];
    for topology in Topology::ALL {
        let mut lab = build(topology);
        lab.load_rules(&deny_all()).unwrap_or_else(|error| panic!("{error}"));
        let mut probes = Vec::new();
        for node in &NODES {
            let place = Place::node(node.name);
            for pod in [CALLER, NEAR, FAR] {
                let own = (pod == FAR) == (node.name == "node-b");
                let expect = if own { Expect::Answer } else { Expect::Silence };
                for to in addresses(pod) {
                    let sources = lab.host(&place).expect("a node").addresses().iter().copied();
                    let sources = sources.filter(|source| source.is_ipv4() == to.is_ipv4()).map(Some);
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

/// A connection that was allowed once stays open when it no longer is; new ones fail.
#[test]
fn established_connections_survive_a_policy() {
    if !privileged("established_connections_survive_a_policy") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build_isolated(topology);
        let mut streams = Vec::new();
        let mut again = Vec::new();
        for callee in [NEAR, FAR] {
            lab.listen(&at(callee), IpProtocol::Tcp, 80).unwrap_or_else(|error| panic!("{error}"));
            for address in addresses(callee) {
                let netns = lab.host(&at(CALLER)).expect("a pod").netns();
                let connect = move || TcpStream::connect_timeout(&(address, 80).into(), LONG);
                let mut stream = netns.call(connect).expect("the pod is there").expect("an allowed connection");
                echo(&mut stream).expect("an answer");
                streams.push(stream);
                again.push(Probe::new(&at(CALLER), address, Transport::Tcp(80)).expect(Expect::Silence));
            }
        }
        lab.load_rules(&deny_all()).unwrap_or_else(|error| panic!("{error}"));
        check(&mut lab, &again);
        for stream in &mut streams {
            echo(stream).unwrap_or_else(|error| panic!("{topology}: {:?}: {error}", stream.peer_addr()));
        }
        lab.load_rules(&isolated()).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(b"still there?")?;
    stream.read_exact(&mut [0; 12])
}
