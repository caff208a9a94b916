//! Random objects out of a small universe, so that they meet: shared addresses, shared labels, policies that overlap.

mod policies;

use std::net::IpAddr;

use policy_compiler::compile::{PodPlaces, Protection};
use policy_compiler::index::Event;
use policy_compiler::model::{
    Labels, Name, NamedPort, Namespace, NodeScope, ObjectKey, Phase, Pod, PodAddresses, PortName,
    Protocol,
};
use policy_compiler::ruleset::DropLog;
use policy_compiler::verdict::{Endpoint, Flow, Transport};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

pub use policies::policy;

/// The namespaces there may be.
pub const NAMESPACES: [&str; 3] = ["a", "a-b", "b"];
/// The nodes pods run on.
pub const NODES: [&str; 2] = ["node-a", "node-b"];
const V4: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.1"];
const V6: [&str; 3] = ["fd00::1", "fd00::2", "fd00::3"];
const OUTSIDE: [&str; 4] = ["192.0.2.1", "10.0.0.77", "2001:db8::1", "fd00::77"];
const NODE_ADDRESSES: [&str; 2] = ["172.30.0.11", "fd00:172:30::11"];

/// A name from a literal.
///
/// # Panics
///
/// If it is no DNS subdomain.
pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap_or_else(|error| panic!("{text:?} {error}"))
}

fn address(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Labels from three keys, the empty value among them.
pub fn labels() -> impl Strategy<Value = Labels> {
    let pairs = vec![
        ("app", "web"),
        ("app", "db"),
        ("tier", ""),
        ("tier", "front"),
        ("canary", "yes"),
    ];
    subsequence(pairs, 0..=3).prop_map(Labels::new)
}

/// A namespace with labels.
pub fn namespace() -> impl Strategy<Value = Namespace> {
    (select(&NAMESPACES[..]), labels()).prop_map(|(n, labels)| Namespace::new(name(n), &labels))
}

fn object_key(names: &'static [&'static str]) -> impl Strategy<Value = ObjectKey> {
    (select(&NAMESPACES[..]), select(names)).prop_map(|(ns, n)| ObjectKey::new(name(ns), name(n)))
}

const POD_NAMES: [&str; 4] = ["b-c", "c", "p", "q"];

fn addresses() -> impl Strategy<Value = PodAddresses> {
    (
        option::weighted(0.9, select(&V4[..])),
        option::weighted(0.5, select(&V6[..])),
    )
        .prop_map(|(v4, v6)| PodAddresses::new(v4.into_iter().chain(v6).map(address)))
}

fn ports() -> impl Strategy<Value = Vec<NamedPort>> {
    let port = (
        select(vec!["http", "dns"]),
        select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
        select(vec![53, 80, 8080]),
    );
    vec(
        port.prop_map(|(name, protocol, number)| NamedPort {
            name: PortName::parse(name).unwrap_or_else(|e| panic!("{name}: {e}")),
            protocol,
            number,
        }),
        0..3,
    )
}

/// A pod, most likely live.
pub fn pod() -> impl Strategy<Value = Pod> {
    let phase = prop_oneof![
        6 => Just(Phase::Running),
        1 => Just(Phase::Pending),
        1 => Just(Phase::Unknown),
        1 => Just(Phase::Succeeded),
        1 => Just(Phase::Failed),
    ];
    // Of one name there may be several in turn; what is not scheduled yet has no address either.
    let identity = (
        object_key(&POD_NAMES),
        select(vec!["", "1", "2"]),
        option::weighted(0.95, select(&NODES[..])),
    );
    (
        identity,
        labels(),
        addresses(),
        ports(),
        phase,
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |((key, uid, node), labels, addresses, ports, phase, host_network)| Pod {
                key,
                uid: uid.into(),
                labels,
                addresses: if node.is_some() {
                    addresses
                } else {
                    PodAddresses::default()
                },
                node: node.map(name),
                ports: ports.into(),
                phase,
                host_network,
                workload: None,
            },
        )
}

/// A pod or namespace comes, changes or goes.
fn churn() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => pod().prop_map(Event::Pod),
        3 => object_key(&POD_NAMES).prop_map(Event::PodDeleted),
        3 => namespace().prop_map(Event::Namespace),
        1 => select(&NAMESPACES[..]).prop_map(|n| Event::NamespaceDeleted(name(n))),
    ]
}

/// Something that happens. Additions outweigh deletions, so that worlds fill up.
pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        15 => churn(),
        8 => policy().prop_map(Event::Policy),
        3 => object_key(&policies::NAMES).prop_map(Event::PolicyDeleted),
    ]
}

/// A world's history: anything for a while, then pods and namespaces under policies that stay.
pub fn history(most: usize) -> impl Strategy<Value = Vec<Event>> {
    (vec(event(), 0..most), vec(churn(), 0..most)).prop_map(|(first, then)| [first, then].concat())
}

/// The node a ruleset is compiled for, or all of them.
pub fn scope() -> impl Strategy<Value = NodeScope> {
    prop_oneof![
        Just(NodeScope::AllNodes),
        select(&NODES[..]).prop_map(|n| NodeScope::Node(name(n)))
    ]
}

/// How drops are logged, if at all.
pub fn drop_log() -> impl Strategy<Value = Option<DropLog>> {
    let least = DropLog {
        group: 0,
        rate: 1,
        burst: 1,
        snaplen: 0,
    };
    let most = DropLog {
        group: u16::MAX,
        rate: u32::MAX,
        burst: u32::MAX,
        snaplen: u32::MAX,
    };
    select(vec![
        None,
        Some(DropLog::default()),
        Some(least),
        Some(most),
    ])
}

/// What protects the node beside policies; pods' networks hold some of the pods there may be, and not others.
pub fn protection() -> impl Strategy<Value = Protection> {
    let networks = subsequence(
        vec!["10.0.0.0/24", "10.0.0.0/30", "10.0.1.1/32", "fd00::/64"],
        0..=4,
    );
    let interfaces = subsequence(vec!["cali*", "cni0"], 0..=2);
    let places = (networks, interfaces).prop_map(|(networks, interfaces)| PodPlaces {
        networks: networks
            .into_iter()
            .filter_map(|n| n.parse().ok())
            .collect(),
        interfaces: interfaces
            .into_iter()
            .filter_map(|i| i.parse().ok())
            .collect(),
    });
    let uplinks = subsequence(vec!["eth0", "br0"], 0..=2);
    let parts = (option::of(places), any::<bool>(), any::<bool>(), uplinks);
    parts.prop_map(|(closed, revocable, source_guard, uplinks)| Protection {
        closed,
        revocable,
        source_guard,
        uplinks: uplinks.into_iter().filter_map(|i| i.parse().ok()).collect(),
    })
}

/// Every flow worth asking about: each pair of endpoints of one family, each kind of transport.
pub fn all_flows() -> Vec<Flow> {
    let mut endpoints: Vec<Endpoint> = V4
        .iter()
        .chain(&V6)
        .chain(&OUTSIDE)
        .map(|a| Endpoint::Address(address(a)))
        .collect();
    for node in NODES {
        endpoints.extend(NODE_ADDRESSES.map(|a| Endpoint::Node {
            name: name(node),
            address: address(a),
        }));
    }
    let mut transports = vec![Transport::Other];
    for protocol in Protocol::ALL {
        transports.extend([53, 80, 443, 8080].map(|port| Transport::Port(protocol, port)));
    }
    let mut flows = Vec::new();
    for source in &endpoints {
        for destination in endpoints
            .iter()
            .filter(|d| d.address().is_ipv4() == source.address().is_ipv4())
        {
            flows.extend(transports.iter().map(|transport| Flow {
                source: source.clone(),
                destination: destination.clone(),
                transport: *transport,
            }));
        }
    }
    flows
}
