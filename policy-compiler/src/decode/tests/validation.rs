//! What the API server refuses, and where it says the fault is.

use serde_json::json;

use super::*;

/// The errors of a spec as text.
fn errors(spec: &Value) -> Vec<String> {
    decode_spec(spec)
        .errors
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn assert_paths(object: &Value, expected: &[&str]) {
    let found: Vec<String> = policy(object)
        .errors
        .iter()
        .map(|error| error.path.to_string())
        .collect();
    assert_eq!(found, expected, "{object}");
}

/// Semantics rules B5 and K. Rows: an item of `from`, the paths of its errors below it.
#[test]
fn peers() {
    let rows = [
        (json!({}), vec![""]),
        (json!(null), vec![""]),
        (json!({"podSelector": null}), vec![""]),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
            vec![""],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "namespaceSelector": {}}),
            vec![""],
        ),
        (json!({"ipBlock": {}}), vec![".ipBlock.cidr"]),
        (json!({"ipBlock": {"cidr": ""}}), vec![".ipBlock.cidr"]),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0"}}),
            vec![".ipBlock.cidr"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}),
            vec![".ipBlock.except[0]"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16"]}}),
            vec![".ipBlock.except[1]"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}}),
            vec![".ipBlock.except[0]"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/16"]}}),
            vec![".ipBlock.except[0]"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": [null]}}),
            vec![".ipBlock.except[0]"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": "10.1.0.0/16"}}),
            vec![".ipBlock.except"],
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "exept": []}}),
            vec![".ipBlock.exept"],
        ),
        (json!({"ipBlock": "10.0.0.0/8"}), vec![".ipBlock"]),
        (json!({"podselector": {}}), vec![".podselector"]),
        (
            json!({"podSelector": {"app": "web"}}),
            vec![".podSelector.app"],
        ),
        (
            json!({"podSelector": {"matchLabels": {"a": 1}}}),
            vec![".podSelector.matchLabels.a"],
        ),
        (
            json!({"podSelector": {"matchLabels": {"-a": "b c"}}}),
            vec![".podSelector.matchLabels.-a", ".podSelector.matchLabels.-a"],
        ),
        (json!("10.0.0.0/8"), vec![""]),
    ];
    for (peer, below) in rows {
        let paths: Vec<String> = below
            .iter()
            .map(|path| format!("spec.ingress[0].from[0]{path}"))
            .collect();
        assert_paths(
            &with_spec(&json!({"ingress": [{"from": [peer]}]})),
            &paths.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

/// Semantics rules D1, D5, D12. Rows: an item of `ports`, the fields of its errors.
#[test]
fn ports() {
    let rows = [
        (json!({"port": 0}), vec!["port"]),
        (json!({"port": 65536}), vec!["port"]),
        (json!({"port": -1}), vec!["port"]),
        (json!({"port": 80.5}), vec!["port"]),
        (json!({"port": 1e300}), vec!["port"]),
        (
            json!({"port": 18_446_744_073_709_551_615_u64}),
            vec!["port"],
        ),
        (json!({"port": true}), vec!["port"]),
        (json!({"port": "80"}), vec!["port"]),
        (json!({"port": ""}), vec!["port"]),
        (json!({"port": "HTTP"}), vec!["port"]),
        (json!({"port": "a--b"}), vec!["port"]),
        (json!({"port": "-a"}), vec!["port"]),
        (json!({"port": "abcdefghijklmnop"}), vec!["port"]),
        (json!({"endPort": 80}), vec!["endPort"]),
        (json!({"port": "http", "endPort": 80}), vec!["endPort"]),
        (
            json!({"port": "80", "endPort": 80}),
            vec!["port", "endPort"],
        ),
        (json!({"port": 80, "endPort": 79}), vec!["endPort"]),
        (json!({"port": 80, "endPort": 65536}), vec!["endPort"]),
        (json!({"port": 80, "endPort": "90"}), vec!["endPort"]),
        (json!({"port": 0, "endPort": 0}), vec!["port", "endPort"]),
        (
            json!({"port": 70000, "endPort": 80}),
            vec!["port", "endPort"],
        ),
        (json!({"protocol": "tcp"}), vec!["protocol"]),
        (json!({"protocol": "ICMP"}), vec!["protocol"]),
        (json!({"protocol": ""}), vec!["protocol"]),
        (json!({"protocol": 6, "port": 0}), vec!["protocol", "port"]),
        (json!({"port": 80, "endport": 90}), vec!["endport"]),
    ];
    for (port, fields) in rows {
        let paths: Vec<String> = fields
            .iter()
            .map(|field| format!("spec.egress[0].ports[1].{field}"))
            .collect();
        let spec = json!({"egress": [{"ports": [{}, port]}]});
        assert_paths(
            &with_spec(&spec),
            &paths.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

/// Semantics rule C4.
#[test]
fn requirements() {
    let rows = [
        (json!({"key": "k", "operator": "In"}), vec![".values"]),
        (
            json!({"key": "k", "operator": "NotIn", "values": []}),
            vec![".values"],
        ),
        (
            json!({"key": "k", "operator": "Exists", "values": ["a"]}),
            vec![".values"],
        ),
        (
            json!({"key": "k", "operator": "DoesNotExist", "values": [""]}),
            vec![".values"],
        ),
        (
            json!({"key": "k", "operator": "Gt", "values": ["1"]}),
            vec![".operator"],
        ),
        (
            json!({"key": "k", "operator": "in", "values": ["1"]}),
            vec![".operator"],
        ),
        (json!({"key": "k"}), vec![".operator"]),
        (json!({"operator": "Exists"}), vec![".key"]),
        (json!({"key": "a b", "operator": "Exists"}), vec![".key"]),
        (
            json!({"key": "k", "operator": "In", "values": ["a", "-b", "c/d"]}),
            vec![".values[1]", ".values[2]"],
        ),
        (
            json!({"key": "k", "operator": "In", "values": "a"}),
            vec![".values"],
        ),
        (
            json!({"key": "k", "operator": "In", "values": [1, true]}),
            vec![".values[0]", ".values[1]"],
        ),
        (
            json!({"key": "k", "operator": "In", "value": ["a"]}),
            vec![".value", ".values"],
        ),
        (json!(null), vec![".key", ".operator"]),
    ];
    for (requirement, below) in rows {
        let paths: Vec<String> = below
            .iter()
            .map(|path| format!("spec.podSelector.matchExpressions[0]{path}"))
            .collect();
        let spec = json!({"podSelector": {"matchExpressions": [requirement]}});
        assert_paths(
            &with_spec(&spec),
            &paths.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn specs_and_rules() {
    let rows = [
        (json!([]), vec!["spec"]),
        (json!({"podSelctor": {}}), vec!["spec.podSelctor"]),
        (json!({"podSelector": []}), vec!["spec.podSelector"]),
        (json!({"policyTypes": "Ingress"}), vec!["spec.policyTypes"]),
        (json!({"policyTypes": ["Foo"]}), vec!["spec.policyTypes[0]"]),
        (
            json!({"policyTypes": ["ingress", "Egress"]}),
            vec!["spec.policyTypes[0]"],
        ),
        (
            json!({"policyTypes": ["Ingress", "Egress", "Egress"]}),
            vec!["spec.policyTypes"],
        ),
        (json!({"policyTypes": [null]}), vec!["spec.policyTypes[0]"]),
        (json!({"ingress": {}}), vec!["spec.ingress"]),
        (json!({"ingress": [{"to": []}]}), vec!["spec.ingress[0].to"]),
        (
            json!({"egress": [{"from": []}, {"ports": {}}]}),
            vec!["spec.egress[0].from", "spec.egress[1].ports"],
        ),
        (
            json!({"ingress": [{"from": {"podSelector": {}}}]}),
            vec!["spec.ingress[0].from"],
        ),
        (json!({"ingress": ["any"]}), vec!["spec.ingress[0]"]),
    ];
    for (spec, paths) in rows {
        assert_paths(&with_spec(&spec), &paths);
    }
}

/// Rows: metadata, the paths of its errors, whether the policy can still be named.
#[test]
fn metadata() {
    let longest = format!("{}.{}", "a".repeat(200), "b".repeat(52));
    let rows = [
        (json!({"name": "a.b-c"}), vec![], true),
        (json!({"name": longest}), vec![], true),
        (json!({"name": "A"}), vec!["metadata.name"], false),
        (
            json!({"name": "a".repeat(254)}),
            vec!["metadata.name"],
            false,
        ),
        (json!({"name": 5}), vec!["metadata.name"], false),
        (json!({}), vec!["metadata.name"], false),
        (json!(null), vec!["metadata.name"], false),
        (json!([]), vec!["metadata"], false),
        (
            json!({"name": "a", "namespace": "a.b"}),
            vec!["metadata.namespace"],
            false,
        ),
        (
            json!({"name": "a", "namespace": "a".repeat(64)}),
            vec!["metadata.namespace"],
            false,
        ),
        (
            json!({"name": "A", "namespace": true}),
            vec!["metadata.namespace", "metadata.name"],
            false,
        ),
        (
            json!({"name": "a", "labels": {"x": "y z"}}),
            vec!["metadata.labels.x"],
            true,
        ),
        (
            json!({"name": "a", "labels": {"x/y/z": null}}),
            vec!["metadata.labels[x/y/z]"],
            true,
        ),
        (
            json!({"name": "a", "annotations": {"X/Y": "any thing"}}),
            vec![],
            true,
        ),
        (
            json!({"name": "a", "annotations": {"x": 1, "y z": ""}}),
            vec!["metadata.annotations.x", "metadata.annotations[y z]"],
            true,
        ),
        (
            json!({"name": "a", "finalizers": ["a b"]}),
            vec!["metadata.finalizers[0]"],
            true,
        ),
        (
            json!({"name": "a", "generation": "1"}),
            vec!["metadata.generation"],
            true,
        ),
        (
            json!({"name": "a", "namespace": "b", "lables": {}}),
            vec!["metadata.lables"],
            true,
        ),
        (
            json!({"name": "a", "namspace": "b"}),
            vec!["metadata.namspace"],
            false,
        ),
        (
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "controller": "yes"}]}),
            vec![
                "metadata.ownerReferences[0].name",
                "metadata.ownerReferences[0].uid",
                "metadata.ownerReferences[0].controller",
            ],
            true,
        ),
    ];
    for (metadata, paths, named) in rows {
        let object = json!({"metadata": metadata, "spec": {}});
        assert_paths(&object, &paths);
        assert_eq!(policy(&object).object.is_some(), named, "{metadata}");
    }
    assert_paths(&json!("a string"), &[""]);
    assert_paths(
        &json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}),
        &["apiVersion", "kind"],
    );
    assert_paths(
        &json!({"kind": "", "apiVersion": null, "metadata": {"name": "a"}}),
        &[],
    );
    assert_paths(
        &json!({"metadata": {"name": "a"}, "status": {}}),
        &["status"],
    );
}

/// The words of the messages: the API server's, and what to do.
#[test]
fn messages() {
    let rows = [
        (
            json!({"ingress": [{"ports": [{}, {"port": 80, "endPort": 79}]}]}),
            "spec.ingress[0].ports[1].endPort: Invalid value: 79: must be greater than or equal to `port`",
        ),
        (
            json!({"podSelctor": {}}),
            "spec.podSelctor: unknown field \"podSelctor\", did you mean \"podSelector\"?",
        ),
        (
            json!({"policyTypes": ["Foo"]}),
            "spec.policyTypes[0]: Unsupported value: \"Foo\": supported values: \"Ingress\", \"Egress\"",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.7/24"}}]}]}),
            "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.7/24\": must not have bits set beyond the prefix \
             length: write \"10.0.0.0/24\"",
        ),
        (
            json!({"ingress": [{"ports": [{"port": "80"}]}]}),
            "spec.ingress[0].ports[0].port: Invalid value: \"80\": must contain at least one letter; a port number is \
             written without quotes",
        ),
        (
            json!({"podSelector": {"matchLabels": {"version": 2}}}),
            "spec.podSelector.matchLabels.version: Invalid value: 2: must be a string: put it in quotes",
        ),
    ];
    for (spec, message) in rows {
        assert_eq!(errors(&spec), [message]);
    }
}
