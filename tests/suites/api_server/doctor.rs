//! What `netpol doctor` says of a real cluster: rights, the node's name, and that nobody answers.

use std::path::Path;

use netpol_tests::lab::{NODES, Place, Topology, netpol_binary, privileged};
use serde_json::Value;

use crate::live::Live;

/// The levels and words of all findings about the cluster, asked for on node-a.
fn findings(live: &Live, kubeconfig: &Path, more: &str) -> Vec<(String, String)> {
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let (binary, kubeconfig) = (binary.display(), kubeconfig.display());
    // Findings are on standard output whatever the exit code.
    let script =
        format!("{binary} doctor -o json --kubeconfig {kubeconfig} {more} || [ $? -eq 1 ]");
    let netns = live
        .lab
        .host(&Place::node(NODES[0].name))
        .expect("a node")
        .netns();
    let said = netns
        .run(&["sh", "-c", &script], "")
        .unwrap_or_else(|error| panic!("{error}"));
    let document: Value = serde_json::from_str(&said).expect("JSON");
    let text =
        |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let findings = document["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter(|finding| finding["check"] == "cluster")
        .map(|finding| {
            let words = text(finding, "found") + "; " + &text(finding, "advice");
            (text(finding, "level"), words)
        })
        .collect()
}

fn amiss(findings: &[(String, String)]) -> Vec<(&str, &str)> {
    let amiss = findings.iter().filter(|(level, _)| level != "ok");
    amiss
        .map(|(level, words)| (level.as_str(), words.as_str()))
        .collect()
}

#[test]
fn what_an_agent_needs_of_the_cluster_is_asked_for() {
    if !privileged("what_an_agent_needs_of_the_cluster_is_asked_for") {
        return;
    }
    let mut live = Live::start(Topology::Bridge);
    live.add_namespaces(&["shop"]);
    live.add_pod("shop/db", &[], 0, 10);
    let kubeconfig = live.arguments().pop().expect("a kubeconfig");
    let kubeconfig = Path::new(&kubeconfig);

    let found = findings(&live, kubeconfig, "--node-name node-a");
    assert_eq!(amiss(&found), [], "{found:?}");
    let said: String = found.iter().map(|(_, words)| words.as_str()).collect();
    for words in [
        "its clock agrees",
        "has the rights",
        "pods run on node node-a",
    ] {
        assert!(said.contains(words), "no {words:?}: {said}");
    }

    let found = findings(&live, kubeconfig, "--node-name node-z --kubernetes-events");
    let found = amiss(&found);
    let [create, patch, node] = found.as_slice() else {
        panic!("{found:?}")
    };
    for (finding, words) in [
        (create, "may not create events"),
        (patch, "may not patch events"),
        (node, "no pod runs on node node-z; others run on node-a"),
    ] {
        assert_eq!(finding.0, "warning", "{finding:?}");
        assert!(finding.1.contains(words), "{finding:?}");
    }

    let stranger = live.control.kubeconfig_of("stranger", &[]);
    let stranger = stranger.unwrap_or_else(|error| panic!("{error}"));
    let found = findings(&live, &stranger, "--node-name node-a");
    let found = amiss(&found);
    assert_eq!(found.len(), 6, "{found:?}");
    for kind in ["pods", "namespaces", "networkpolicies"] {
        for verb in ["list", "watch"] {
            let denied = format!("this identity may not {verb} {kind}");
            let is_it =
                |(level, words): &(&str, &str)| *level == "error" && words.contains(&denied);
            assert!(found.iter().any(is_it), "{denied}: {found:?}");
        }
    }

    live.control.kill_api_server();
    let found = findings(&live, kubeconfig, "--node-name node-a");
    let [(level, words)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(level, "error");
    assert!(words.contains("cannot be asked"), "{words}");
}
