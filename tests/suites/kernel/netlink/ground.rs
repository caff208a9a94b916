//! One of everything a rule can say, and what rules refer to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy_compiler::model::{Direction, PortRange, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Chain, Comment, DropLog, DropOf, DropPoint, Elements, Family, Ident,
    InterfaceKind, InterfacePattern, Match, Rule, Ruleset, Set, SetKey, Side, Verdict, VerdictMap,
};

pub(super) const FAMILIES: [(Family, &str); 2] = [(Family::V4, "4"), (Family::V6, "6")];
const SIDES: [Side; 2] = [Side::Source, Side::Destination];

pub(crate) fn ident(name: &str) -> Ident {
    Ident::fixed(name)
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) fn ports(ranges: &[(u16, u16)]) -> Vec<PortRange> {
    let range = |(first, last): &(u16, u16)| PortRange::new(*first, *last).expect("a range");
    ranges.iter().map(range).collect()
}

/// Networks of all lengths, in an address whose bits alternate.
fn networks() -> Vec<IpNet> {
    let v4 = Ipv4Addr::from(0xaaaa_aaaa_u32);
    let v6 = Ipv6Addr::from(0x2aaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa_u128);
    let v4 = (0..=32).map(|length| IpNet::from(Ipv4Net::new_assert(v4, length).trunc()));
    let v6 = (0..=128).map(|length| IpNet::from(Ipv6Net::new_assert(v6, length).trunc()));
    v4.chain(v6).collect()
}

/// One of each condition, and of those with a choice several.
pub(super) fn conditions() -> Vec<Match> {
    let mut all = vec![
        Match::Tracked,
        Match::NeighbourDiscovery,
        Match::Translated,
        Match::Reinjected,
        Match::SourceIsLocal,
        Match::Cut,
        Match::NoWayBack,
        Match::Reset,
    ];
    all.extend(InterfaceKind::BOTH.map(Match::InterfaceKind));
    for name in [
        "a",
        "a*",
        "cali*",
        "eth0.100",
        "x2345678901234*",
        "x23456789012345",
    ] {
        let pattern: InterfacePattern = name.parse().expect("a pattern");
        all.extend(SIDES.map(|side| Match::Interface(side, pattern.clone())));
    }
    for protocol in Protocol::ALL {
        all.push(Match::Protocol(protocol));
        let lists: [&[(u16, u16)]; 6] = [
            &[(80, 80)],
            &[(80, 90)],
            &[(1, u16::MAX)],
            &[(53, 53), (80, 80), (u16::MAX, u16::MAX)],
            &[(1, 5), (80, 80), (8000, u16::MAX)],
            &[(2, 2), (7, 9)],
        ];
        all.extend(lists.map(|list| Match::Port(protocol, ports(list))));
    }
    for (family, digit) in FAMILIES {
        for side in SIDES {
            for kind in ["addresses", "ranges"] {
                let set = ident(&format!("{kind}{digit}"));
                all.push(Match::Address(side, AddressMatch::Set(family, set.clone())));
                all.push(Match::Address(side, AddressMatch::NotInSet(family, set)));
            }
        }
        let pairs = ident(&format!("pairs{digit}"));
        let named = |protocol| Match::NamedPort(family, protocol, pairs.clone());
        all.extend(Protocol::ALL.map(named));
    }
    for network in networks() {
        for side in SIDES {
            all.push(Match::Address(side, AddressMatch::In(network)));
            all.push(Match::Address(side, AddressMatch::NotIn(network)));
        }
    }
    all
}

pub(super) fn verdicts() -> Vec<Verdict> {
    let point = |of| DropPoint {
        direction: Direction::Egress,
        of,
    };
    let log = |group, rate, burst, snaplen| DropLog {
        group,
        rate,
        burst,
        snaplen,
    };
    let mut all = vec![
        Verdict::Accept,
        Verdict::Log(point(DropOf::Contested), DropLog::default()),
        Verdict::Log(point(DropOf::LinkLocal), log(0, 1, 1, 0)),
        Verdict::Log(
            point(DropOf::LinkLocal),
            log(u16::MAX, u32::MAX, u32::MAX, u32::MAX),
        ),
        Verdict::Log(point(DropOf::NotProgrammed), DropLog::default()),
        Verdict::Log(point(DropOf::ForgedSource), DropLog::default()),
        Verdict::Log(point(DropOf::Cut), DropLog::default()),
        Verdict::CountAndDrop(ident("counted")),
        Verdict::SetCutLabel,
        Verdict::Jump(ident("target")),
        Verdict::Goto(ident("target")),
    ];
    for (family, digit) in FAMILIES {
        let map = ident(&format!("map{digit}"));
        all.extend(SIDES.map(|side| Verdict::AddressMap(family, side, map.clone())));
    }
    all
}

/// What the rows refer to.
pub(crate) fn ground() -> Ruleset {
    let mut ruleset = Ruleset::default();
    for (family, digit) in FAMILIES {
        let kinds = [
            ("addresses", SetKey::Address(family)),
            ("ranges", SetKey::Range(family)),
            ("pairs", SetKey::AddressPort(family)),
        ];
        for (kind, key) in kinds {
            let set = Set {
                key,
                comment: Comment::new(kind),
                elements: Elements::default(),
            };
            ruleset.sets.insert(ident(&format!("{kind}{digit}")), set);
        }
        let elements = BTreeMap::new();
        let map = VerdictMap { family, elements };
        ruleset.maps.insert(ident(&format!("map{digit}")), map);
    }
    ruleset.chains.insert(ident("target"), Chain::default());
    ruleset
}

/// Adds rules, each in a chain that says which row it is.
pub(crate) fn in_chains(mut ruleset: Ruleset, rules: &[Rule]) -> Ruleset {
    for (row, rule) in rules.iter().enumerate() {
        let chain = Chain {
            hook: None,
            rules: vec![rule.clone()],
        };
        let name = ident(&format!("row-{row:04}"));
        ruleset.chains.insert(name, chain);
    }
    ruleset
}
