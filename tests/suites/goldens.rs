//! Fixtures against the compiler: every row against the compiled rulesets, and node-a's ruleset against `expected.nft`.

use netpol_tests::cluster::Cluster;
use netpol_tests::fixture;
use netpol_tests::interpreter::Outcome;
use netpol_tests::lab::{NODES, Netns};
use netpol_tests::worlds::name;
use policy_compiler::compile::compile;
use policy_compiler::model::NodeScope;

#[test]
fn the_compiled_rulesets_agree_with_every_row() {
    let mut wrong = Vec::new();
    for fixture in fixture::all() {
        let cluster = Cluster::new(&fixture.snapshot, NODES.map(|node| name(node.name)));
        wrong.extend(fixture.mismatches(|flow| {
            let outcome = cluster.run(flow);
            (
                outcome == Some(Outcome::Accepted),
                format!("the rulesets: {outcome:?}"),
            )
        }));
    }
    assert!(
        wrong.is_empty(),
        "{} rows differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// `NETPOL_UPDATE_GOLDENS=1` writes the files instead, for a person to read.
#[test]
fn node_a_gets_the_expected_script() {
    let update = std::env::var_os("NETPOL_UPDATE_GOLDENS").is_some();
    let mut changed = Vec::new();
    for fixture in fixture::all() {
        let file = fixture.directory.join("expected.nft");
        let script = compile(&fixture.snapshot, &NodeScope::Node(name("node-a"))).to_string();
        if update {
            std::fs::write(&file, script)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            continue;
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if script != expected {
            changed.push(format!(
                "{}\n{}",
                file.display(),
                similar_asserts::SimpleDiff::from_str(&expected, &script, "expected", "compiled")
            ));
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

/// nft accepts every golden file as it stands.
#[test]
fn nft_accepts_every_expected_script() {
    let netns = Netns::new("goldens").unwrap_or_else(|error| panic!("{error}"));
    for fixture in fixture::all() {
        let file = fixture.directory.join("expected.nft");
        let script = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(error) = netns.run(&["nft", "-c", "-f", "-"], &script) {
            panic!("{}: {error}", file.display());
        }
    }
}
