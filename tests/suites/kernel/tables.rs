//! What the kernel makes of compiled rulesets: every form of the same world must leave the same table.

use std::collections::BTreeSet;
use std::time::Instant;

use netpol_tests::lab::{LabError, Netns};
use netpol_tests::worlds::{drop_log, history, scope};
use policy_compiler::compile::compile_with;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::{DropLog, Ruleset, Transaction};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::netlink::{AT_REST_WITHIN, BETWEEN_LISTINGS};

/// Worlds tried; each costs some twenty runs of `nft`.
const WORLDS: u32 = 100;

#[test]
fn changes_scripts_and_json_make_the_same_table() {
    let ways = ThreeWays::new().unwrap_or_else(|error| panic!("{error}"));
    let mut runner = TestRunner::new(Config {
        cases: WORLDS,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(history(16), scope(), drop_log()),
        |(events, scope, log)| {
            ways.lead_to_the_same(&events, &scope, log)
                .map_err(TestCaseError::fail)
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

/// Three kernels, each brought to a world in its own way.
pub(crate) struct ThreeWays {
    /// Commits as the agent makes them, one after another.
    changed: Netns,
    /// A load from scratch.
    loaded: Netns,
    /// The JSON.
    json: Netns,
}

impl ThreeWays {
    pub(crate) fn new() -> Result<Self, LabError> {
        Ok(Self {
            changed: Netns::new("changed")?,
            loaded: Netns::new("loaded")?,
            json: Netns::new("json")?,
        })
    }

    /// Says how the tables differ that the ways lead to, or what nft refused.
    pub(crate) fn lead_to_the_same(
        &self,
        events: &[Event],
        scope: &NodeScope,
        log: Option<DropLog>,
    ) -> Result<(), String> {
        let ruleset = self
            .go(events, scope, log)
            .map_err(|error| error.to_string())?;
        // The kernel may go on giving hash tables more room: a listing then tells some elements twice and not others.
        let deadline = Instant::now() + AT_REST_WITHIN;
        loop {
            match self.are_the_same(&ruleset) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(BETWEEN_LISTINGS),
                compared => return compared,
            }
        }
    }

    fn are_the_same(&self, ruleset: &Ruleset) -> Result<(), String> {
        let list = |netns| listing(netns).map_err(|error: LabError| error.to_string());
        let expected = list(&self.loaded)?;
        same("changes", &list(&self.changed)?, &expected)?;
        same(
            "JSON",
            &without_set_comments(&list(&self.json)?),
            &without_set_comments(&expected),
        )?;
        let printed = objects(&ruleset.to_string());
        same("the printed script", &printed, &expected)
    }

    fn go(
        &self,
        events: &[Event],
        scope: &NodeScope,
        log: Option<DropLog>,
    ) -> Result<Ruleset, LabError> {
        let mut compiler = Compiler::new(scope.clone()).with_drop_log(log);
        let empty = Transaction::replace(compiler.ruleset());
        self.changed.nft(&empty.to_string())?;
        for events in events.chunks(3) {
            for event in events {
                compiler.apply(event.clone());
            }
            let transaction = compiler.take_transaction();
            if !transaction.is_empty() {
                self.changed.nft(&transaction.to_string())?;
            }
        }
        let ruleset = compile_with(compiler.snapshot(), scope, log.as_ref());
        self.loaded
            .nft(&Transaction::replace(&ruleset).to_string())?;
        self.json.nft(&Transaction::remove().to_string())?;
        let json = ruleset.to_json().to_string();
        self.json.run(&["nft", "-j", "-f", "-"], &json)?;
        Ok(ruleset)
    }
}

fn same(how: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Result<(), String> {
    let difference: Vec<&String> = found.symmetric_difference(expected).collect();
    if difference.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{how} left another table than a load from scratch: {difference:#?}"
    ))
}

/// nft 1.0.6 writes the comments of sets to JSON but does not read them from it.
fn without_set_comments(objects: &BTreeSet<String>) -> BTreeSet<String> {
    let strip = |object: &String| match object.split_once(" comment \"") {
        Some((head, rest)) if object.starts_with("set ") => {
            format!(
                "{head}{}",
                rest.split_once('"').map_or("", |(_, after)| after)
            )
        }
        _ => object.clone(),
    };
    objects.iter().map(strip).collect()
}

fn listing(netns: &Netns) -> Result<BTreeSet<String>, LabError> {
    // Stateless: without what counters have counted.
    Ok(objects(&netns.run(
        &["nft", "-s", "list", "table", "inet", "netpol"],
        "",
    )?))
}

/// The objects of a table in no order, each on one line with its elements sorted: nft keeps chains in the order they
/// were made and breaks lines by its own taste.
fn objects(table: &str) -> BTreeSet<String> {
    let inner = table
        .trim()
        .trim_start_matches("table inet netpol {")
        .trim_end_matches('}');
    let blocks = inner
        .split("\n\t}")
        .map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "));
    blocks
        .filter(|block| !block.is_empty())
        .map(|block| with_sorted_elements(&block))
        .collect()
}

fn with_sorted_elements(block: &str) -> String {
    let Some((head, elements)) = block.split_once("elements = {") else {
        return block.to_owned();
    };
    let mut elements: Vec<&str> = elements
        .trim_end_matches(['}', ' '])
        .split(',')
        .map(str::trim)
        .collect();
    elements.sort_unstable();
    format!("{head}elements = {}", elements.join(", "))
}
