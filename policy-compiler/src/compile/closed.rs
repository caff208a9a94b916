//! Pods that no rules are there for yet: nothing of theirs passes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::base_chains::{link_groups, link_local_addresses, multicast_addresses};
use super::drop_rules::drop_rules;
use super::protection::PodPlaces;
use crate::model::Direction;
use crate::ruleset::{
    AddressMatch, Chain, Comment, DropLog, DropOf, DropPoint, Elements, Family, Ident,
    InterfacePattern, Match, Rule, Ruleset, Set, SetKey, Side, Verdict,
};

/// The set of a family's addresses that programmed pods have: all of this node's, isolated or not.
pub(crate) fn programmed_set(family: Family) -> Ident {
    Ident::fixed(&format!("programmed{}", family.digit()))
}

/// Adds the sets, empty, and the chains of what is dropped.
pub(super) fn add_closed(ruleset: &mut Ruleset, log: Option<&DropLog>) {
    for family in Family::BOTH {
        let set = Set {
            key: SetKey::Address(family),
            comment: Comment::new("this node's pods whose rules are here"),
            elements: Elements::default(),
        };
        ruleset.sets.insert(programmed_set(family), set);
    }
    for direction in Direction::BOTH {
        let (name, of) = (not_programmed(direction), DropOf::NotProgrammed);
        let comment = "pod not programmed yet";
        let rules = drop_rules(&name, DropPoint { direction, of }, log, comment).collect();
        ruleset.chains.insert(name, Chain { hook: None, rules });
    }
}

/// The chain of what is dropped in a direction, and its counter.
pub(super) fn not_programmed(direction: Direction) -> Ident {
    Ident::fixed(&format!("not-programmed-{direction}"))
}

/// The rules of a base chain that has seen to tracked connections and, where the node sends, its own packets.
/// `knows_interfaces` is not so where packets came back from IPVS.
pub(super) fn closed_rules(
    places: &PodPlaces,
    direction: Direction,
    knows_interfaces: bool,
) -> Vec<Rule> {
    let side = match direction {
        Direction::Ingress => Side::Destination,
        Direction::Egress => Side::Source,
    };
    // Of networks within others nothing is asked twice.
    let networks: Vec<IpNet> = places.networks.iter().map(IpNet::trunc).collect();
    let networks = IpNet::aggregate(&networks).into_iter().map(|network| {
        let family = Family::of(network.addr());
        close(vec![within(side, network)], family, direction)
    });
    let mut rules: Vec<Rule> = networks.collect();
    if knows_interfaces && !places.interfaces.is_empty() {
        rules.extend(nobody_yet(direction));
        let interfaces = places.interfaces.iter();
        rules.extend(interfaces.flat_map(|pattern| by_interface(pattern, side, direction)));
    }
    rules
}

fn close(mut matches: Vec<Match>, family: Family, direction: Direction) -> Rule {
    let side = match direction {
        Direction::Ingress => Side::Destination,
        Direction::Egress => Side::Source,
    };
    let not_programmed_yet = AddressMatch::NotInSet(family, programmed_set(family));
    matches.push(Match::Address(side, not_programmed_yet));
    Rule::new(matches, Verdict::Goto(not_programmed(direction)))
}

fn within(side: Side, network: IpNet) -> Match {
    Match::Address(side, AddressMatch::In(network))
}

fn outside(side: Side, network: IpNet) -> Match {
    Match::Address(side, AddressMatch::NotIn(network))
}

/// Who has no address yet asks for one, or tells the routers of its link which groups it is in. Policies do not judge
/// that either: no pod has such a source.
fn nobody_yet(direction: Direction) -> Vec<Rule> {
    if direction == Direction::Ingress {
        return Vec::new();
    }
    let nobody = |address: IpAddr| within(Side::Source, address.into());
    let everybody: IpAddr = Ipv4Addr::BROADCAST.into();
    let asks = vec![
        nobody(Ipv4Addr::UNSPECIFIED.into()),
        within(Side::Destination, everybody.into()),
    ];
    let tells = vec![
        nobody(Ipv6Addr::UNSPECIFIED.into()),
        within(Side::Destination, link_groups()),
    ];
    [asks, tells]
        .map(|matches| Rule::new(matches, Verdict::Accept))
        .into()
}

/// By an interface come and go also what is no pod's address: those of the link, on which the rules behind these decide,
/// and groups. A network of the node's pods holds neither.
fn by_interface(pattern: &InterfacePattern, side: Side, direction: Direction) -> [Rule; 2] {
    let groups: IpNet = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3).into();
    let by = Match::Interface(side, pattern.clone());
    let (mut v4, mut v6) = (vec![by.clone()], vec![by]);
    v6.push(outside(side, link_local_addresses()));
    if direction == Direction::Ingress {
        v4.push(outside(side, groups));
        v6.push(outside(side, multicast_addresses()));
    }
    [(v4, Family::V4), (v6, Family::V6)].map(|(matches, family)| close(matches, family, direction))
}
