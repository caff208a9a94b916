//! Runs a packet through a [`Ruleset`] as the kernel would: hooks, jumps, sets and maps.
//!
//! Only first packets of connections: nothing is tracked yet, so `ct state established,related` never matches.

use std::net::IpAddr;

use policy_compiler::model::{Direction, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Chain, Element, Family, Hook, Ident, Match, Rule, Ruleset, Side, Verdict,
};
use policy_compiler::verdict::{Flow, Transport};

/// A packet at a hook.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol and destination port.
    pub transport: Transport,
    /// Whether the source address is the node's own.
    pub source_is_local: bool,
    /// Whether the destination was a Service's before.
    pub is_translated: bool,
}

impl Packet {
    /// The first packet of a flow.
    pub fn of(flow: &Flow, source_is_local: bool) -> Self {
        Self {
            source: flow.source.address(),
            destination: flow.destination.address(),
            transport: flow.transport,
            source_is_local,
            // What a pod sends to itself comes by the node only through a Service.
            is_translated: flow.source.address() == flow.destination.address(),
        }
    }
}

/// What the table does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Accepted,
    /// It does not.
    Dropped,
}

/// Nothing a ruleset of ours does needs deeper jumps; the kernel refuses more than 16.
const DEEPEST_JUMP: usize = 16;

/// A packet's way through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From one interface to another.
    Through,
    /// To the node itself.
    In,
    /// From the node itself.
    Out,
}

impl Way {
    /// The base chains on the way, first met first.
    fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Through => &[
                Hook::Forward(Direction::Egress),
                Hook::Forward(Direction::Ingress),
            ],
            Self::In => &[Hook::Input],
            Self::Out => &[
                Hook::Output(Direction::Egress),
                Hook::Output(Direction::Ingress),
            ],
        }
    }
}

/// Runs `packet` through the base chains on its way. Accepted by one, it goes on to the next.
///
/// # Panics
///
/// On a ruleset the kernel would refuse: a chain or set that is not there, or jumps that go too deep.
pub fn run(ruleset: &Ruleset, way: Way, packet: &Packet) -> Outcome {
    let accepts = |hook: &Hook| {
        let mut chains = ruleset.chains.values();
        let base = chains.find(|chain| chain.hook == Some(*hook));
        // Every base chain has policy accept.
        base.is_none_or(|base| walk(ruleset, base, packet, 0) != Some(Outcome::Dropped))
    };
    if way.hooks().iter().all(accepts) {
        Outcome::Accepted
    } else {
        Outcome::Dropped
    }
}

/// The outcome, or `None` if the chain ends without one.
fn walk(ruleset: &Ruleset, chain: &Chain, packet: &Packet, depth: usize) -> Option<Outcome> {
    assert!(depth < DEEPEST_JUMP, "jumps go too deep");
    let enter = |name: &Ident| {
        let chain = ruleset
            .chains
            .get(name)
            .unwrap_or_else(|| panic!("no chain {name}"));
        walk(ruleset, chain, packet, depth + 1)
    };
    for rule in chain
        .rules
        .iter()
        .filter(|rule| holds(ruleset, rule, packet))
    {
        match &rule.verdict {
            Verdict::Accept => return Some(Outcome::Accepted),
            // It goes on with the next rule.
            Verdict::Log(..) | Verdict::SetCutLabel => {}
            Verdict::CountAndDrop(_) | Verdict::CountAndReset(_) => return Some(Outcome::Dropped),
            Verdict::Goto(target) => return enter(target),
            Verdict::Jump(target) => {
                if let Some(outcome) = enter(target) {
                    return Some(outcome);
                }
            }
            Verdict::AddressMap(family, side, map) => {
                let map = ruleset
                    .maps
                    .get(map)
                    .unwrap_or_else(|| panic!("no map {map}"));
                assert_eq!(map.family, *family, "a map of the other family");
                if let Some(target) = map.elements.get(&address(packet, *side)) {
                    return enter(target);
                }
            }
        }
    }
    None
}

fn address(packet: &Packet, side: Side) -> IpAddr {
    match side {
        Side::Source => packet.source,
        Side::Destination => packet.destination,
    }
}

fn holds(ruleset: &Ruleset, rule: &Rule, packet: &Packet) -> bool {
    rule.matches.iter().all(|condition| match condition {
        // Sending packets on is IPVS' way, which no packet here takes, no connection has been cut before its first packet,
        // and interfaces are for real packets to have.
        Match::Tracked
        | Match::NeighbourDiscovery
        | Match::Reinjected
        | Match::Cut
        | Match::Reset
        | Match::NoWayBack
        | Match::InterfaceKind(_)
        | Match::Interface(..) => false,
        Match::Translated => packet.is_translated,
        Match::SourceIsLocal => packet.source_is_local,
        Match::Address(side, AddressMatch::In(network)) => {
            network.contains(&address(packet, *side))
        }
        Match::Address(side, AddressMatch::NotIn(network)) => {
            let address = address(packet, *side);
            // nft tests the family first: a packet of the other one matches neither way.
            Family::of(address) == Family::of(network.addr()) && !network.contains(&address)
        }
        Match::Address(side, AddressMatch::Set(family, set)) => {
            let address = address(packet, *side);
            Family::of(address) == *family && set_holds(ruleset, set, &Element::Address(address))
        }
        Match::Address(side, AddressMatch::NotInSet(family, set)) => {
            let address = address(packet, *side);
            Family::of(address) == *family && !set_holds(ruleset, set, &Element::Address(address))
        }
        Match::Protocol(protocol) => port_of(packet, *protocol).is_some(),
        Match::Port(protocol, ranges) => port_of(packet, *protocol)
            .is_some_and(|port| ranges.iter().any(|range| range.contains(port))),
        Match::NamedPort(family, protocol, set) => port_of(packet, *protocol).is_some_and(|port| {
            Family::of(packet.destination) == *family
                && set_holds(
                    ruleset,
                    set,
                    &Element::AddressPort(packet.destination, port),
                )
        }),
    })
}

fn port_of(packet: &Packet, protocol: Protocol) -> Option<u16> {
    match packet.transport {
        Transport::Port(p, port) if p == protocol => Some(port),
        _ => None,
    }
}

fn set_holds(ruleset: &Ruleset, set: &Ident, wanted: &Element) -> bool {
    let set = ruleset
        .sets
        .get(set)
        .unwrap_or_else(|| panic!("no set {set}"));
    let in_range = |address: IpAddr| {
        set.elements
            .iter()
            .any(|element| matches!(element, Element::Range(a, b) if (*a..=*b).contains(&address)))
    };
    match wanted {
        Element::Address(address) => set.elements.contains(wanted) || in_range(*address),
        _ => set.elements.contains(wanted),
    }
}
