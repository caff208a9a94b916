//! Edits of each kind, and whose they are.

use netpol_agent::dataplane::Part;
use policy_compiler::ruleset::{Operation, Rule, Transaction, Verdict};

use super::Watched;
use crate::netlink::ground::{ground, ident, in_chains};

fn watched(name: &str) -> Watched {
    let mut watched = Watched::new(name);
    let rules = [Rule::new(vec![], Verdict::Accept)];
    watched.commit(&Transaction::replace(&in_chains(ground(), &rules)));
    watched
}

#[test]
fn each_edit_is_told_with_its_kind_and_its_program() {
    let mut watched = watched("edits");
    let table = "inet netpol";
    let rows = [
        (format!("add chain {table} mine\n"), Part::Chain, "1 chain"),
        (
            format!("add rule {table} row-0000 tcp dport 7 drop\n"),
            Part::Rule,
            "1 rule",
        ),
        (format!("flush chain {table} row-0000\n"), Part::Rule, ""),
        (
            format!("delete chain {table} mine\n"),
            Part::Chain,
            "1 chain",
        ),
        (
            format!("add element {table} addresses4 {{ 10.0.0.1, 10.0.0.2 }}\n"),
            Part::Element,
            "2 element",
        ),
        (
            format!("delete element {table} addresses4 {{ 10.0.0.1 }}\n"),
            Part::Element,
            "1 element",
        ),
        (
            format!("flush set {table} addresses4\n"),
            Part::Element,
            "1 element",
        ),
        (
            format!("add element {table} map4 {{ 10.0.0.1 : goto target }}\n"),
            Part::Element,
            "1 element",
        ),
        (
            format!("add set {table} mine {{ type ipv4_addr; }}\n"),
            Part::Set,
            "1 set",
        ),
        (format!("delete set {table} mine\n"), Part::Set, "1 set"),
        (
            format!("add counter {table} mine\n"),
            Part::Other,
            "1 other",
        ),
        (
            format!("delete counter {table} mine\n"),
            Part::Other,
            "1 other",
        ),
        // No packet is judged by a table that sleeps.
        (
            format!("add table {table} {{ flags dormant; }}\n"),
            Part::Table,
            "1 table",
        ),
        (format!("delete table {table}\n"), Part::Table, ""),
    ];
    for (script, part, counts) in rows {
        watched.nft(&script);
        let foreign = watched.foreign();
        assert_eq!(foreign.part(), part, "{script}: {foreign}");
        if !counts.is_empty() {
            assert_eq!(foreign.to_string(), counts, "{script}");
        }
        assert_eq!(
            foreign.is_gone,
            script.starts_with("delete table"),
            "{script}"
        );
        let process = foreign.process.expect("a process");
        assert_eq!(process.name, "nft", "{script}");
        assert_ne!(process.pid, std::process::id(), "{script}");
    }
}

#[test]
fn a_flushed_ruleset_and_a_table_made_anew() {
    let mut watched = watched("flush");
    watched.nft("add table inet other\nadd table ip netpol\n");
    watched.nft("flush ruleset\n");
    let foreign = watched.foreign();
    assert!(foreign.is_gone, "{foreign}");
    assert_eq!(foreign.count(Part::Table), 1, "{foreign}");
    watched.commit(&Transaction::replace(&ground()));
    watched.nft("delete table inet netpol\nadd table inet netpol\n");
    let foreign = watched.foreign();
    assert!(!foreign.is_gone, "{foreign}");
    assert_eq!(foreign.count(Part::Table), 2, "{foreign}");
}

#[test]
fn own_commits_are_not_told() {
    let mut watched = watched("own");
    watched.assert_nothing("the first");
    for operations in [
        vec![Operation::AddChain(ident("mine"), None)],
        vec![Operation::AddRule(
            ident("mine"),
            Rule::new(vec![], Verdict::Accept),
        )],
        vec![Operation::DeleteTable],
    ] {
        watched.commit(&Transaction::new(operations));
    }
    watched.commit(&Transaction::replace(&ground()));
    watched.assert_nothing("own");
}

#[test]
fn other_tables_are_not_told() {
    let mut watched = watched("others");
    for table in [
        "inet other",
        "ip netpol",
        "ip6 netpol",
        "bridge netpol",
        "inet netpol2",
    ] {
        watched.nft(&format!(
            "add table {table}\nadd chain {table} c\nadd rule {table} c drop\nadd counter {table} n\n\
             add set {table} s {{ type ipv4_addr; }}\nadd element {table} s {{ 10.0.0.1 }}\ndelete table {table}\n"
        ));
        watched.assert_nothing(table);
    }
}

/// Both ways to lose a change are tried: the future is dropped before it is ready, and with a change in its hands.
#[test]
fn nothing_is_lost_when_waiting_is_given_up() {
    let mut watched = watched("given-up");
    watched.nft("add chain inet netpol mine\n");
    let mut tries = 0;
    let foreign = loop {
        tries += 1;
        let next = watched.runtime.block_on(async {
            tokio::select! {
                biased;
                disturbance = watched.watcher.next() => Some(disturbance),
                () = tokio::task::yield_now() => None,
            }
        });
        if let Some(disturbance) = next {
            break disturbance;
        }
    };
    assert!(tries > 1);
    assert!(
        matches!(foreign, netpol_agent::dataplane::Disturbance::Foreign(f) if f.part() == Part::Chain)
    );
}

/// The rule that is tried is never in the kernel: nobody is told of it, and there is no table.
#[test]
fn a_kernel_that_logs_is_found_out_without_a_commit() {
    let mut watched = Watched::new("log");
    let log = watched.runtime.block_on(watched.dataplane.check_log(9808));
    log.unwrap_or_else(|error| panic!("{error}"));
    let listing = watched.netns.run(&["nft", "list", "ruleset"], "");
    assert_eq!(listing.expect("a listing"), "");
    watched.nft("add table inet netpol\n");
    assert_eq!(watched.foreign().to_string(), "1 table");
    watched.assert_nothing("log");
}
