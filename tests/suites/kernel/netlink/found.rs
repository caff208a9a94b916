//! What is found of a table that was loaded, by whichever way, is what was loaded.

use std::cell::RefCell;
use std::time::Instant;

use netpol_agent::dataplane::Found;
use netpol_tests::fixture;
use netpol_tests::lab::NODES;
use netpol_tests::worlds::{drop_log, history, name, protection, scope};
use policy_compiler::compile::{Protection, compile};
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::{DropLog, Rule, Ruleset, Transaction, Verdict};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::Programmed;
use super::ground::{conditions, ground, in_chains, verdicts};
use super::large::large;

fn is_same(programmed: &mut Programmed, wanted: &Ruleset) -> Result<(), String> {
    match programmed.read(wanted) {
        Ok(Found::Same) => Ok(()),
        Ok(Found::Nothing) => Err("there is no table".to_owned()),
        Ok(Found::Differs { differences, .. }) => Err(differences.join("\n")),
        Err(error) => Err(error.to_string()),
    }
}

/// Loads by netlink and by nft; whatever was loaded must be found.
fn both_ways(programmed: &mut Programmed, ruleset: &Ruleset) -> Result<(), String> {
    let transaction = Transaction::replace(ruleset);
    let committed = programmed.commit(&transaction);
    committed.map_err(|error| error.to_string())?;
    is_same(programmed, ruleset).map_err(|why| format!("by netlink: {why}"))?;
    let loaded = programmed.netns.nft(&transaction.to_string());
    loaded.map_err(|error| error.to_string())?;
    is_same(programmed, ruleset).map_err(|why| format!("by nft: {why}"))
}

#[test]
fn every_fixture_is_found() {
    let mut programmed = Programmed::new("found").expect("a namespace");
    assert_eq!(
        programmed.read(&Ruleset::default()).expect("read"),
        Found::Nothing
    );
    for fixture in fixture::all() {
        for node in NODES {
            let ruleset = compile(&fixture.snapshot, &NodeScope::Node(name(node.name)));
            if let Err(why) = both_ways(&mut programmed, &ruleset) {
                panic!("{} on {}\n{why}", fixture.name, node.name);
            }
        }
    }
}

#[test]
fn every_condition_and_verdict_is_found() {
    let with_condition = |condition| Rule::new(vec![condition], Verdict::Accept);
    let rules = conditions().into_iter().map(with_condition);
    let verdicts = verdicts().into_iter();
    let verdicts = verdicts.map(|verdict| Rule::new(vec![], verdict).with_comment("said"));
    let rules: Vec<Rule> = rules.chain(verdicts).collect();
    let ruleset = in_chains(ground(), &rules);
    let mut programmed = Programmed::new("found").expect("a namespace");
    both_ways(&mut programmed, &ruleset).unwrap_or_else(|why| panic!("{why}"));
    // One rule in another's place is noticed, whichever two they are.
    let mut turned = rules.clone();
    turned.rotate_left(1);
    let turned = in_chains(ground(), &turned);
    let Found::Differs {
        repair,
        differences,
    } = programmed.read(&turned).expect("read")
    else {
        panic!("no difference");
    };
    // As many as are told, and that there are more.
    assert_eq!(differences.len(), 101, "{differences:#?}");
    programmed.commit(&repair).expect("repaired");
    is_same(&mut programmed, &turned).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn every_change_of_random_worlds_is_found_and_repaired() {
    let programmed = RefCell::new(Programmed::new("found").expect("a namespace"));
    let mut runner = TestRunner::new(Config {
        cases: 80,
        failure_persistence: None,
        ..Config::default()
    });
    let worlds = (
        history(16),
        scope(),
        drop_log(),
        [protection(), protection()],
    );
    let outcome = runner.run(&worlds, |(events, scope, log, protections)| {
        let mut programmed = programmed.borrow_mut();
        follow(&mut programmed, &events, &scope, log, protections).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

/// Commits all of a history, then wants what was there at each of its steps.
fn follow(
    programmed: &mut Programmed,
    events: &[Event],
    scope: &NodeScope,
    log: Option<DropLog>,
    [mut protection, mut other]: [Protection; 2],
) -> Result<(), String> {
    let compiler = Compiler::new(scope.clone()).with_protection(protection.clone());
    let mut compiler = compiler.with_drop_log(log);
    let committed = programmed.commit(&Transaction::replace(&compiler.take_whole()));
    committed.map_err(|error| error.to_string())?;
    let mut past = vec![compiler.ruleset().clone()];
    for (number, events) in events.chunks(3).enumerate() {
        for event in events {
            compiler.apply(event.clone());
        }
        if number % 2 == 1 {
            std::mem::swap(&mut protection, &mut other);
            compiler.protect(protection.clone());
        }
        let committed = programmed.commit(&compiler.take_transaction());
        committed.map_err(|error| error.to_string())?;
        is_same(programmed, compiler.ruleset())?;
        past.push(compiler.ruleset().clone());
    }
    for wanted in past {
        if let Found::Differs { repair, .. } =
            programmed.read(&wanted).map_err(|e| e.to_string())?
        {
            let repaired = programmed.commit(&repair);
            repaired.map_err(|error| format!("{error}\n{repair}"))?;
        }
        is_same(programmed, &wanted).map_err(|why| format!("after the repair: {why}"))?;
    }
    Ok(())
}

#[test]
fn a_large_table_is_read_in_time() {
    let ruleset = large();
    let mut programmed = Programmed::new("found").expect("a namespace");
    let committed = programmed.commit(&Transaction::replace(&ruleset));
    committed.expect("committed");
    for what in ["first", "again"] {
        let start = Instant::now();
        let found = programmed.read(&ruleset);
        println!("{what}: {:?}, peak {} kB", start.elapsed(), peak());
        assert_eq!(found.expect("read"), Found::Same);
    }
}

/// The most memory this process has had, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|n| n.parse().ok()).expect("a number")
}
