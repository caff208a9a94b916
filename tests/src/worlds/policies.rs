//! Random policies.

use ipnet::IpNet;
use policy_compiler::model::{
    IpBlock, NamespaceScope, Operator, Peer, Peers, PodPeer, Policy, PortMatch, PortName,
    PortRange, Ports, Protocol, Requirement, Rule, Selector,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{NAMESPACES, name, object_key};

pub(super) const NAMES: [&str; 4] = ["b-c", "c", "deny", "x"];

/// A policy of any shape; one that isolates in neither direction, which defaulting never makes, now and then.
pub fn policy() -> impl Strategy<Value = Policy> {
    let direction = || option::weighted(0.7, vec(rule(), 0..3));
    (object_key(&NAMES), selector(), direction(), direction()).prop_map(
        |(key, subjects, ingress, egress)| {
            // A peer without namespaceSelector means the policy's own namespace.
            let own = |rules: Vec<Rule>| {
                rules
                    .into_iter()
                    .map(|rule| Rule {
                        peers: at_home(rule.peers, &key.namespace),
                        ..rule
                    })
                    .collect()
            };
            Policy {
                subjects,
                ingress: ingress.map(own),
                egress: egress.map(own),
                key: key.clone(),
            }
        },
    )
}

fn at_home(peers: Peers, own: &policy_compiler::model::Name) -> Peers {
    let Peers::OneOf(peers) = peers else {
        return Peers::Any;
    };
    let move_in = |peer| match peer {
        Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Named(_),
            pods,
        }) => Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Named(own.clone()),
            pods,
        }),
        other => other,
    };
    Peers::OneOf(peers.into_iter().map(move_in).collect())
}

fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![2 => Just(Selector::everything()), 3 => vec(requirement(), 1..3).prop_map(Selector::new)]
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let key = select(vec!["app", "tier", "canary", "kubernetes.io/metadata.name"]);
    let values = subsequence(vec!["", "a", "db", "front", "web"], 1..3);
    let operator = select(vec![
        Operator::In,
        Operator::NotIn,
        Operator::Exists,
        Operator::DoesNotExist,
    ]);
    (key, operator, values).prop_map(|(key, operator, values)| {
        let values = if matches!(operator, Operator::In | Operator::NotIn) {
            values
        } else {
            Vec::new()
        };
        Requirement::new(key, operator, values)
            .unwrap_or_else(|| panic!("{operator:?} got the wrong number of values"))
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![1 => Just(Peers::Any), 4 => vec(peer(), 0..3).prop_map(Peers::OneOf), 1 => many_blocks()];
    let ports = prop_oneof![
        3 => Just(Ports::Any),
        6 => vec(port_match(), 0..4).prop_map(Ports::OneOf),
        1 => many_ports(),
    ];
    (peers, ports).prop_map(|(peers, ports)| Rule { peers, ports })
}

fn peer() -> impl Strategy<Value = Peer> {
    let namespaces = prop_oneof![
        select(&NAMESPACES[..]).prop_map(|n| NamespaceScope::Named(name(n))),
        selector().prop_map(NamespaceScope::Matching),
    ];
    let pods = (namespaces, selector())
        .prop_map(|(namespaces, pods)| Peer::Pods(PodPeer { namespaces, pods }));
    prop_oneof![3 => pods, 2 => block().prop_map(Peer::IpBlock)]
}

fn block() -> impl Strategy<Value = IpBlock> {
    let v4 = (
        select(vec!["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16"]),
        subsequence(
            vec!["10.0.0.0/30", "10.0.0.2/32", "10.0.1.0/24", "10.0.0.64/26"],
            0..3,
        ),
    );
    let v6 = (
        select(vec!["::/0", "fd00::/16"]),
        subsequence(vec!["fd00::/127", "fd00::2/128", "fd00::40/122"], 0..3),
    );
    prop_oneof![v4, v6].prop_map(|(cidr, except)| {
        let network = |text: &str| {
            text.parse::<IpNet>()
                .unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let except: Vec<IpNet> = except.into_iter().map(network).collect();
        IpBlock::new(network(cidr), &except).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// So many that they are compiled to an interval set.
fn many_blocks() -> impl Strategy<Value = Peers> {
    vec(block().prop_map(Peer::IpBlock), 1..4).prop_map(|mut peers| {
        for i in 0..20u8 {
            let filler = IpNet::new(std::net::IpAddr::from([203, 0, i, 0]), 24);
            peers.extend(
                filler
                    .ok()
                    .and_then(|net| IpBlock::new(net, &[]).ok())
                    .map(Peer::IpBlock),
            );
        }
        Peers::OneOf(peers)
    })
}

/// So many that they are not written out beside each peer.
fn many_ports() -> impl Strategy<Value = Ports> {
    vec(port_match(), 0..4).prop_map(|mut ports| {
        let filler = (20_001..20_400).step_by(2).filter_map(PortRange::single);
        ports.extend(filler.map(|port| PortMatch::Numbers(Protocol::Tcp, port)));
        Ports::OneOf(ports)
    })
}

fn port_match() -> impl Strategy<Value = PortMatch> {
    let protocol = || {
        select(vec![
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Sctp,
        ])
    };
    let range = (select(vec![53u16, 79, 80, 443]), 0u16..3).prop_map(|(first, more)| {
        PortRange::new(first, first + more).unwrap_or_else(|| panic!("an empty range"))
    });
    let port_name = select(vec!["http", "dns", "nowhere"])
        .prop_map(|n| PortName::parse(n).unwrap_or_else(|error| panic!("{n}: {error}")));
    prop_oneof![
        1 => protocol().prop_map(PortMatch::All),
        3 => (protocol(), range).prop_map(|(p, r)| PortMatch::Numbers(p, r)),
        3 => (protocol(), port_name).prop_map(|(p, n)| PortMatch::Named(p, n)),
    ]
}
