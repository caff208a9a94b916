//! Where packets enter: the chains on the hooks, and the maps that lead on to pods' chains.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::Direction;
use crate::ruleset::{Chain, Family, Hook, Ident, Match, Rule, Ruleset, Side, Verdict, VerdictMap};

/// The chain in which a packet that its source may send is judged for its destination.
pub(crate) const INGRESS: &str = "ingress";

/// The map from a pod's address to its chain.
pub(crate) fn entry_map(direction: Direction, address: IpAddr) -> Ident {
    map_name(direction, Family::of(address))
}

fn map_name(direction: Direction, family: Family) -> Ident {
    Ident::fixed(&format!("{direction}{}", family.digit()))
}

/// Adds the base chains and empty maps.
pub(crate) fn add_base_chains(ruleset: &mut Ruleset) {
    for family in Family::BOTH {
        for direction in Direction::BOTH {
            ruleset.maps.insert(
                map_name(direction, family),
                VerdictMap {
                    family,
                    elements: BTreeMap::new(),
                },
            );
        }
    }
    ruleset
        .chains
        .insert(Ident::fixed("forwarded"), forwarded());
    ruleset.chains.insert(Ident::fixed("to-node"), to_node());
    ruleset
        .chains
        .insert(Ident::fixed("from-node"), from_node());
    ruleset.chains.insert(Ident::fixed(INGRESS), ingress());
}

/// Packets between two pods, or a pod and the outside: both sides are judged (semantics rule A5).
fn forwarded() -> Chain {
    let mut rules = vec![tracked(), neighbour_discovery()];
    rules.extend(judge(Direction::Egress));
    rules.push(Rule::new(vec![], Verdict::Goto(Ident::fixed(INGRESS))));
    Chain {
        hook: Some(Hook::Forward),
        rules,
    }
}

/// Packets from a pod to its own node: the pod's egress is judged (semantics rule G4, decision L1).
fn to_node() -> Chain {
    let mut rules = vec![tracked(), neighbour_discovery()];
    rules.extend(judge(Direction::Egress));
    Chain {
        hook: Some(Hook::Input),
        rules,
    }
}

/// Packets from the node: its own are allowed (semantics rule G1). What does not come from one of its addresses was
/// sent on by IPVS, which takes it in and sends it out again: that is judged as if forwarded.
fn from_node() -> Chain {
    let mut rules = vec![
        tracked(),
        Rule::new(vec![Match::SourceIsLocal], Verdict::Accept),
    ];
    rules.push(neighbour_discovery());
    rules.extend(judge(Direction::Egress));
    rules.push(Rule::new(vec![], Verdict::Goto(Ident::fixed(INGRESS))));
    Chain {
        hook: Some(Hook::Output),
        rules,
    }
}

/// Everyone else is not isolated (semantics rules A3, A6).
fn ingress() -> Chain {
    let mut rules: Vec<Rule> = judge(Direction::Ingress).collect();
    rules.push(Rule::new(vec![], Verdict::Accept));
    Chain { hook: None, rules }
}

fn tracked() -> Rule {
    Rule::new(vec![Match::Tracked], Verdict::Accept)
}

fn neighbour_discovery() -> Rule {
    Rule::new(vec![Match::NeighbourDiscovery], Verdict::Accept)
}

/// One look-up for each family, and nothing more for pods that no policy selects.
fn judge(direction: Direction) -> impl Iterator<Item = Rule> {
    let side = match direction {
        Direction::Ingress => Side::Destination,
        Direction::Egress => Side::Source,
    };
    Family::BOTH.into_iter().map(move |family| {
        Rule::new(
            vec![],
            Verdict::AddressMap(family, side, map_name(direction, family)),
        )
    })
}
