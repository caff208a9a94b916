//! What the kernel makes of compiled rulesets: every form of the same world must leave the same table.

use std::collections::BTreeSet;

use netpol_tests::lab::Netns;
use netpol_tests::worlds::{history, scope};
use policy_compiler::compile::compile;
use policy_compiler::index::Compiler;
use policy_compiler::ruleset::Transaction;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

/// Worlds tried; each costs some twenty runs of `nft`.
const WORLDS: u32 = 100;

/// Commits as the agent makes them, one after another, leave what a load from scratch leaves, and so does the JSON.
#[test]
fn changes_scripts_and_json_make_the_same_table() {
    let [changed, loaded, json] = ["changed", "loaded", "json"]
        .map(|name| Netns::new(name).unwrap_or_else(|error| panic!("{error}")));
    let mut runner = TestRunner::new(Config {
        cases: WORLDS,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&(history(16), scope()), |(events, scope)| {
        let fail = |error: netpol_tests::lab::LabError| TestCaseError::fail(error.to_string());
        let mut compiler = Compiler::new(scope.clone());
        changed
            .nft(&Transaction::replace(compiler.ruleset()).to_string())
            .map_err(fail)?;
        for events in events.chunks(3) {
            events
                .iter()
                .cloned()
                .for_each(|event| compiler.apply(event));
            let transaction = compiler.take_transaction();
            if !transaction.is_empty() {
                changed.nft(&transaction.to_string()).map_err(fail)?;
            }
        }
        let ruleset = compile(compiler.snapshot(), &scope);
        loaded
            .nft(&Transaction::replace(&ruleset).to_string())
            .map_err(fail)?;
        json.nft(&Transaction::remove().to_string()).map_err(fail)?;
        json.run(&["nft", "-j", "-f", "-"], &ruleset.to_json().to_string())
            .map_err(fail)?;
        let expected = listing(&loaded).map_err(fail)?;
        same("changes", &listing(&changed).map_err(fail)?, &expected)?;
        let json = listing(&json).map_err(fail)?;
        same(
            "JSON",
            &without_set_comments(&json),
            &without_set_comments(&expected),
        )?;
        same(
            "the printed script",
            &objects(&ruleset.to_string()),
            &expected,
        )
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (events, scope))) => panic!("{scope:?}\n{events:#?}\n{why}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn same(
    how: &str,
    found: &BTreeSet<String>,
    expected: &BTreeSet<String>,
) -> Result<(), TestCaseError> {
    let difference: Vec<&String> = found.symmetric_difference(expected).collect();
    if difference.is_empty() {
        return Ok(());
    }
    Err(TestCaseError::fail(format!(
        "{how} left another table than a load from scratch: {difference:#?}"
    )))
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

fn listing(netns: &Netns) -> Result<BTreeSet<String>, netpol_tests::lab::LabError> {
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
