//! Where packets enter: the chains on the hooks, and the maps that lead on to pods' chains.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::closed::closed_rules;
use super::drop_rules::drop_rules;
use super::protection::Protection;
use crate::model::Direction;
use crate::ruleset::{
    AddressMatch, Chain, DropLog, DropOf, DropPoint, Family, Hook, Ident, Match, Rule, Ruleset,
    Side, Verdict, VerdictMap,
};

/// The chain of packets with link-local addresses.
pub(super) const LINK_LOCAL: &str = "link-local";

/// The map from a pod's address to its chain.
pub(crate) fn entry_map(direction: Direction, address: IpAddr) -> Ident {
    map_name(direction, Family::of(address))
}

fn map_name(direction: Direction, family: Family) -> Ident {
    Ident::fixed(&format!("{direction}{}", family.digit()))
}

/// Adds the base chains, the chain that they alone go to, and empty maps.
///
/// A packet that one base chain accepts goes on to the next on its hook: first the source's egress is judged, then, one
/// priority later, the destination's ingress (semantics rule A5). Were ingress judged by a jump from egress, the
/// kernel, which follows every jump at each commit, would follow each egress rule through all of ingress: kernels that
/// do not remember where they have been (before 6.18) would take the product of both.
pub(crate) fn add_base_chains(
    ruleset: &mut Ruleset,
    protection: &Protection,
    log: Option<&DropLog>,
) {
    for family in Family::BOTH {
        for direction in Direction::BOTH {
            let elements = BTreeMap::new();
            let map = VerdictMap { family, elements };
            ruleset.maps.insert(map_name(direction, family), map);
        }
    }
    let chains = [
        ("forwarded-egress", forwarded(Direction::Egress, protection)),
        (
            "forwarded-ingress",
            forwarded(Direction::Ingress, protection),
        ),
        ("from-node-egress", from_node(Direction::Egress, protection)),
        (
            "from-node-ingress",
            from_node(Direction::Ingress, protection),
        ),
        (LINK_LOCAL, link_local(log)),
        ("to-node-egress", to_node(protection)),
    ];
    protection.add_cut(ruleset, log);
    for (name, chain) in chains {
        ruleset.chains.insert(Ident::fixed(name), chain);
    }
}

/// Packets between two pods, or a pod and the outside.
fn forwarded(direction: Direction, protection: &Protection) -> Chain {
    let mut rules = Vec::new();
    if direction == Direction::Egress {
        rules.extend(protection.cut(false));
    }
    rules.extend([tracked(), neighbour_discovery()]);
    rules.extend(closed(protection, direction, true));
    if direction == Direction::Egress {
        rules.extend(to_link_local());
    }
    rules.extend(judge(direction));
    let hook = Some(Hook::Forward(direction));
    Chain { hook, rules }
}

/// Packets from a pod to its own node: the pod's egress is judged (semantics rule G4, decision L1).
fn to_node(protection: &Protection) -> Chain {
    let mut rules: Vec<Rule> = protection.cut(false).into_iter().collect();
    rules.extend([tracked(), neighbour_discovery()]);
    rules.extend(closed(protection, Direction::Egress, true));
    rules.extend(judge(Direction::Egress));
    let hook = Some(Hook::Input);
    Chain { hook, rules }
}

/// Packets from the node: its own are allowed (semantics rule G1). What does not come from one of its addresses was
/// sent on by IPVS, which takes it in and sends it out again: that is judged as if forwarded.
fn from_node(direction: Direction, protection: &Protection) -> Chain {
    let own = Rule::new(vec![Match::SourceIsLocal], Verdict::Accept);
    let mut rules = Vec::new();
    if direction == Direction::Egress {
        rules.extend(protection.cut(true));
    }
    rules.extend([tracked(), own, neighbour_discovery()]);
    let knows_interface = direction == Direction::Ingress;
    rules.extend(closed(protection, direction, knows_interface));
    rules.extend(judge(direction));
    let hook = Some(Hook::Output(direction));
    Chain { hook, rules }
}

fn closed(protection: &Protection, direction: Direction, knows_interfaces: bool) -> Vec<Rule> {
    let places = protection.closed.as_ref();
    places.map_or_else(Vec::new, |places| {
        closed_rules(places, direction, knows_interfaces)
    })
}

fn tracked() -> Rule {
    Rule::new(vec![Match::Tracked], Verdict::Accept)
}

fn neighbour_discovery() -> Rule {
    Rule::new(vec![Match::NeighbourDiscovery], Verdict::Accept)
}

/// On a bridge pods also reach each other by link-local addresses, which the API does not know: no policy can judge
/// them, so nobody gets around one by them (decision L13). Multicast, by which hosts find routers and names, passes.
fn to_link_local() -> [Rule; 2] {
    let (link_local, multicast) = (link_local_addresses(), multicast_addresses());
    let address = |side, m: fn(IpNet) -> AddressMatch, net: IpNet| Match::Address(side, m(net));
    let to = vec![address(Side::Destination, AddressMatch::In, link_local)];
    let from = vec![
        address(Side::Source, AddressMatch::In, link_local),
        address(Side::Destination, AddressMatch::NotIn, multicast),
    ];
    [to, from].map(|matches| Rule::new(matches, Verdict::Goto(Ident::fixed(LINK_LOCAL))))
}

/// The addresses of one link that hosts give themselves.
pub(super) fn link_local_addresses() -> IpNet {
    v6(0xfe80, 10)
}

/// All groups.
pub(super) fn multicast_addresses() -> IpNet {
    v6(0xff00, 8)
}

/// The groups of one link.
pub(super) fn link_groups() -> IpNet {
    v6(0xff02, 16)
}

fn v6(first: u16, length: u8) -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length).into()
}

fn link_local(log: Option<&DropLog>) -> Chain {
    let point = DropPoint {
        direction: Direction::Egress,
        of: DropOf::LinkLocal,
    };
    let comment = "link-local: no policy can judge it";
    let rules = drop_rules(&Ident::fixed(LINK_LOCAL), point, log, comment).collect();
    Chain { hook: None, rules }
}

/// One look-up for each family, and nothing more for pods that no policy isolates (semantics rules A3, A6).
fn judge(direction: Direction) -> impl Iterator<Item = Rule> {
    let side = match direction {
        Direction::Ingress => Side::Destination,
        Direction::Egress => Side::Source,
    };
    Family::BOTH.into_iter().map(move |family| {
        let map = map_name(direction, family);
        Rule::new(vec![], Verdict::AddressMap(family, side, map))
    })
}
