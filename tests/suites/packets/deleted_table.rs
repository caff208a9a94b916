//! Other programs take the table away: the agent puts all of it back, at its next change or its next look.

use std::path::Path;

use netpol_tests::lab::{Expect, Lab, NODES, Place, Probe, Topology, Transport, privileged};

use crate::world::{
    CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, build, eventually, objects,
};

/// Probes of both callees from the caller and the stranger, who are allowed or not.
fn from(caller: bool, stranger: bool) -> Vec<Probe> {
    let mut probes = Vec::new();
    for to in [addresses(NEAR), addresses(FAR)].concat() {
        for (pod, allowed) in [(CALLER, caller), (STRANGER, stranger)] {
            let expect = if allowed {
                Expect::Answer
            } else {
                Expect::Silence
            };
            probes.push(Probe::new(&at(pod), to, Transport::Tcp(80)).expect(expect));
        }
    }
    probes
}

/// A file that appears at once.
fn put(folder: &Path, text: &str) {
    std::fs::write(folder.join(".draft"), text).expect("a file");
    std::fs::rename(folder.join(".draft"), folder.join("world.yaml")).expect("a file in place");
}

fn on_all_nodes(lab: &Lab, script: &str) {
    for node in &NODES {
        let netns = lab.host(&Place::node(node.name)).expect("a node").netns();
        netns.nft(script).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn tables(lab: &Lab) -> Vec<Option<String>> {
    let table = |node: &str| {
        lab.list_table(node)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    NODES.iter().map(|node| table(node.name)).collect()
}

#[test]
fn a_deleted_table_comes_back_whole() {
    if !privileged("a_deleted_table_comes_back_whole") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    let policies = objects() + POLICIES;
    let edited = objects() + &POLICIES.replace("role: caller", "role: nobody");
    put(&folder, &policies);
    lab.start_agents(&folder)
        .unwrap_or_else(|error| panic!("{error}"));
    eventually(&mut lab, "before", &from(true, false));

    for deletion in ["delete table inet netpol\n", "flush ruleset\n"] {
        on_all_nodes(&lab, deletion);
        put(&folder, &edited);
        eventually(&mut lab, deletion, &from(false, false));
        on_all_nodes(&lab, deletion);
        put(&folder, &policies);
        eventually(&mut lab, deletion, &from(true, false));
    }

    // And without any change.
    on_all_nodes(&lab, "flush ruleset\n");
    assert_eq!(tables(&lab), [None, None]);
    for node in &NODES {
        lab.await_log(node.name, "another program has deleted table inet netpol")
            .unwrap_or_else(|error| panic!("{error}"));
    }
    eventually(&mut lab, "nothing changed", &from(true, false));
}
