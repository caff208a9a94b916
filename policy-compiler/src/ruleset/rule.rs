//! Chains and rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Comment, DropLog, DropPoint, Ident, InterfacePattern};
use crate::model::{Direction, PortRange, Protocol};

/// An address family, where a match is bound to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, `ip` in nft.
    V4,
    /// IPv6, `ip6` in nft.
    V6,
}

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// `4` or `6`, the end of the names of sets and maps.
    pub const fn digit(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
        }
    }

    /// nft's word for the header: `ip` or `ip6`.
    pub const fn header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// Which address of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// `saddr`
    Source,
    /// `daddr`
    Destination,
}

impl Side {
    /// nft's word for the field.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Source => "saddr",
            Self::Destination => "daddr",
        }
    }
}

/// A chain: rules in order, entered from a hook or from other chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The hook of a base chain, always with policy accept; `None` for a chain that others jump to.
    pub hook: Option<Hook>,
    /// The rules, first match first.
    pub rules: Vec<Rule>,
}

/// Where a base chain meets packets. Where both directions are judged, egress is at priority filter and ingress one
/// later: what the first base chain accepts goes on to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that came in, at priority raw (-300): before anything is known of their connection.
    Arrival,
    /// Packets passing through the node: after DNAT, before SNAT; with `br_netfilter` bridged ones too.
    Forward(Direction),
    /// Packets for the node itself, at priority 101: after `srcnat` (100), where IPVS takes packets for services away.
    Input,
    /// Packets from the node itself.
    Output(Direction),
}

impl Hook {
    /// nft's name of the hook.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrival => "prerouting",
            Self::Forward(_) => "forward",
            Self::Input => "input",
            Self::Output(_) => "output",
        }
    }

    /// The priority, as a number: `filter` is 0.
    pub const fn priority(self) -> i32 {
        match self {
            Self::Arrival => -300,
            Self::Forward(Direction::Egress) | Self::Output(Direction::Egress) => 0,
            Self::Forward(Direction::Ingress) | Self::Output(Direction::Ingress) => 1,
            Self::Input => 101,
        }
    }
}

/// One rule: when all matches hold, the verdict applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The conditions, tested in order.
    pub matches: Vec<Match>,
    /// What happens then.
    pub verdict: Verdict,
    /// Text for people.
    pub comment: Option<Comment>,
}

impl Rule {
    /// A rule without comment.
    pub fn new(matches: Vec<Match>, verdict: Verdict) -> Self {
        Self {
            matches,
            verdict,
            comment: None,
        }
    }

    /// The same rule with a comment.
    #[must_use]
    pub fn with_comment(mut self, text: &str) -> Self {
        self.comment = Some(Comment::new(text));
        self
    }
}

/// A condition on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `ct state established,related`: a reply, a later packet, or an ICMP error about one (semantics rules I2, I3).
    Tracked,
    /// `icmpv6 type 133-137 ip6 hoplimit 255`: neighbour discovery on the link; a routed packet cannot have hop limit
    /// 255 (semantics rule I2).
    NeighbourDiscovery,
    /// `ct status dnat`: the connection was addressed to a service, and its destination translated.
    Translated,
    /// `iif 0`: the packet did not come in by an interface. Where it is not the node's own, IPVS sent it on.
    Reinjected,
    /// `fib saddr type local`: the source is one of the node's own addresses. Only ever used on packets that the node
    /// sends, where a pod cannot forge it (semantics rule G3).
    SourceIsLocal,
    /// `ct label 127`: the connection was cut, because no policy allows it any more.
    Cut,
    /// `fib saddr . iif oif missing`: an answer would not leave by the interface that the packet came in by. So it is
    /// for the node's own addresses, too.
    NoWayBack,
    /// `meta iifkind "veth"`: what kind the interface is of that the packet came in by.
    InterfaceKind(InterfaceKind),
    /// `iifname "cali*"`, of the destination `oifname`: the interface that the packet came in or goes out by.
    Interface(Side, InterfacePattern),
    /// `tcp flags rst`: the packet ends a connection without further ado.
    Reset,
    /// `ip daddr …`
    Address(Side, AddressMatch),
    /// `meta l4proto tcp`: all ports of a protocol.
    Protocol(Protocol),
    /// `tcp dport …`: ranges are sorted, disjoint and not adjacent.
    Port(Protocol, Vec<PortRange>),
    /// `ip daddr . tcp dport @…`: pairs of a pod's address and what a port name means there.
    NamedPort(Family, Protocol, Ident),
}

/// The bit among a connection's labels that says it was cut.
pub const CUT_LABEL: u8 = 127;

/// The kinds of interfaces that pods are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceKind {
    /// One end of a pair, whose other end is in the pod.
    Veth,
    /// A bridge, whose ports are such ends.
    Bridge,
}

impl InterfaceKind {
    /// Both kinds.
    pub const BOTH: [Self; 2] = [Self::Veth, Self::Bridge];

    /// The kernel's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Bridge => "bridge",
        }
    }
}

/// A condition on one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressMatch {
    /// In the network.
    In(IpNet),
    /// Not in the network (only after an `In` of the same family).
    NotIn(IpNet),
    /// In the named set.
    Set(Family, Ident),
    /// Not in the named set, and of its family.
    NotInSet(Family, Ident),
}

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave the table: allowed.
    Accept,
    /// Tell of it, as often as the limit allows, and go on with the next rule.
    Log(DropPoint, DropLog),
    /// Count it in the named counter, which no other chain refers to, and drop it.
    CountAndDrop(Ident),
    /// Count it in the named counter, drop it and tell its sender that the connection is no more. Only of TCP.
    CountAndReset(Ident),
    /// `ct label set 127`: label the connection. No packet meets it. The kernel gives new connections room for labels
    /// only while some rule sets one.
    SetCutLabel,
    /// Go through another chain and come back.
    Jump(Ident),
    /// Go through another chain and do not come back.
    Goto(Ident),
    /// Goto the chain that a verdict map holds for an address; go on if it holds none.
    AddressMap(Family, Side, Ident),
}
