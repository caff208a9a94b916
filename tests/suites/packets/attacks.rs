//! Packets made to look like what they are not. Each arrives where there are no rules, or the test would prove nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netpol_tests::lab::{
    IpProtocol, Ipv4Header, Ipv6Header, Lab, Place, Token, Topology, privileged, send_raw, tcp_syn, udp_request,
};

use crate::world::{CALLER, FAR, NEAR, STRANGER, addresses, at, build, isolated};

/// Packets cross the lab in microseconds; a loaded machine may take longer to hand them out.
const DENIED_WITHIN: Duration = Duration::from_millis(500);
const ARRIVED_WITHIN: Duration = Duration::from_secs(5);

/// A way to write the request `source → destination`, as packets.
type Trick = (&'static str, IpProtocol, fn(SocketAddr, SocketAddr) -> Vec<Vec<u8>>);

const TRICKS_V4: &[Trick] = &[
    ("plain UDP", IpProtocol::Udp, |s, d| vec![v4(s, d, 17).encode(&udp_request(s, d, 0))]),
    ("plain TCP", IpProtocol::Tcp, |s, d| vec![v4(s, d, 6).encode(&tcp_syn(s, d))]),
    ("UDP behind no-operation options", IpProtocol::Udp, |s, d| {
        vec![Ipv4Header { options: vec![1; 40], ..v4(s, d, 17) }.encode(&udp_request(s, d, 0))]
    }),
    ("TCP behind a record-route option", IpProtocol::Tcp, |s, d| {
        let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
        vec![Ipv4Header { options: record_route.to_vec(), ..v4(s, d, 6) }.encode(&tcp_syn(s, d))]
    }),
    ("UDP in fragments, the first only a header", IpProtocol::Udp, |s, d| {
        fragments_v4(s, d, 17, &udp_request(s, d, 64), 8)
    }),
    ("UDP in fragments, the last first", IpProtocol::Udp, |s, d| {
        let mut parts = fragments_v4(s, d, 17, &udp_request(s, d, 64), 24);
        parts.reverse();
        parts
    }),
    ("TCP in fragments, flags in the second", IpProtocol::Tcp, |s, d| fragments_v4(s, d, 6, &tcp_syn(s, d), 8)),
];

const TRICKS_V6: &[Trick] = &[
    ("plain UDP", IpProtocol::Udp, |s, d| vec![v6(s, d, 17, &udp_request(s, d, 0))]),
    ("plain TCP", IpProtocol::Tcp, |s, d| vec![v6(s, d, 6, &tcp_syn(s, d))]),
    ("UDP behind hop-by-hop options", IpProtocol::Udp, |s, d| {
        vec![v6(s, d, 0, &Ipv6Header::options(17, &udp_request(s, d, 0)))]
    }),
    ("TCP behind destination options, twice", IpProtocol::Tcp, |s, d| {
        vec![v6(s, d, 60, &Ipv6Header::options(60, &Ipv6Header::options(6, &tcp_syn(s, d))))]
    }),
    ("UDP in fragments", IpProtocol::Udp, |s, d| {
        fragments_v6(s, d, 17, &udp_request(s, d, 64), 24)
    }),
    // The kernel itself drops an IPv6 TCP header in pieces, so that there is no trick to try.
    ("UDP in one fragment", IpProtocol::Udp, |s, d| fragments_v6(s, d, 17, &udp_request(s, d, 0), 1024)),
];

fn v4(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Ipv4Header {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) else { panic!("not IPv4") };
    Ipv4Header {
        source: from,
        destination: to,
        protocol,
        id: source.port(),
        fragment_offset: 0,
        more_fragments: false,
        options: Vec::new(),
    }
}

fn fragments_v4(s: SocketAddr, d: SocketAddr, protocol: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(i, part)| {
        let fragment_offset = u16::try_from(i * size / 8).expect("small");
        Ipv4Header { fragment_offset, more_fragments: i + 1 < count, ..v4(s, d, protocol) }.encode(part)
    });
    parts.collect()
}

fn v6(source: SocketAddr, destination: SocketAddr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (source.ip(), destination.ip()) else { panic!("not IPv6") };
    Ipv6Header { source: from, destination: to, next_header }.encode(payload)
}

fn fragments_v6(s: SocketAddr, d: SocketAddr, protocol: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(i, part)| {
        let offset = u16::try_from(i * size / 8).expect("small");
        v6(s, d, 44, &Ipv6Header::fragment(protocol, u32::from(s.port()), offset, i + 1 < count, part))
    });
    parts.collect()
}

/// One crafted request: who sends, who should (not) get it, and what it is told apart by.
struct Shot {
    name: String,
    sender: Place,
    receiver: Place,
    token: Token,
    to: IpAddr,
    packets: Vec<Vec<u8>>,
}

/// Numbers no probe uses, each once.
struct Shots(Vec<Shot>);

impl Shots {
    fn aim(&mut self, from: &str, source: IpAddr, receiver: &str, port: u16) {
        for to in addresses(receiver).into_iter().filter(|to| to.is_ipv4() == source.is_ipv4()) {
            let tricks = if to.is_ipv4() { TRICKS_V4 } else { TRICKS_V6 };
            for (trick, protocol, write) in tricks {
                let number = 20_000 + u16::try_from(self.0.len()).expect("not that many");
                self.0.push(Shot {
                    name: format!("{from} as {source} → {receiver} port {port}: {trick}"),
                    sender: at(from),
                    receiver: at(receiver),
                    token: Token { protocol: *protocol, number },
                    to,
                    packets: write((source, number).into(), (to, port).into()),
                });
            }
        }
    }

    fn fire(&self, lab: &Lab) {
        for Shot { name, sender, to, packets, .. } in &self.0 {
            let (to, packets) = (*to, packets.clone());
            let netns = lab.host(sender).expect("a pod").netns();
            netns.call(move || send_raw(&packets, to)).expect("alive").unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    /// The names of those that arrived, when all have or the time is up.
    fn arrived(&self, lab: &Lab, within: Duration) -> Vec<&str> {
        let deadline = Instant::now() + within;
        loop {
            let arrived: Vec<&str> = self
                .0
                .iter()
                .filter(|shot| lab.has_arrived(&shot.receiver, shot.token))
                .map(|shot| &*shot.name)
                .collect();
            if arrived.len() == self.0.len() || Instant::now() > deadline {
                return arrived;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn odd_packets_do_not_get_past_a_deny() {
    if !privileged("odd_packets_do_not_get_past_a_deny") {
        return;
    }
    for topology in Topology::ALL {
        let mut shots = Shots(Vec::new());
        for receiver in [NEAR, FAR] {
            for source in addresses(STRANGER) {
                shots.aim(STRANGER, source, receiver, 80);
            }
            // Other ports of the same receiver are open to this one.
            for source in addresses(CALLER) {
                shots.aim(CALLER, source, receiver, 81);
            }
        }
        let open = build(topology);
        shots.fire(&open);
        let arrived = shots.arrived(&open, ARRIVED_WITHIN);
        let lost: Vec<&str> = shots.0.iter().map(|shot| &*shot.name).filter(|name| !arrived.contains(name)).collect();
        assert_eq!(lost, Vec::<&str>::new(), "{topology}: without rules all of them arrive");

        let closed = build(topology);
        closed.load_rules(&isolated()).unwrap_or_else(|error| panic!("{error}"));
        shots.fire(&closed);
        assert_eq!(shots.arrived(&closed, DENIED_WITHIN), Vec::<&str>::new(), "{topology}");
    }
}

/// The own node is let in for being the node, not for its address (semantics rule G3).
#[test]
fn a_pod_with_the_address_of_the_node_is_not_the_node() {
    if !privileged("a_pod_with_the_address_of_the_node_is_not_the_node") {
        return;
    }
    for topology in Topology::ALL {
        let open = build(topology);
        let mut shots = Shots(Vec::new());
        for &source in open.host(&Place::node("node-a")).expect("a node").addresses() {
            shots.aim(STRANGER, source, NEAR, 80);
            shots.aim(STRANGER, source, FAR, 80);
        }
        shots.fire(&open);
        let arrived = shots.arrived(&open, DENIED_WITHIN).len();
        if topology == Topology::Bridge {
            assert!(arrived > 0, "pods of one bridge can forge addresses, or this test proves nothing");
        }
        let closed = build(topology);
        closed.load_rules(&isolated()).unwrap_or_else(|error| panic!("{error}"));
        shots.fire(&closed);
        assert_eq!(shots.arrived(&closed, DENIED_WITHIN), Vec::<&str>::new(), "{topology}");
    }
}
