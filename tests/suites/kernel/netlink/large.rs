//! Large tables in one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use policy_compiler::ruleset::{
    AddressMatch, Chain, Comment, Element, Family, Ident, Match, Rule, Ruleset, Set, SetKey, Side,
    Transaction, Verdict, VerdictMap,
};

use super::{AT_REST_WITHIN, BETWEEN_LISTINGS, BothWays, Programmed};

fn nth(i: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + i).into()
}

fn set(key: SetKey, elements: impl Iterator<Item = Element>) -> Set {
    Set {
        key,
        comment: Comment::new("large"),
        elements: elements.collect(),
    }
}

#[test]
fn sets_of_65_000_elements() {
    const COUNT: u32 = 65_000;
    let addresses = (0..COUNT).map(|i| Element::Address(nth(i)));
    let ranges = (0..COUNT).map(|i| Element::Range(nth(i * 4), nth(i * 4 + 2)));
    let pairs = (0..COUNT).map(|i| Element::AddressPort(nth(i), 80));
    let sets = [
        ("singles", set(SetKey::Address(Family::V4), addresses)),
        ("spans", set(SetKey::Range(Family::V4), ranges)),
        ("twos", set(SetKey::AddressPort(Family::V4), pairs)),
    ];
    let target = Ident::fixed("target");
    let elements = (0..COUNT).map(|i| (nth(i), target.clone())).collect();
    let map = VerdictMap {
        family: Family::V4,
        elements,
    };
    let ruleset = Ruleset {
        sets: sets.map(|(name, set)| (Ident::fixed(name), set)).into(),
        maps: BTreeMap::from([(Ident::fixed("goes"), map)]),
        chains: BTreeMap::from([(target, Chain::default())]),
    };
    let mut ways = BothWays::new();
    let committed = ways.commit(&Transaction::replace(&ruleset));
    if let Err(why) = committed.and_then(|()| ways.compare()) {
        panic!("{}", why.chars().take(2000).collect::<String>());
    }
}

/// A whole node's table.
pub(super) fn large() -> Ruleset {
    let mut ruleset = Ruleset::default();
    for i in 0..10 {
        let elements = (0..10_000).map(|n| Element::Address(nth(n)));
        let name = Ident::fixed(&format!("set-{i}"));
        ruleset
            .sets
            .insert(name, set(SetKey::Address(Family::V4), elements));
    }
    for i in 0..2000 {
        let of_set = AddressMatch::Set(Family::V4, Ident::fixed(&format!("set-{}", i % 10)));
        let chain = Chain {
            hook: None,
            rules: vec![
                Rule::new(vec![Match::Address(Side::Source, of_set)], Verdict::Accept),
                Rule::new(
                    vec![],
                    Verdict::CountAndDrop(Ident::fixed(&format!("chain-{i}"))),
                ),
            ],
        };
        ruleset
            .chains
            .insert(Ident::fixed(&format!("chain-{i}")), chain);
    }
    ruleset
}

/// A whole node's table goes out by one call, and in time for the first sync.
#[test]
fn a_hundred_thousand_elements_and_two_thousand_chains() {
    let mut programmed = Programmed::new("large").expect("a namespace");
    let ruleset = large();
    for what in ["first", "again"] {
        let start = Instant::now();
        let committed = programmed.commit(&Transaction::replace(&ruleset));
        println!("{what}: {:?}", start.elapsed());
        committed.expect("committed");
    }
    let deadline = Instant::now() + AT_REST_WITHIN;
    let (chains, mut elements) = listed(&programmed);
    assert_eq!(chains, 2000);
    // The kernel may go on giving hash tables more room while they are listed: then nft lists some elements twice, and not
    // others.
    while elements != [10_000; 10] && Instant::now() < deadline {
        std::thread::sleep(BETWEEN_LISTINGS);
        (_, elements) = listed(&programmed);
    }
    assert_eq!(elements, [10_000; 10]);
}

/// How many chains `nft` lists, and how many different addresses in each set.
fn listed(programmed: &Programmed) -> (usize, Vec<usize>) {
    let listing = ["nft", "-s", "list", "table", "inet", "netpol"];
    let listing = programmed.netns.run(&listing, "").expect("a listing");
    let chains: BTreeSet<&str> = listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("chain "))
        .collect();
    let is_address = |word: &&str| word.parse::<Ipv4Addr>().is_ok();
    let sets = listing.split("\tset ").skip(1).map(|set| {
        let words = set.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.filter(is_address).collect::<BTreeSet<_>>().len()
    });
    (chains.len(), sets.collect())
}
