//! Fixtures and random worlds, whole and in changes.

use netpol_tests::fixture;
use netpol_tests::lab::NODES;
use netpol_tests::worlds::{drop_log, history, name, protection, scope};
use policy_compiler::compile::{Protection, compile, compile_protected};
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::{DropLog, Transaction};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::BothWays;

/// Worlds tried; each costs some forty runs of `nft`.
const WORLDS: u32 = 60;

#[test]
fn every_fixture_is_the_same_both_ways() {
    let mut ways = BothWays::new();
    for fixture in fixture::all() {
        for node in NODES {
            let ruleset = compile(&fixture.snapshot, &NodeScope::Node(name(node.name)));
            let transaction = Transaction::replace(&ruleset);
            if let Err(why) = ways.commit(&transaction).and_then(|()| ways.compare()) {
                panic!("{} on {}\n{why}", fixture.name, node.name);
            }
        }
    }
}

#[test]
fn every_change_of_random_worlds_is_the_same_both_ways() {
    let ways = std::cell::RefCell::new(BothWays::new());
    let mut runner = TestRunner::new(Config {
        cases: WORLDS,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(
            history(16),
            scope(),
            drop_log(),
            [protection(), protection()],
        ),
        |(events, scope, log, protections)| {
            let mut ways = ways.borrow_mut();
            follow(&mut ways, &events, &scope, log, protections).map_err(TestCaseError::fail)
        },
    );
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (events, scope, log, protections))) => {
            panic!("{scope:?}, {log:?}, {protections:#?}\n{events:#?}\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn follow(
    ways: &mut BothWays,
    events: &[Event],
    scope: &NodeScope,
    log: Option<DropLog>,
    [mut protection, mut other]: [Protection; 2],
) -> Result<(), String> {
    let compiler = Compiler::new(scope.clone()).with_protection(protection.clone());
    let mut compiler = compiler.with_drop_log(log);
    ways.commit(&Transaction::replace(&compiler.take_whole()))?;
    for (number, events) in events.chunks(3).enumerate() {
        for event in events {
            compiler.apply(event.clone());
        }
        if number % 2 == 1 {
            std::mem::swap(&mut protection, &mut other);
            compiler.protect(protection.clone());
        }
        let transaction = compiler.take_transaction();
        if !transaction.is_empty() {
            ways.commit(&transaction)?;
            ways.compare()?;
        }
    }
    let whole = compile_protected(compiler.snapshot(), scope, log.as_ref(), &protection);
    ways.commit(&Transaction::replace(&whole))?;
    ways.compare()
}
