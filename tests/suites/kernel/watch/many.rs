//! A great many changes of other tables.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use netpol_agent::dataplane::{Dataplane, Disturbance, Part};
use policy_compiler::ruleset::{Comment, Element, Family, Operation, Set, SetKey, Transaction};

use super::Watched;
use crate::netlink::Programmed;
use crate::netlink::ground::{ground, ident};

/// A table with so many elements, added by one commit.
fn other(elements: u32) -> String {
    let mut script = "add table inet other\nadd set inet other s { type ipv4_addr; }\n".to_owned();
    script.push_str("add element inet other s { ");
    for i in 0..elements {
        let _ = write!(script, "{}, ", Ipv4Addr::from(0x0a00_0000 + i));
    }
    script.push_str("}\n");
    script
}

/// Processor time of this thread.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("figures");
    let first = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(first.expect("nanoseconds"))
}

#[test]
fn a_hundred_thousand_elements_of_another_table_do_not_delay() {
    const ELEMENTS: u32 = 100_000;
    let mut watched = Watched::new("many");
    watched.commit(&Transaction::replace(&ground()));
    let script = other(ELEMENTS);
    // They wait in the socket when the own table is changed: what is measured is all the work there is.
    watched.nft(&script);
    watched.nft("delete table inet netpol\n");
    let (start, before) = (Instant::now(), busy());
    let foreign = watched.foreign();
    let (took, worked) = (start.elapsed(), busy().saturating_sub(before));
    assert_eq!(foreign.part(), Part::Table);
    println!(
        "{ELEMENTS} elements of another table: told after {took:?}, of which {worked:?} were work"
    );
    // How long it takes is also up to who else is at work on this machine.
    assert!(worked < Duration::from_secs(1), "{worked:?}");
}

/// The kernel announces them all the same.
#[test]
fn a_hundred_thousand_own_elements_are_passed_over() {
    const ELEMENTS: u32 = 100_000;
    let nth = |i| Element::Address(Ipv4Addr::from(0x0a00_0000 + i).into());
    let set = Set {
        key: SetKey::Address(Family::V4),
        comment: Comment::new("many"),
        elements: (0..ELEMENTS).map(nth).collect(),
    };
    let mut ruleset = ground();
    ruleset.sets.insert(ident("many"), set);
    let load = Transaction::replace(&ruleset);
    let mut unwatched = Programmed::new("unwatched").expect("a namespace");
    let start = Instant::now();
    unwatched.commit(&load).expect("committed");
    let alone = start.elapsed();

    let mut watched = Watched::new("own-many");
    let start = Instant::now();
    watched.commit(&load);
    let announced = start.elapsed();
    let before = busy();
    watched.assert_nothing("own");
    let worked = busy().saturating_sub(before);
    println!(
        "{ELEMENTS} own elements: committed in {alone:?} if nobody listens, in {announced:?} if \
         somebody does, who works {worked:?}"
    );
}

#[test]
fn an_overrun_is_told() {
    let mut watched = Watched::with_buffer("overrun", 4096);
    watched.commit(&Transaction::replace(&ground()));
    watched.nft(&other(10_000));
    assert_eq!(watched.next(), Disturbance::Overrun);
    // And then all is as before.
    watched.nft("add chain inet netpol mine\n");
    assert_eq!(watched.foreign().part(), Part::Chain);
}

/// Own commits of any size may be what was lost; then nothing has to be done. It is known only from a whole table on.
#[test]
fn whether_somebody_else_was_there_is_known() {
    let mut watched = Watched::new("as-left");
    let mut is_as_left = |script: &str, operations: Option<Transaction>| {
        if !script.is_empty() {
            watched.nft(script);
        }
        if let Some(operations) = operations {
            watched.commit(&operations);
        }
        let known = watched.runtime.block_on(watched.dataplane.is_as_left());
        known.unwrap_or_else(|error| panic!("{error}"))
    };
    let whole = || Some(Transaction::replace(&ground()));
    let change = |name| {
        let chain = Operation::AddChain(ident(name), None);
        Some(Transaction::new(vec![chain]))
    };
    let rows = [
        ("", None, false),
        ("add table inet netpol\n", change("a"), false),
        ("", whole(), true),
        ("", change("a"), true),
        ("", change("b"), true),
        ("add table inet other\n", None, false),
        // What came before a change is still there behind it.
        ("", change("c"), false),
        ("", whole(), true),
        ("flush ruleset\n", None, false),
        ("", whole(), true),
    ];
    for (row, (script, operations, expected)) in rows.into_iter().enumerate() {
        assert_eq!(is_as_left(script, operations), expected, "{row}");
    }
}
