//! Network policies, defaulted and parsed.

use std::fmt;

use super::{IpBlock, Name, ObjectKey, PortName, PortRange, Protocol, Selector};

/// The side of a pod a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Connections made to the pod.
    Ingress,
    /// Connections made by the pod.
    Egress,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// `ingress` or `egress`
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A NetworkPolicy after defaulting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `metadata.namespace` and `metadata.name`
    pub key: ObjectKey,
    /// `spec.podSelector`: the pods of the policy's namespace it applies to (semantics rule A1).
    pub subjects: Selector,
    /// `spec.ingress`, or `None` when the policy does not isolate for ingress, whatever the section says
    /// (semantics rules A7 to A9). `Some(vec![])` isolates and allows nothing.
    pub ingress: Option<Vec<Rule>>,
    /// `spec.egress`, in the same way.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// The rules of one direction, `None` if the policy does not isolate in it.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// One item of `spec.ingress` or `spec.egress`: allows what both `peers` and `ports` match (semantics rule B1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `from` or `to`
    pub peers: Peers,
    /// `ports`
    pub ports: Ports,
}

/// `from` or `to`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Missing or empty: anyone, outside hosts and nodes too (semantics rule B2).
    Any,
    /// One of these (semantics rule B4). Empty only if every item was invalid: nobody.
    OneOf(Vec<Peer>),
}

/// One item of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Pods by label, wherever they run (semantics rules B5 to B8).
    Pods(PodPeer),
    /// Addresses, pods' addresses among them (semantics rule E6).
    IpBlock(IpBlock),
}

/// Pods chosen by their namespace and their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodPeer {
    /// Where the pods live.
    pub namespaces: NamespaceScope,
    /// `podSelector`; everything if only `namespaceSelector` was given.
    pub pods: Selector,
}

/// Which namespaces a [`PodPeer`] looks in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// No `namespaceSelector`: the policy's own namespace.
    Named(Name),
    /// `namespaceSelector`, on the labels of Namespace objects (semantics rule C6).
    Matching(Selector),
}

impl fmt::Display for PodPeer {
    /// `pods app=web in namespace shop`, `pods * in namespaces team=a`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespaces {
            NamespaceScope::Named(name) => write!(f, "pods {} in namespace {name}", self.pods),
            NamespaceScope::Matching(selector) => {
                write!(f, "pods {} in namespaces {selector}", self.pods)
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(pods) => pods.fmt(f),
            Self::IpBlock(block) => write!(f, "ipBlock {block}"),
        }
    }
}

/// `ports`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Missing or empty: any port of any protocol, protocols without ports too (semantics rule B3, decision L4).
    Any,
    /// One of these. Empty only if every item was invalid: none.
    OneOf(Vec<PortMatch>),
}

/// One item of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Only `protocol`: each of its ports (semantics rule D2).
    All(Protocol),
    /// `port` with or without `endPort` (semantics rules D3, D4).
    Numbers(Protocol, PortRange),
    /// A named port, resolved in each destination pod (semantics rules D6 to D9).
    Named(Protocol, PortName),
}

impl fmt::Display for PortMatch {
    /// `TCP`, `TCP 80`, `UDP 8000-9000`, `TCP http`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(protocol) => write!(f, "{protocol}"),
            Self::Numbers(protocol, range) => write!(f, "{protocol} {range}"),
            Self::Named(protocol, name) => write!(f, "{protocol} {name}"),
        }
    }
}
