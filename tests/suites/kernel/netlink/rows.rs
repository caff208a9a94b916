//! Each condition, each verdict, each kind of set, row by row.

use std::collections::BTreeMap;

use policy_compiler::model::{Direction, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Chain, Comment, Element, Family, Hook, InterfaceKind, Match, Operation, Rule,
    Ruleset, Set, SetKey, Side, Transaction, Verdict, VerdictMap,
};

use super::BothWays;
use super::ground::{FAMILIES, address, conditions, ground, ident, in_chains, ports, verdicts};

fn check(ways: &mut BothWays, ruleset: Ruleset, rules: impl IntoIterator<Item = Rule>) {
    let rules: Vec<Rule> = rules.into_iter().collect();
    let transaction = Transaction::replace(&in_chains(ruleset, &rules));
    if let Err(why) = ways.commit(&transaction).and_then(|()| ways.compare()) {
        panic!("{why}");
    }
}

#[test]
fn every_condition() {
    let rules = conditions()
        .into_iter()
        .map(|condition| Rule::new(vec![condition], Verdict::Accept));
    check(&mut BothWays::new(), ground(), rules);
}

#[test]
fn every_verdict_with_and_without_a_comment() {
    let rules = verdicts().into_iter().flat_map(|verdict| {
        let rule = Rule::new(vec![], verdict);
        [rule.clone(), rule.with_comment(&"c".repeat(200))]
    });
    check(&mut BothWays::new(), ground(), rules);
}

/// The kernel resets connections of TCP only, so that the rule has to ask for that first.
#[test]
fn a_reset() {
    let reset = Verdict::CountAndReset(ident("counted"));
    let tcp = Match::Protocol(Protocol::Tcp);
    let of_port = Match::Port(Protocol::Tcp, ports(&[(80, 80)]));
    let rules = [vec![tcp], vec![Match::Cut, of_port], vec![Match::Reset]];
    check(
        &mut BothWays::new(),
        ground(),
        rules.map(|matches| Rule::new(matches, reset.clone())),
    );
}

/// What one condition has found out the next need not ask again; which `nft` does is for `nft` to say.
#[test]
fn every_pair_that_can_hold_together() {
    let network = |text: &str| text.parse().expect("a network");
    let mut all = vec![
        (None, None, Match::Tracked),
        (None, None, Match::Translated),
        (None, None, Match::Reinjected),
        (None, None, Match::SourceIsLocal),
        (Some(Family::V6), Some(58), Match::NeighbourDiscovery),
        (None, None, Match::Cut),
        (None, None, Match::NoWayBack),
        (None, None, Match::InterfaceKind(InterfaceKind::Veth)),
        (
            None,
            None,
            Match::Interface(Side::Source, "cali*".parse().expect("a pattern")),
        ),
        (None, Some(0), Match::Reset),
    ];
    for (number, protocol) in (0..).zip(Protocol::ALL) {
        let number = Some(number);
        all.push((None, number, Match::Protocol(protocol)));
        all.push((None, number, Match::Port(protocol, ports(&[(80, 80)]))));
        all.push((
            None,
            number,
            Match::Port(protocol, ports(&[(1, 1), (80, 81)])),
        ));
        for (family, digit) in FAMILIES {
            let pairs = ident(&format!("pairs{digit}"));
            all.push((
                Some(family),
                number,
                Match::NamedPort(family, protocol, pairs),
            ));
        }
    }
    for (family, text) in [(Family::V4, "10.0.0.0/9"), (Family::V6, "fd00::/16")] {
        let inside = AddressMatch::In(network(text));
        let outside = AddressMatch::NotIn(network(text));
        all.push((Some(family), None, Match::Address(Side::Source, inside)));
        all.push((
            Some(family),
            None,
            Match::Address(Side::Destination, outside),
        ));
    }
    let fits =
        |one: Option<u8>, other: Option<u8>| one.is_none() || other.is_none() || one == other;
    let mut rules = Vec::new();
    for (family, protocol, first) in &all {
        for (other_family, other_protocol, second) in &all {
            let number = |family: &Option<Family>| family.map(|family| family as u8);
            if fits(number(family), number(other_family)) && fits(*protocol, *other_protocol) {
                rules.push(Rule::new(
                    vec![first.clone(), second.clone()],
                    Verdict::Accept,
                ));
            }
        }
    }
    check(&mut BothWays::new(), ground(), rules);
}

#[test]
fn every_hook() {
    let mut ruleset = Ruleset::default();
    let hooks = [
        Hook::Arrival,
        Hook::Forward(Direction::Egress),
        Hook::Forward(Direction::Ingress),
        Hook::Input,
        Hook::Output(Direction::Egress),
        Hook::Output(Direction::Ingress),
    ];
    for (number, hook) in hooks.into_iter().enumerate() {
        let rules = vec![Rule::new(vec![Match::Tracked], Verdict::Accept)];
        let chain = Chain {
            hook: Some(hook),
            rules,
        };
        ruleset
            .chains
            .insert(ident(&format!("base-{number}")), chain);
    }
    check(&mut BothWays::new(), ruleset, []);
}

/// Ranges at both ends of the address space, of one address, side by side; then some go and others come.
#[test]
fn elements_come_and_go() {
    let range = |first: &str, last: &str| Element::Range(address(first), address(last));
    let pair = |text: &str, port| Element::AddressPort(address(text), port);
    let single = |text: &str| Element::Address(address(text));
    let top = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let rows: [(&str, Vec<Element>, Vec<Element>); 8] = [
        ("ranges4", vec![range("0.0.0.0", "255.255.255.255")], vec![]),
        (
            "ranges4",
            vec![
                range("0.0.0.0", "0.0.0.5"),
                range("10.0.0.0", "10.255.255.255"),
                range("11.0.0.0", "11.255.255.255"),
                range("172.16.0.1", "172.16.0.9"),
                range("255.255.255.255", "255.255.255.255"),
            ],
            vec![range("0.0.0.7", "0.0.0.7"), range("12.0.0.0", "12.0.0.0")],
        ),
        (
            "ranges4",
            vec![
                range("10.0.0.0", "10.0.0.255"),
                range("255.0.0.0", "255.255.255.255"),
            ],
            vec![
                range("0.0.0.0", "0.0.0.0"),
                range("254.0.0.0", "254.255.255.255"),
            ],
        ),
        ("ranges6", vec![range("::", top)], vec![range("::", "::")]),
        (
            "ranges6",
            vec![
                range("::", "::5"),
                range("fd00::", "fd00::ff"),
                range("ffff::", top),
            ],
            vec![range("fd00::100", "fd00::1ff"), range("fe80::", "fe80::")],
        ),
        (
            "addresses4",
            vec![
                single("0.0.0.0"),
                single("10.0.0.1"),
                single("255.255.255.255"),
            ],
            vec![single("10.0.0.2")],
        ),
        (
            "pairs4",
            vec![pair("10.0.0.1", 80), pair("10.0.0.1", 81)],
            vec![pair("10.0.0.1", 1)],
        ),
        (
            "pairs6",
            vec![pair("fd00::1", 80), pair("::", 65535)],
            vec![pair(top, 1)],
        ),
    ];
    let mut ways = BothWays::new();
    for (set, first, then) in rows {
        let set = ident(set);
        let put = |elements: &[Element]| {
            let some = elements.iter().copied().collect();
            (!elements.is_empty()).then(|| Operation::AddElements(set.clone(), some))
        };
        let take = |elements: &[Element]| {
            let some = elements.iter().copied().collect();
            (!elements.is_empty()).then(|| Operation::DeleteElements(set.clone(), some))
        };
        let fresh = [
            Operation::AddTable,
            Operation::DeleteTable,
            Operation::Load(ground()),
        ];
        let flush = Operation::FlushSet(set.clone());
        let (some, rest) = first.split_at(first.len().div_ceil(2));
        let steps: [Vec<Operation>; 5] = [
            fresh.into(),
            put(&first).into_iter().collect(),
            [take(some), put(&then)].into_iter().flatten().collect(),
            take(rest).into_iter().collect(),
            [Some(flush), put(&first)].into_iter().flatten().collect(),
        ];
        for (step, operations) in steps.into_iter().enumerate() {
            let committed = ways.commit(&Transaction::new(operations));
            if let Err(why) = committed.and_then(|()| ways.compare()) {
                panic!("{set} {first:?}, step {step}: {why}");
            }
        }
    }
}

#[test]
fn the_longest_names_and_comments() {
    let long = |first: char| ident(&format!("{first}{}", "/".repeat(254)));
    let mut ruleset = Ruleset::default();
    let elements = [Element::Address(address("10.0.0.1"))];
    let set = Set {
        key: SetKey::Address(Family::V4),
        comment: Comment::new(&"c".repeat(127)),
        elements: elements.into_iter().collect(),
    };
    ruleset.sets.insert(long('s'), set);
    let map = VerdictMap {
        family: Family::V6,
        elements: BTreeMap::from([(address("fd00::1"), long('c'))]),
    };
    ruleset.maps.insert(long('m'), map);
    ruleset.chains.insert(long('c'), Chain::default());
    let of_set = AddressMatch::Set(Family::V4, long('s'));
    let rules = [
        Rule::new(
            vec![Match::Address(Side::Source, of_set)],
            Verdict::Jump(long('c')),
        ),
        Rule::new(
            vec![],
            Verdict::AddressMap(Family::V6, Side::Source, long('m')),
        ),
        Rule::new(vec![], Verdict::CountAndDrop(long('n'))),
    ];
    check(
        &mut BothWays::new(),
        ruleset,
        rules.map(|rule| rule.with_comment(&"d".repeat(127))),
    );
}

/// Two lists in one rule, and one that does not go into one message.
#[test]
fn lists_of_ports() {
    let list = |count: u16, width: u16| {
        let ranges = (0..count).map(|i| (i * 16 + 1, i * 16 + 1 + width));
        Match::Port(Protocol::Tcp, ports(&ranges.collect::<Vec<_>>()))
    };
    let rules = [
        vec![list(3, 0), list(5, 2), Match::Tracked, list(2, 0)],
        vec![list(4000, 0)],
        vec![list(4000, 3)],
    ];
    let rules = rules.map(|matches| Rule::new(matches, Verdict::Accept));
    check(&mut BothWays::new(), Ruleset::default(), rules);
}
