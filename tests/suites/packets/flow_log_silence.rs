//! What is allowed is not told: not its replies, its errors, its ends however they come, nor what networks say to themselves.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{Lab, NODES, Place, Signal, Topology, privileged};
use socket2::SockRef;

use crate::connections::forget_neighbours;
use crate::flow_log_ground::world;
use crate::icmp_errors::udp_error;
use crate::world::{CALLER, FAR, NEAR, addresses, at};

const LONG: Duration = Duration::from_secs(5);

/// More than a window takes, so that data is on its way when a side ends the connection.
const BULK: usize = 200_000;

/// How a connection ends. What the client sends first tells the server.
const ENDS: [u8; 5] = *b"fFrRu";

/// Serves connections until the lab ends: sends a good deal, and ends as it is told.
fn serve(lab: &Lab, callee: &str) {
    let netns = lab.host(&at(callee)).expect("a pod").netns();
    let listen = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80));
    let listener = netns
        .call(listen)
        .expect("the pod is there")
        .expect("a listener");
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve_one(stream));
        }
    });
}

/// Errors are those of clients that have gone.
fn serve_one(mut stream: TcpStream) {
    let mut how = [0];
    let _ = stream.set_read_timeout(Some(LONG));
    let _ = stream.set_write_timeout(Some(LONG));
    let _ = stream.read_exact(&mut how);
    let _ = stream.write_all(&vec![b'x'; BULK]);
    match how {
        // The client ends it first.
        [b'f'] => drop(stream.read(&mut how)),
        // A reset, with data on its way.
        [b'R'] => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        _ => {}
    }
}

/// One connection from its start to its end.
fn connect(to: SocketAddr, how: u8) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(&[how])?;
    let mut some = vec![0; BULK];
    match how {
        b'f' => stream.read_exact(&mut some)?,
        b'F' => assert_eq!(stream.read_to_end(&mut Vec::new())?, BULK),
        // A reset by the client, with data on its way.
        b'r' => {
            stream.read_exact(&mut some[..1])?;
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        // The server's reset comes before the end of its data.
        b'R' => {
            let _ = stream.read_to_end(&mut some);
        }
        // Unread data makes the kernel reset it.
        _ => stream.read_exact(&mut some[..1])?,
    }
    Ok(())
}

/// Connections to each address: 4 × 50 are 200.
const CONNECTIONS: usize = 50;

#[test]
fn what_is_allowed_is_not_told() {
    if !privileged("what_is_allowed_is_not_told") {
        return;
    }
    for topology in Topology::ALL {
        let (mut lab, folder) = world(topology);
        for callee in [NEAR, FAR] {
            serve(&lab, callee);
        }
        lab.start_agents(&folder)
            .unwrap_or_else(|error| panic!("{topology}: {error}"));
        forget_neighbours(&lab);
        join_groups(&lab);
        let caller = lab.host(&at(CALLER)).expect("a pod").netns();
        let callees = [addresses(NEAR), addresses(FAR)].concat();
        for &address in &callees {
            let all = move || {
                (0..CONNECTIONS)
                    .map(|i| (ENDS[i % ENDS.len()], address))
                    .try_for_each(|(how, to)| {
                        connect((to, 80).into(), how)
                            .map_err(|error| format!("{to} {}: {error}", how.escape_ascii()))
                    })
            };
            let connected = caller.call(all).expect("the pod is there");
            connected.unwrap_or_else(|error| panic!("{topology}: {error}"));
            let error = udp_error(caller, (address, 54).into(), LONG);
            assert_eq!(error, ErrorKind::ConnectionRefused, "{topology}: {address}");
        }
        forget_neighbours(&lab);
        for &address in &callees {
            let again = caller.call(move || connect((address, 80).into(), b'F'));
            again
                .expect("the pod is there")
                .unwrap_or_else(|error| panic!("{topology}: {address}: {error}"));
        }
        for node in &NODES {
            let told = tell_all(&mut lab, node.name);
            assert_eq!(told, "", "{topology}: {}", node.name);
        }
    }
}

/// Ends the agent of a node; returns what it told, and what the kernel has dropped.
fn tell_all(lab: &mut Lab, node: &str) -> String {
    let (_, lines) = lab
        .stop_agent_with_flows(node, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let netns = lab.host(&Place::node(node)).expect("a node").netns();
    let counters = netns
        .run(&["nft", "list", "counters", "table", "inet", "netpol"], "")
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(
        counters.contains("packets "),
        "there are counters: {counters}"
    );
    let drops = counters
        .lines()
        .filter(|line| line.contains("packets ") && !line.contains("packets 0 "));
    lines + &drops.collect::<String>()
}

/// Has pods report that they listen to multicast.
fn join_groups(lab: &Lab) {
    for pod in [CALLER, NEAR, FAR] {
        let join = || -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            let index = nix::net::if_::if_nametoindex("eth0")?;
            socket.join_multicast_v6(&"ff02::4242".parse().expect("an address"), index)?;
            Ok(socket)
        };
        let netns = lab.host(&at(pod)).expect("a pod").netns();
        // Leaving, when the socket is dropped, is reported too.
        drop(netns.call(join).expect("the pod is there").expect("joined"));
    }
}
