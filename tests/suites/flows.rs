//! Every row of every fixture, and what the table of rules says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use netpol_tests::fixture::{self, Expected};
use policy_compiler::verdict::Judge;

#[test]
fn the_verdict_agrees_with_every_row() {
    let wrong: Vec<String> = fixture::all()
        .iter()
        .flat_map(|fixture| {
            let judge = Judge::new(&fixture.snapshot);
            fixture.mismatches(|flow| {
                let verdict = judge.judge(flow);
                (verdict.is_allowed(), verdict.to_string())
            })
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} rows differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A fixture that only allows, or only denies, could not tell a filter that is off from one that is shut.
#[test]
fn every_fixture_allows_and_denies() {
    for fixture in fixture::all() {
        for expected in [Expected::Allow, Expected::Deny] {
            assert!(
                fixture.rows.iter().any(|row| row.expected == expected),
                "{}: no row {expected}",
                fixture.name
            );
        }
    }
}

/// `tests/rules.md` says of each rule what holds it; this says whether that is so.
#[test]
fn the_table_of_rules_is_true() {
    let table = rule_table();
    let mut wrong = Vec::new();
    for rule in documented_rules() {
        match table.get(&rule) {
            None if rule.starts_with('L') => {}
            None => wrong.push(format!("{rule} has no line")),
            Some(line) if line.fixtures.is_empty() && line.other == "–" => {
                wrong.push(format!("{rule}: nothing holds it"));
            }
            Some(_) => {}
        }
    }
    let named = named_by_fixtures();
    for rule in table.keys().chain(named.keys()).collect::<BTreeSet<_>>() {
        let listed = table
            .get(rule)
            .map(|line| line.fixtures.clone())
            .unwrap_or_default();
        let naming = named.get(rule).cloned().unwrap_or_default();
        if listed != naming {
            wrong.push(format!(
                "{rule} lists {listed:?}, but the fixtures that name it are {naming:?}"
            ));
        }
    }
    let functions = functions();
    for (rule, line) in &table {
        for path in line.other.split('`').skip(1).step_by(2) {
            let function = path.rsplit("::").next().unwrap_or(path);
            if !functions.contains(function) {
                wrong.push(format!("{rule}: there is no function {function}"));
            }
        }
    }
    assert!(wrong.is_empty(), "tests/rules.md:\n{}", wrong.join("\n"));
}

#[test]
fn rows_name_rules_that_exist() {
    let documented = documented_rules();
    for (rule, fixtures) in named_by_fixtures() {
        assert!(
            documented.contains(&rule),
            "{rule}, named by {fixtures:?}, is not in docs/semantics.md"
        );
    }
}

/// One line of `tests/rules.md`.
struct Line {
    fixtures: BTreeSet<String>,
    other: String,
}

fn rule_table() -> BTreeMap<String, Line> {
    let text = read("tests/rules.md");
    let lines = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, rule, fixtures, other, _] = cells[..] else {
            return None;
        };
        let fixtures = fixtures
            .split(", ")
            .filter(|name| *name != "–")
            .map(str::to_owned)
            .collect();
        is_rule(rule).then(|| {
            (
                rule.to_owned(),
                Line {
                    fixtures,
                    other: other.to_owned(),
                },
            )
        })
    });
    lines.collect()
}

/// The rules of sections A to I and the decisions of L.
fn documented_rules() -> BTreeSet<String> {
    let text = read("docs/semantics.md");
    let first_cells = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next());
    first_cells
        .map(str::trim)
        .filter(|cell| is_rule(cell))
        .map(str::to_owned)
        .collect()
}

fn is_rule(text: &str) -> bool {
    text.strip_prefix(|c: char| ('A'..='I').contains(&c) || c == 'L')
        .is_some_and(|number| number.parse::<u8>().is_ok())
}

fn named_by_fixtures() -> BTreeMap<String, BTreeSet<String>> {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fixture in fixture::all() {
        for rule in fixture.rows.iter().flat_map(|row| &row.rules) {
            named
                .entry(rule.clone())
                .or_default()
                .insert(fixture.name.clone());
        }
    }
    named
}

/// The names of all functions of the project.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![
        project("policy-compiler"),
        project("agent"),
        project("tests"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let after_fn = text.split("fn ").skip(1);
                names.extend(
                    after_fn
                        .filter_map(|rest| rest.split(['(', '<']).next())
                        .map(str::to_owned),
                );
            }
        }
    }
    names
}

fn read(file: &str) -> String {
    std::fs::read_to_string(project(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}
