//! A table that is changed between reading and repair.

use std::time::{Duration, Instant};

use netpol_agent::dataplane::{Found, NetlinkError};
use policy_compiler::ruleset::{Comment, Elements, Family, Ident, Set, SetKey, TABLE, Transaction};

use super::Programmed;
use super::edits::table;
use super::raw::Change;
use super::restless::{PATIENCE, Restless, Row};

/// What is to be repaired may have gone on changing, and then it is something else that is to be repaired.
#[test]
fn a_repair_is_for_the_table_that_was_read() {
    let mut programmed = Programmed::new("overtaken").expect("a namespace");
    let wanted = table();
    let loaded = programmed.commit(&Transaction::replace(&wanted));
    loaded.expect("loaded");
    let edit = |programmed: &Programmed, script: &str| {
        programmed.netns.nft(script).expect("edited");
    };
    edit(&programmed, "delete element inet netpol peers { 10.1.0.1 }");
    let Ok(Found::Differs { repair, .. }) = programmed.read(&wanted) else {
        panic!("it differs");
    };
    edit(&programmed, "add rule inet netpol pod accept");
    let overtaken = programmed.repair(&repair).expect_err("overtaken");
    assert!(overtaken.is_overtaken(), "{overtaken}");
    let Ok(Found::Differs { differences, .. }) = programmed.read(&wanted) else {
        panic!("it differs");
    };
    assert_eq!(
        differences.len(),
        2,
        "nothing was committed: {differences:?}"
    );
    // A change of another table is no reason.
    let Ok(Found::Differs { repair, .. }) = programmed.read(&wanted) else {
        panic!("it differs");
    };
    edit(&programmed, "add table inet other");
    programmed.repair(&repair).expect("repaired");
    assert_eq!(programmed.read(&wanted).expect("read"), Found::Same);
}

/// What is taken out has gone by itself, or come again: either would be refused, or be too much.
#[test]
fn a_repair_is_never_for_another_table_than_was_read() {
    const ROW: Row = Row {
        family: 1,
        table: TABLE,
        change: Change::Element,
    };
    const REPAIRS: u32 = 500;
    /// Fewer do where the machine is slow, if both came about.
    const ENOUGH: Duration = Duration::from_secs(10);
    const BETWEEN: Duration = Duration::from_micros(600);
    let set = Set {
        key: SetKey::Address(Family::V4),
        comment: Comment::new("comes and goes"),
        elements: Elements::default(),
    };
    let mut wanted = table();
    wanted.sets.insert(Ident::fixed("s"), set);
    let mut programmed = Programmed::new("never").expect("a namespace");
    let loaded = programmed.commit(&Transaction::replace(&wanted));
    loaded.expect("loaded");
    let restless = Restless::with_pause(&programmed.netns, &ROW, BETWEEN);
    let (mut done, mut overtaken, start) = (0, 0, Instant::now());
    while done == 0 || overtaken == 0 || done + overtaken < REPAIRS && start.elapsed() < ENOUGH {
        assert!(start.elapsed() < PATIENCE, "{done}, {overtaken}");
        match programmed.read(&wanted) {
            Ok(Found::Differs { repair, .. }) => match programmed.repair(&repair) {
                Ok(()) => done += 1,
                Err(error) if error.is_overtaken() => overtaken += 1,
                Err(error) => panic!("after {done} and {overtaken}: {error}"),
            },
            Ok(Found::Same) | Err(NetlinkError::Restless { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    println!("{done} repairs; {overtaken} times it was another table");
    drop(restless);
}
