//! Pods that controllers make, replace and remove.

use netpol_tests::kubernetes::wait_for;
use serde_json::json;

use crate::Scenario;
use crate::pods;
use crate::stage::{Outcome, SOON, Stage, is_ready, key, listed, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a Deployment grows", deployment),
    ("a namespace is deleted", namespace),
];

fn deployment(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: crowd, namespace: shop}
spec:
  podSelector: {matchLabels: {app: crowd}}
  ingress: [{from: [{podSelector: {matchLabels: {app: crowd}}}]}]
";
    stage.cluster.apply(policy).map_err(text)?;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "crowd", "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "crowd"}},
            "template": {"metadata": {"labels": {"app": "crowd"}}, "spec": pods::server_spec()},
        },
    });
    stage.cluster.apply(&deployment.to_string()).map_err(text)?;
    for replicas in [1, 4] {
        let size = format!("--replicas={replicas}");
        stage
            .cluster
            .kubectl(&["scale", "--namespace=shop", "deployment/crowd", &size])
            .map_err(text)?;
        let members = running(stage, "shop", "app=crowd", replicas)?;
        let mut rows = Vec::new();
        for to in &members {
            rows.push(("shop/client-a".to_owned(), to.clone(), false));
            rows.push(("guests/guest-b".to_owned(), to.clone(), false));
            rows.extend(members.iter().map(|from| (from.clone(), to.clone(), true)));
        }
        expect(stage, &rows)?;
    }
    stage
        .cluster
        .kubectl(&[
            "delete",
            "--wait=false",
            "--namespace=shop",
            "deployment/crowd",
        ])
        .map_err(text)?;
    stage.without(policy)
}

fn namespace(stage: &mut Stage) -> Outcome {
    stage
        .cluster
        .create_namespace("brief", &json!({"team": "brief"}))
        .map_err(text)?;
    let policies = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: brief}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: visitors, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: brief}}}]}]
";
    stage.cluster.apply(policies).map_err(text)?;
    for (name, node) in [("one", "node-a"), ("two", "node-b")] {
        let pod = pods::server("brief", name, "brief", node);
        stage.cluster.control_plane().create(&pod).map_err(text)?;
    }
    for name in ["brief/one", "brief/two"] {
        stage.wait_running(name).map_err(text)?;
    }
    stage.expect(&[
        ("guests/guest-a", "brief/one", false),
        ("guests/guest-a", "brief/two", false),
        ("guests/guest-a", "shop/web-a", false),
    ])?;
    if chains(stage, "brief/")? == 0 {
        return Err("no chains of the namespace to begin with".to_owned());
    }
    stage
        .cluster
        .kubectl(&["delete", "namespace", "brief", "--timeout=180s"])
        .map_err(text)?;
    wait_for(
        "the namespace's chains gone from the nodes",
        SOON,
        || match chains(stage, "brief/")? {
            0 => Ok(()),
            some => Err(format!("{some} are left")),
        },
    )
    .map_err(text)?;
    // The other namespace's policy is as it was.
    stage.expect(&[
        ("guests/guest-a", "shop/web-a", false),
        ("guests/guest-a", "guests/guest-b", true),
    ])?;
    stage
        .cluster
        .kubectl(&["delete", "--namespace=shop", "networkpolicy/visitors"])
        .map(drop)
        .map_err(text)
}

/// How many chains of the agents' tables have these words in their names.
fn chains(stage: &Stage, words: &str) -> Result<usize, String> {
    let mut found = 0;
    for node in stage.cluster.nodes() {
        let listed = node
            .netns()
            .run(&["nft", "list", "chains"], "")
            .map_err(text)?;
        found += listed
            .lines()
            .filter(|line| line.contains("chain") && line.contains(words))
            .count();
    }
    Ok(found)
}

/// Waits for so many pods with a label to be ready; returns their names.
fn running(
    stage: &Stage,
    namespace: &str,
    selector: &str,
    count: usize,
) -> Result<Vec<String>, String> {
    wait_for(&format!("{count} pods with {selector}"), SOON, || {
        let found = listed(stage, namespace, selector)?;
        let ready = found.iter().filter(|pod| is_ready(pod)).count();
        if ready == count && found.len() == count {
            Ok(found.iter().map(key).collect())
        } else {
            Err(format!("{ready} ready of {}", found.len()))
        }
    })
    .map_err(text)
}

fn expect(stage: &Stage, rows: &[(String, String, bool)]) -> Outcome {
    let rows: Vec<_> = rows
        .iter()
        .map(|(from, to, passes)| (from.as_str(), to.as_str(), *passes))
        .collect();
    stage.expect(&rows)
}
