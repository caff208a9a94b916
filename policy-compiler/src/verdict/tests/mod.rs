//! Rows of the rules, on small worlds built by hand: the decoder has no part in them.

mod addresses;
mod isolation;
mod peers;
mod ports;
mod reasons;

use std::net::IpAddr;
use std::sync::Arc;

use super::{Endpoint, Flow, Transport, Verdict, judge};
use crate::model::{
    IpBlock, Labels, Name, NamedPort, Namespace, NamespaceScope, Peer, Peers, Phase, Pod,
    PodAddresses, PodPeer, Policy, PortMatch, PortName, PortRange, Ports, Protocol, Requirement,
    Rule, Selector, Snapshot,
};

/// Builds a snapshot in the order a reader thinks of it. Namespaces `shop` (team=shop) and `pay` (team=pay) exist.
struct World(Snapshot);

impl World {
    fn new() -> Self {
        let mut snapshot = Snapshot::default();
        for namespace in ["shop", "pay"] {
            let labels = Labels::new([("team", namespace)]);
            snapshot.add_namespace(Namespace::new(name(namespace), &labels));
        }
        Self(snapshot)
    }

    /// A running pod on node-a.
    fn pod(self, key: &str, addresses: &str, labels: &str) -> Self {
        self.special_pod(key, addresses, labels, |_| ())
    }

    fn special_pod(
        mut self,
        key: &str,
        addresses: &str,
        labels: &str,
        change: impl FnOnce(&mut Pod),
    ) -> Self {
        let mut pod = Pod {
            key: key.parse().expect("a key"),
            uid: "".into(),
            labels: Labels::new(pairs(labels)),
            addresses: PodAddresses::new(addresses.split_whitespace().map(ip)),
            node: Some(name("node-a")),
            ports: [].into(),
            phase: Phase::Running,
            host_network: false,
            workload: None,
        };
        change(&mut pod);
        self.0.add_pod(pod);
        self
    }

    fn ingress(self, key: &str, subjects: &str, rules: Vec<Rule>) -> Self {
        self.policy(key, subjects, Some(rules), None)
    }

    fn egress(self, key: &str, subjects: &str, rules: Vec<Rule>) -> Self {
        self.policy(key, subjects, None, Some(rules))
    }

    fn policy(
        mut self,
        key: &str,
        subjects: &str,
        ingress: Option<Vec<Rule>>,
        egress: Option<Vec<Rule>>,
    ) -> Self {
        let (key, subjects) = (key.parse().expect("a key"), selector(subjects));
        self.0.add_policy(Policy {
            key,
            subjects,
            ingress,
            egress,
        });
        self
    }

    fn judge(&self, source: &str, destination: &str, transport: &str) -> Verdict {
        let flow = Flow {
            source: endpoint(source),
            destination: endpoint(destination),
            transport: self::transport(transport),
        };
        judge(&self.0, &flow)
    }

    /// Each row is `source destination transport allow|deny`.
    fn check(&self, rows: &[&str]) {
        let wrong: Vec<String> = rows
            .iter()
            .filter_map(|row| {
                let columns: Vec<&str> = row.split_whitespace().collect();
                let [source, destination, transport, expected] = columns[..] else {
                    panic!("not a row: {row}")
                };
                assert!(["allow", "deny"].contains(&expected), "not a row: {row}");
                let verdict = self.judge(source, destination, transport);
                (verdict.is_allowed() != (expected == "allow")).then(|| format!("{row}\n{verdict}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn pairs(labels: &str) -> Vec<(&str, &str)> {
    labels
        .split_whitespace()
        .map(|pair| pair.split_once('=').expect("key=value"))
        .collect()
}

/// `*` or `key=value key=value`
fn selector(text: &str) -> Selector {
    if text == "*" {
        return Selector::everything();
    }
    Selector::new(
        pairs(text)
            .into_iter()
            .map(|(key, value)| Requirement::equals(key, value)),
    )
}

/// An address, or `node-a@address` for a process on a node.
fn endpoint(text: &str) -> Endpoint {
    match text.split_once('@') {
        Some((node, address)) => Endpoint::Node {
            name: name(node),
            address: ip(address),
        },
        None => Endpoint::Address(ip(text)),
    }
}

fn protocol(text: &str) -> Protocol {
    Protocol::ALL
        .into_iter()
        .find(|p| p.as_nft() == text)
        .expect("a protocol")
}

/// `tcp/80` or `icmp`
fn transport(text: &str) -> Transport {
    match text.split_once('/') {
        Some((name, port)) => Transport::Port(protocol(name), port.parse().expect("a port")),
        None => Transport::Other,
    }
}

fn rule(peers: Peers, ports: Ports) -> Rule {
    Rule { peers, ports }
}

/// `{}`: everybody, every port.
fn everything() -> Vec<Rule> {
    vec![rule(Peers::Any, Ports::Any)]
}

fn from(peers: impl IntoIterator<Item = Peer>) -> Peers {
    Peers::OneOf(peers.into_iter().collect())
}

/// `podSelector` alone, in the policy's namespace.
fn pods_in(namespace: &str, labels: &str) -> Peer {
    Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Named(name(namespace)),
        pods: selector(labels),
    })
}

/// `namespaceSelector` and `podSelector`.
fn pods_of(namespaces: &str, labels: &str) -> Peer {
    Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Matching(selector(namespaces)),
        pods: selector(labels),
    })
}

fn block(cidr: &str, except: &[&str]) -> Peer {
    let except: Vec<_> = except
        .iter()
        .map(|net| net.parse().expect("a network"))
        .collect();
    Peer::IpBlock(IpBlock::new(cidr.parse().expect("a network"), &except).expect("a block"))
}

/// Items such as `tcp`, `tcp/80`, `udp/8000-9000` and `tcp/http`.
fn ports(items: &[&str]) -> Ports {
    Ports::OneOf(items.iter().map(|item| port_match(item)).collect())
}

fn port_match(item: &str) -> PortMatch {
    let Some((name, port)) = item.split_once('/') else {
        return PortMatch::All(protocol(item));
    };
    let protocol = protocol(name);
    let (first, last) = port.split_once('-').unwrap_or((port, port));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => {
            PortMatch::Numbers(protocol, PortRange::new(first, last).expect("a range"))
        }
        _ => PortMatch::Named(protocol, PortName::parse(port).expect("a port name")),
    }
}

/// Container ports, `http=tcp/8080`.
fn container_ports(items: &[&str]) -> Arc<[NamedPort]> {
    items
        .iter()
        .map(|item| {
            let (name, port) = item.split_once('=').expect("name=protocol/number");
            let (protocol, number) = port.split_once('/').expect("protocol/number");
            NamedPort {
                name: PortName::parse(name).expect("a port name"),
                protocol: self::protocol(protocol),
                number: number.parse().expect("a number"),
            }
        })
        .collect()
}
