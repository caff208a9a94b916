//! What is said when the kernel refuses, and that nothing is left of it.

use std::net::IpAddr;

use netpol_agent::dataplane::NetlinkError;
use policy_compiler::ruleset::{
    AddressMatch, Comment, Element, Elements, Family, Hook, Ident, Match, Operation, Rule, Ruleset,
    SetKey, Side, Transaction, Verdict,
};

use super::Programmed;
use super::ground::{address, ident};

fn rule(chain: &str, verdict: Verdict) -> Operation {
    Operation::AddRule(ident(chain), Rule::new(vec![], verdict))
}

fn elements(elements: &[Element]) -> Elements {
    elements.iter().copied().collect()
}

/// A table with a chain that is gone to, a set that is used and a map with an entry.
pub(super) fn ground() -> Vec<Operation> {
    let of_set = AddressMatch::Set(Family::V4, ident("used"));
    let by_set = Rule::new(vec![Match::Address(Side::Source, of_set)], Verdict::Accept);
    let key = SetKey::Range(Family::V4);
    let range = Element::Range(address("10.0.0.0"), address("10.0.0.255"));
    vec![
        Operation::AddTable,
        Operation::DeleteTable,
        Operation::Load(Ruleset::default()),
        Operation::AddSet(ident("used"), key, Comment::new("used")),
        Operation::AddElements(ident("used"), elements(&[range])),
        Operation::AddMap(ident("map"), Family::V4),
        Operation::AddChain(ident("target"), None),
        Operation::AddChain(ident("other"), None),
        Operation::AddChain(ident("chain"), None),
        // Only what packets can reach is searched for circles.
        Operation::AddChain(ident("base"), Some(Hook::Input)),
        rule("base", Verdict::Jump(ident("chain"))),
        rule("chain", Verdict::Goto(ident("target"))),
        Operation::AddRule(ident("chain"), by_set),
        Operation::AddMapElements(ident("map"), vec![(address("10.0.0.1"), ident("target"))]),
    ]
}

/// What is refused, what is named for it (nothing if it is told of the batch as a whole), and why.
type Row = (Operation, &'static str, &'static str);

fn rules_and_chains() -> Vec<Row> {
    vec![
        (
            rule("chain", Verdict::Jump(ident("missing"))),
            "add rule inet netpol chain jump missing",
            "No such file",
        ),
        (
            rule("missing", Verdict::Accept),
            "add rule inet netpol missing accept",
            "No such file",
        ),
        (
            rule("chain", Verdict::CountAndDrop(ident("missing"))),
            "add rule inet netpol chain counter name \"missing\" drop",
            "No such file",
        ),
        (
            rule(
                "chain",
                Verdict::AddressMap(Family::V4, Side::Source, ident("missing")),
            ),
            "add rule inet netpol chain ip saddr vmap @missing",
            "No such file",
        ),
        (
            rule("target", Verdict::Goto(ident("chain"))),
            "",
            "Too many links",
        ),
        (
            Operation::FlushChain(ident("missing")),
            "flush chain inet netpol missing",
            "No such file",
        ),
        (
            Operation::FlushSet(ident("missing")),
            "flush set inet netpol missing",
            "No such file",
        ),
    ]
}

fn elements_and_sets() -> Vec<Row> {
    let inside = Element::Range(address("10.0.0.7"), address("10.0.0.9"));
    let fine = Element::Range(address("192.0.2.0"), address("192.0.2.255"));
    let many: Vec<(IpAddr, Ident)> = (0..5000_u32)
        .map(|i| {
            (
                IpAddr::from((0x0a01_0000 + i).to_be_bytes()),
                ident("target"),
            )
        })
        .chain([(address("10.0.0.1"), ident("other"))])
        .collect();
    vec![
        (
            Operation::AddElements(ident("missing"), elements(&[fine])),
            "add element inet netpol missing { 1 of them }",
            "No such file",
        ),
        (
            Operation::AddElements(ident("used"), elements(&[fine, inside])),
            "add element inet netpol used { 2 of them }, element 10.0.0.",
            "File exists",
        ),
        (
            Operation::DeleteElements(ident("used"), elements(&[fine])),
            "delete element inet netpol used { 1 of them }, element 192.0.2.0",
            "No such file",
        ),
        (
            Operation::AddMapElements(ident("map"), many),
            "add element inet netpol map { 5001 of them }, element 10.0.0.1",
            "File exists",
        ),
        (
            Operation::AddMapElements(ident("map"), vec![(address("10.0.0.9"), ident("missing"))]),
            "add element inet netpol map { 1 of them }, element 10.0.0.9",
            "No such file",
        ),
        (
            Operation::DeleteChain(ident("target")),
            "delete chain inet netpol target",
            "busy",
        ),
        (
            Operation::DeleteSet(ident("used")),
            "delete set inet netpol used",
            "busy",
        ),
        (
            Operation::DeleteMap(ident("missing")),
            "delete map inet netpol missing",
            "No such file",
        ),
        (
            Operation::DeleteCounter(ident("missing")),
            "delete counter inet netpol missing",
            "No such file",
        ),
        (
            Operation::AddSet(ident("used"), SetKey::Address(Family::V6), Comment::new("")),
            "add set inet netpol used",
            "File exists",
        ),
    ]
}

#[test]
fn errors_name_the_command_and_leave_nothing_behind() {
    let mut programmed = Programmed::new("refusals").expect("a namespace");
    programmed
        .commit(&Transaction::new(ground()))
        .expect("committed");
    let list = |programmed: &Programmed| {
        let listing = programmed.netns.run(&["nft", "-a", "list", "ruleset"], "");
        listing.expect("a listing")
    };
    let before = list(&programmed);
    for (operation, command, why) in [rules_and_chains(), elements_and_sets()].concat() {
        let shown = operation.to_string().chars().take(100).collect::<String>();
        let around = |name: &str| Operation::AddChain(ident(name), None);
        let operations = vec![around("first"), operation, around("last")];
        let refused = programmed.commit(&Transaction::new(operations));
        let error = refused.expect_err(&shown);
        let text = error.to_string();
        assert!(text.contains(why), "{shown}: {text}");
        if command.is_empty() {
            let is_whole = matches!(error, NetlinkError::BatchRefused { .. });
            assert!(is_whole || text.contains(&shown), "{shown}: {text}");
        } else {
            assert!(text.contains(command), "{shown}: {text}");
        }
        assert_eq!(list(&programmed), before, "{shown}");
    }
}

/// More refusals than there is room for answers must not pass for success.
#[test]
fn many_refusals_are_counted_or_lost_but_never_success() {
    let mut programmed = Programmed::new("many").expect("a namespace");
    programmed
        .commit(&Transaction::new(ground()))
        .expect("committed");
    for count in [3_usize, 50_000] {
        let flush = |i| Operation::FlushChain(ident(&format!("missing-{i}")));
        let transaction = Transaction::new((0..count).map(flush).collect());
        match programmed.commit(&transaction) {
            Err(NetlinkError::Refused {
                command, others, ..
            }) => {
                assert_eq!(command, "flush chain inet netpol missing-0");
                assert!(
                    others == count - 1 || count > 1000 && others > 100,
                    "{others}"
                );
            }
            other => panic!("{count}: {other:?}"),
        }
        // The next answer is the next commit's.
        programmed
            .commit(&Transaction::new(ground()))
            .expect("committed");
    }
}

/// `nft` would not take this; there is nothing in it for the kernel.
#[test]
fn nothing_to_do_is_no_error() {
    let mut programmed = Programmed::new("nothing").expect("a namespace");
    let nothing = Operation::AddElements(ident("missing"), Elements::default());
    for operations in [vec![], vec![nothing]] {
        let committed = programmed.commit(&Transaction::new(operations));
        committed.expect("nothing to refuse");
    }
}

#[test]
fn the_table_is_seen_to_come_and_go() {
    let mut programmed = Programmed::new("table").expect("a namespace");
    assert!(!programmed.has_table().expect("an answer"));
    programmed
        .commit(&Transaction::new(ground()))
        .expect("committed");
    assert!(programmed.has_table().expect("an answer"));
    programmed
        .commit(&Transaction::remove())
        .expect("committed");
    assert!(!programmed.has_table().expect("an answer"));
    let refused = programmed.commit(&Transaction::new(vec![Operation::DeleteTable]));
    let text = refused.expect_err("no table").to_string();
    assert!(text.contains("delete table inet netpol"), "{text}");
}
