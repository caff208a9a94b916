//! Edits by another program are found, named, and repaired with no more than it takes.

mod objects;
mod rows;

use std::collections::BTreeMap;

use netpol_agent::dataplane::Found;
use netpol_tests::lab::Netns;
use policy_compiler::model::{Direction, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Chain, Comment, DropLog, DropOf, DropPoint, Element, Family, Hook, Match, Rule,
    Ruleset, Set, SetKey, Side, Transaction, Verdict, VerdictMap,
};
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::{Config, TestRunner};

use super::ground::{address, ident, ports};
use super::{Programmed, as_json};
use objects::OBJECTS;
use rows::{Edit, RULES, Repair};

/// A table with one of each kind of object, small enough to be edited by hand.
pub(super) fn table() -> Ruleset {
    let in_set = |set: &str| {
        let set = AddressMatch::Set(Family::V4, ident(set));
        Match::Address(Side::Source, set)
    };
    let web = Match::Port(Protocol::Tcp, ports(&[(80, 80), (443, 443), (8000, 8100)]));
    let plain = Match::Port(Protocol::Udp, ports(&[(53, 53), (5353, 5353)]));
    let named = Match::NamedPort(Family::V4, Protocol::Tcp, ident("named"));
    let point = DropPoint {
        direction: Direction::Egress,
        of: DropOf::Contested,
    };
    let goes = Verdict::AddressMap(Family::V4, Side::Source, ident("goes"));
    let base = [
        Rule::new(vec![Match::Tracked], Verdict::Accept),
        Rule::new(vec![], goes),
    ];
    let pod = [
        Rule::new(vec![web, in_set("peers")], Verdict::Accept).with_comment("of web"),
        Rule::new(vec![in_set("blocks"), plain], Verdict::Accept),
        Rule::new(vec![], Verdict::Jump(ident("rest"))),
        Rule::new(vec![], Verdict::Log(point, DropLog::default())),
        Rule::new(vec![], Verdict::CountAndDrop(ident("pod"))),
    ];
    let rest = [Rule::new(vec![named], Verdict::Accept)];
    let chain = |hook, rules: &[Rule]| Chain {
        hook,
        rules: rules.to_vec(),
    };
    let chains = [
        ("base", chain(Some(Hook::Forward(Direction::Egress)), &base)),
        ("pod", chain(None, &pod)),
        ("rest", chain(None, &rest)),
        ("empty", chain(None, &[])),
    ];
    let set = |key, elements: &[Element]| Set {
        key,
        comment: Comment::new("of a set"),
        elements: elements.iter().copied().collect(),
    };
    let single = |text| Element::Address(address(text));
    let range = |first, last| Element::Range(address(first), address(last));
    let blocks = [
        range("10.2.0.0", "10.2.255.255"),
        range("10.4.0.1", "10.4.0.9"),
    ];
    let pair = Element::AddressPort(address("10.1.0.1"), 8080);
    let sets = [
        (
            "peers",
            set(
                SetKey::Address(Family::V4),
                &[single("10.1.0.1"), single("10.1.0.2")],
            ),
        ),
        ("blocks", set(SetKey::Range(Family::V4), &blocks)),
        ("named", set(SetKey::AddressPort(Family::V4), &[pair])),
    ];
    let elements = ["10.0.0.1", "10.0.0.2"].map(|text| (address(text), ident("pod")));
    let goes = VerdictMap {
        family: Family::V4,
        elements: elements.into(),
    };
    Ruleset {
        sets: sets.map(|(name, set)| (ident(name), set)).into(),
        maps: BTreeMap::from([(ident("goes"), goes)]),
        chains: chains.map(|(name, chain)| (ident(name), chain)).into(),
    }
}

/// What the counter of the table has counted before it is edited.
const COUNTED: &str = "packets 7 bytes 700";

/// Loads the table with a counter that has counted.
fn load(netns: &Netns, wanted: &Ruleset) {
    let script = Transaction::replace(wanted).to_string();
    let counting = script.replace(
        "counter pod {\n\t}",
        &format!("counter pod {{ {COUNTED}; }}"),
    );
    assert_ne!(script, counting);
    netns.nft(&counting).expect("loaded");
}

/// The text of a command in which `<chain/2>` is the handle of the chain's second rule.
fn with_handles(netns: &Netns, command: &str) -> String {
    let mut parts = command.split('<');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once('>').expect("a place");
        let (chain, rule) = place.split_once('/').expect("a chain and a number");
        let listing = ["nft", "-a", "list", "chain", "inet", "netpol", chain];
        let listing = netns.run(&listing, "").unwrap_or_default();
        let handles = listing.lines().skip(2);
        let mut handles = handles
            .filter(|line| !line.contains("type filter"))
            .filter_map(|line| Some(line.split_once("# handle ")?.1));
        let rule: usize = rule.parse().expect("a number");
        // After other edits it may be gone; nothing has this handle.
        text.push_str(handles.nth(rule - 1).unwrap_or("99999"));
        text.push_str(rest);
    }
    text
}

fn rows() -> impl Iterator<Item = &'static Edit> {
    RULES.iter().chain(OBJECTS)
}

fn without_counts(listing: &[String]) -> Vec<String> {
    let lines = listing.iter();
    lines
        .map(|line| {
            line.replace("\"packets\":7", "\"packets\":0")
                .replace("\"bytes\":700", "\"bytes\":0")
        })
        .collect()
}

#[test]
fn every_edit_is_found_and_repaired() {
    let wanted = table();
    let mut programmed = Programmed::new("edited").expect("a namespace");
    for Edit {
        command,
        told,
        repair,
    } in rows()
    {
        load(&programmed.netns, &wanted);
        assert_eq!(programmed.read(&wanted).expect("read"), Found::Same);
        let before = as_json(&programmed.netns).expect("a listing");
        let command = with_handles(&programmed.netns, command);
        programmed.netns.nft(&command).expect("edited");
        let found = programmed.read(&wanted).expect("read");
        let Found::Differs {
            repair: transaction,
            differences,
        } = found
        else {
            panic!("{command}: {found:?}");
        };
        let shown = differences.join("\n");
        for words in *told {
            assert!(
                shown.contains(words),
                "{command}: {words:?} is not in\n{shown}"
            );
        }
        let is_whole = transaction == Transaction::replace(&wanted);
        match repair {
            Repair::Whole => assert!(is_whole, "{command}\n{transaction}"),
            Repair::Of(count) => {
                let operations = transaction.operations();
                assert_eq!(operations.len(), *count, "{command}\n{transaction}");
            }
        }
        if let Err(error) = programmed.commit(&transaction) {
            panic!("{command}: {error}\n{transaction}");
        }
        let after = as_json(&programmed.netns).expect("a listing");
        let is_reset = is_whole || command.contains("delete counter");
        let expected = if is_reset {
            without_counts(&before)
        } else {
            before
        };
        similar_asserts::assert_eq!(expected.join("\n"), after.join("\n"), "{}", command);
        assert_eq!(
            programmed.read(&wanted).expect("read"),
            Found::Same,
            "{command}"
        );
    }
}

/// Edits on top of edits, those that are refused left out.
#[test]
fn any_edits_together_are_repaired() {
    let wanted = table();
    let programmed = std::cell::RefCell::new(Programmed::new("edited").expect("a namespace"));
    let indices: Vec<usize> = (0..rows().count()).collect();
    let edits = subsequence(indices, 1..6).prop_shuffle();
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&edits, |edits| {
        let mut programmed = programmed.borrow_mut();
        load(&programmed.netns, &wanted);
        let before = as_json(&programmed.netns).expect("a listing");
        for row in edits {
            let edit = rows().nth(row).expect("a row");
            let command = with_handles(&programmed.netns, edit.command);
            let _ = programmed.netns.nft(&command);
        }
        if let Found::Differs { repair, .. } = programmed.read(&wanted).expect("read") {
            let committed = programmed.commit(&repair);
            prop_assert!(committed.is_ok(), "{:?}\n{}", committed, repair);
        }
        let after = as_json(&programmed.netns).expect("a listing");
        prop_assert_eq!(without_counts(&before), without_counts(&after));
        prop_assert_eq!(programmed.read(&wanted).expect("read"), Found::Same);
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_table_that_is_gone_is_not_there() {
    let mut programmed = Programmed::new("edited").expect("a namespace");
    load(&programmed.netns, &table());
    let deleted = programmed.netns.nft("delete table inet netpol");
    deleted.expect("deleted");
    assert_eq!(programmed.read(&table()).expect("read"), Found::Nothing);
}
