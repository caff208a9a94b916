//! ICMP errors about allowed flows pass an isolation that lets no ICMP in (semantics rule I2).

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{IpProtocol, Lab, Netns, Place, Topology, privileged, uninterrupted};

use crate::world::{CALLER, FAR, NEAR, addresses, at, build, build_isolated};

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(700);

/// A closed port is reported to whoever may ask for it.
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
                assert_eq!(
                    error,
                    ErrorKind::ConnectionRefused,
                    "{topology}: {callee} {address} port 54"
                );
                // The port is as closed here, but the question is not allowed.
                let error = udp_error(netns, (address, 55).into(), SHORT);
                assert_eq!(
                    error,
                    ErrorKind::WouldBlock,
                    "{topology}: {callee} {address} port 55"
                );
            }
        }
    }
}

/// What a program hears that sends a datagram to a closed port and waits.
pub(crate) fn udp_error(netns: &Netns, to: SocketAddr, patience: Duration) -> ErrorKind {
    let ask = move || -> std::io::Result<usize> {
        let any: IpAddr = if to.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"anybody?")?;
        uninterrupted(|| socket.recv(&mut [0; 64]))
    };
    netns
        .call(ask)
        .expect("the pod is there")
        .expect_err("nobody listens")
        .kind()
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
        assert!(
            transfer(&mut lab, address, SHORT) < BULK,
            "{address}: came through all the same"
        );
    }
}

const BULK: usize = 200_000;

/// Makes the last link to a pod narrower than its sender can know.
fn narrow(lab: &Lab, pod: &str) {
    let node = lab.host(&Place::node("node-b")).expect("a node").netns();
    let [v4, _] = addresses(pod);
    let route = node
        .run(&["ip", "route", "get", &v4.to_string()], "")
        .unwrap_or_else(|error| panic!("{error}"));
    let device = route
        .split_whitespace()
        .skip_while(|word| *word != "dev")
        .nth(1)
        .expect("a device");
    node.ip(&format!("link set {device} mtu 1400\n"))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Sends a good deal to the echo on port 80 and counts what comes back until nothing does.
fn transfer(lab: &mut Lab, to: IpAddr, patience: Duration) -> usize {
    lab.listen(&at(FAR), IpProtocol::Tcp, 80)
        .unwrap_or_else(|error| panic!("{error}"));
    let run = move || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(&(to, 80).into(), LONG)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut sender = stream.try_clone()?;
        let sending = std::thread::spawn(move || sender.write_all(&vec![b'x'; BULK]));
        let mut received = 0;
        let mut buffer = vec![0; 65_536];
        while received < BULK {
            match uninterrupted(|| stream.read(&mut buffer)) {
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
    netns
        .call(run)
        .expect("the pod is there")
        .unwrap_or_else(|error| panic!("connect: {error}"))
}
