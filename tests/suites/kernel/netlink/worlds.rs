//! Fixtures and random worlds, whole and in changes.

use netpol_tests::fixture;
use netpol_tests::lab::NODES;
use netpol_tests::worlds::{drop_log, history, name, scope};
use policy_compiler::compile::{compile, compile_with};
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
        &(history(16), scope(), drop_log()),
        |(events, scope, log)| {
            let mut ways = ways.borrow_mut();
            follow(&mut ways, &events, &scope, log).map_err(TestCaseError::fail)
        },
    );
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (events, scope, log))) => {
            panic!("{scope:?}, {log:?}\n{events:#?}\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn follow(
    ways: &mut BothWays,
    events: &[Event],
    scope: &NodeScope,
    log: Option<DropLog>,
) -> Result<(), String> {
    let mut compiler = Compiler::new(scope.clone()).with_drop_log(log);
    ways.commit(&Transaction::replace(compiler.ruleset()))?;
    for events in events.chunks(3) {
        for event in events {
            compiler.apply(event.clone());
        }
        let transaction = compiler.take_transaction();
        if !transaction.is_empty() {
            ways.commit(&transaction)?;
            ways.compare()?;
        }
    }
    let whole = compile_with(compiler.snapshot(), scope, log.as_ref());
    ways.commit(&Transaction::replace(&whole))?;
    ways.compare()
}
