//! What no golden shows: sizes.

use super::compile;
use crate::decode;
use crate::model::{NodeScope, Snapshot};
use serde_json::{Value, json};

/// A pod with an address of each family, and a policy with one rule of so many peers and ports.
fn world(peers: &[Value], ports: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let pod = decode::pod(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p"},
        "spec": {"nodeName": "node-a", "containers": []},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}
    }));
    pod.object.into_iter().for_each(|pod| snapshot.add_pod(pod));
    let policy = decode::policy(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "a", "name": "x"},
        "spec": {"podSelector": {}, "ingress": [{"from": peers, "ports": ports}]}
    }));
    assert_eq!(policy.errors, []);
    snapshot
        .policies
        .extend(policy.object.map(|policy| (policy.key.clone(), policy)));
    snapshot
}

fn many<T>(count: usize, item: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(item).collect()
}

/// Rows: peers, numbers, names of one rule; the most bytes its ruleset may take for each of them.
#[test]
fn a_ruleset_grows_with_its_policy_and_never_with_a_product() {
    let rows = [
        (1, 1000, 0),
        (300, 300, 0),
        (300, 0, 300),
        (300, 300, 300),
        (1000, 2, 2),
    ];
    for (peers, numbers, names) in rows {
        let selectors = many(
            peers,
            |i| json!({"podSelector": {"matchLabels": {"k": i.to_string()}}}),
        );
        let mut ports = many(numbers, |i| json!({"port": 1 + 2 * i}));
        ports.extend(many(names, |i| json!({"port": format!("p{i}")})));
        let ruleset = compile(&world(&selectors, &ports), &NodeScope::AllNodes);
        let most = 4_000 + 1_000 * (peers + numbers + names);
        let bytes = ruleset.to_string().len();
        assert!(
            bytes <= most,
            "{peers} peers, {numbers} numbers, {names} names: {bytes} bytes"
        );
    }
}

/// What people write stays in one chain, where it can be read.
#[test]
fn an_ordinary_rule_is_written_out() {
    let selectors = many(
        4,
        |i| json!({"podSelector": {"matchLabels": {"k": i.to_string()}}}),
    );
    let ports = many(16, |i| json!({"port": 1 + 2 * i}));
    let ruleset = compile(&world(&selectors, &ports), &NodeScope::AllNodes);
    let of_policies: Vec<&str> = ruleset
        .chains
        .keys()
        .map(super::Ident::as_str)
        .filter(|name| name.starts_with("policy/"))
        .collect();
    assert_eq!(of_policies, ["policy/a/x/ingress"]);
}
