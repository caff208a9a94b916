//! Policies, good and bad, one fault each or a few that meet.

use netpol_tests::control_plane::policy;
use serde_json::{Value, json};

/// All rows as whole manifests in namespace `shop`.
pub(crate) fn all() -> Vec<Value> {
    let mut all: Vec<Value> = specs().into_iter().map(with_spec).collect();
    all.extend(
        peers()
            .into_iter()
            .map(|peer| with_spec(json!({"ingress": [{"from": [peer]}]}))),
    );
    all.extend(
        peers()
            .into_iter()
            .map(|peer| with_spec(json!({"egress": [{"to": [{"podSelector": {}}, peer]}]}))),
    );
    all.extend(
        ports()
            .into_iter()
            .map(|port| with_spec(json!({"ingress": [{"ports": [port]}]}))),
    );
    all.extend(
        cidrs()
            .into_iter()
            .map(|cidr| with_spec(json!({"ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}))),
    );
    all.extend(
        requirements()
            .into_iter()
            .map(|item| with_spec(json!({"podSelector": {"matchExpressions": [item]}}))),
    );
    all.extend(
        metadata()
            .into_iter()
            .map(|metadata| json!({"metadata": metadata, "spec": {}})),
    );
    all.extend(whole());
    all
}

/// A policy that uses everything the API offers, as a base for mutations.
pub(crate) fn full() -> Value {
    let peers = json!([
        {"podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}},
        {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {"matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
    ]);
    let ports = json!([
        {"port": 80, "protocol": "TCP"},
        {"port": "dns", "protocol": "UDP"},
        {"port": 8000, "endPort": 9000, "protocol": "SCTP"},
    ]);
    let mut policy = with_spec(json!({
        "podSelector": {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": peers, "ports": ports}],
        "egress": [{"to": peers, "ports": ports}],
    }));
    policy["metadata"]["labels"] = json!({"a": "b"});
    policy["metadata"]["annotations"] = json!({"Note": "any text"});
    policy
}

fn with_spec(spec: Value) -> Value {
    policy("shop", "p", spec)
}

/// Semantics rules A1, A7 to A11, B1 to B4.
fn specs() -> Vec<Value> {
    vec![
        json!({}),
        json!(null),
        json!([]),
        json!("all"),
        json!({"podSelector": {}}),
        json!({"podSelector": null}),
        json!({"podSelector": []}),
        json!({"podSelector": "app=web"}),
        json!({"podSelector": {"app": "web"}}),
        json!({"podSelector": {"matchLabels": {"example.com/a": "b", "c": ""}}}),
        json!({"podSelector": {"matchLabels": {"a": null}}}),
        json!({"podSelector": {"matchLabels": {"a": 1}}}),
        json!({"podSelector": {"matchLabels": {"a": true}}}),
        json!({"podSelector": {"matchLabels": ["a"]}}),
        json!({"podSelector": {"matchLabels": {"-a": "b"}}}),
        json!({"podSelector": {"matchLabels": {"a/b/c": "b"}}}),
        json!({"podSelector": {"matchLabels": {"/b": "b"}}}),
        json!({"podSelector": {"matchLabels": {"A.com/b": "b"}}}),
        json!({"podSelector": {"matchLabels": {"": "b"}}}),
        json!({"podSelector": {"matchLabels": {"a": "b c"}}}),
        json!({"podSelector": {"matchLabels": {"a": "x".repeat(64)}}}),
        json!({"podSelector": {"matchLabels": {"x".repeat(64): "a"}}}),
        json!({"podSelector": {"matchLabels": {format!("{}.{}/{}", "a".repeat(200), "b".repeat(52), "c".repeat(63)): "d".repeat(63)}}}),
        json!({"podSelector": {"matchLabels": {format!("{}/c", "a".repeat(254)): "d"}}}),
        json!({"podSelector": {"matchExpressions": {}}}),
        json!({"podSelector": {"matchExpressions": [null]}}),
        json!({"podSelctor": {}}),
        json!({"PodSelector": {}}),
        json!({"policyTypes": null}),
        json!({"policyTypes": []}),
        json!({"policyTypes": ["Ingress"]}),
        json!({"policyTypes": ["Egress"]}),
        json!({"policyTypes": ["Egress", "Ingress"]}),
        json!({"policyTypes": ["Ingress", "Ingress"]}),
        json!({"policyTypes": ["Foo"]}),
        json!({"policyTypes": ["ingress"]}),
        json!({"policyTypes": ["Ingress", "Foo"]}),
        json!({"policyTypes": ["Ingress", "Egress", "Ingress"]}),
        json!({"policyTypes": [null]}),
        json!({"policyTypes": "Ingress"}),
        json!({"policyTypes": [1]}),
        json!({"policyTypes": [], "egress": [{}]}),
        json!({"policyTypes": ["Ingress"], "egress": [{}]}),
        json!({"policyTypes": ["Egress"], "ingress": [{"from": [{}]}]}),
        json!({"ingress": null, "egress": null}),
        json!({"ingress": [], "egress": []}),
        json!({"ingress": [{}], "egress": [{}]}),
        json!({"ingress": [null], "egress": [null]}),
        json!({"ingress": {}}),
        json!({"ingress": [[]]}),
        json!({"ingress": ["any"]}),
        json!({"ingress": [{"from": null, "ports": null}]}),
        json!({"ingress": [{"from": [], "ports": []}]}),
        json!({"ingress": [{"from": {}}]}),
        json!({"ingress": [{"ports": {}}]}),
        json!({"ingress": [{"to": []}]}),
        json!({"egress": [{"from": []}]}),
        json!({"egress": [{"to": [{"podSelector": {}}], "prots": []}]}),
        json!({"ingress": [{"from": [{"podSelector": {}}, {"namespaceSelector": {}}], "ports": [{"port": 80}, {"protocol": "UDP"}]}]}),
        json!({"status": {}}),
    ]
}

/// Semantics rule B5.
fn peers() -> Vec<Value> {
    vec![
        json!({}),
        json!(null),
        json!("10.0.0.0/8"),
        json!({"podSelector": null, "namespaceSelector": null, "ipBlock": null}),
        json!({"podSelector": {}}),
        json!({"namespaceSelector": {}}),
        json!({"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {"matchLabels": {"c": "d"}}}),
        json!({"podSelector": {"matchLabels": {"a b": "b"}}, "namespaceSelector": {"matchExpressions": [{"key": "c", "operator": "In"}]}}),
        json!({"podSelector": {}, "namespaceselector": {}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8"}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "namespaceSelector": {}}),
        json!({"ipBlock": {"cidr": "bad"}, "podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "-"}}}),
        json!({"ipBlock": {}}),
        json!({"ipBlock": {"cidr": null}}),
        json!({"ipBlock": {"cidr": ""}}),
        json!({"ipBlock": {"cidr": 10}}),
        json!({"ipBlock": "10.0.0.0/8"}),
        json!({"ipBlock": {"except": ["10.0.0.0/8"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": null}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": [null]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": "10.1.0.0/16"}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24", "10.1.0.0/16"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "11.0.0.0/16"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/16"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.5/16"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.5/8"]}}),
        json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::ffff:10.1.0.0/112"]}}),
        json!({"ipBlock": {"cidr": "bad", "except": ["also bad", "10.0.0.0/8"]}}),
        json!({"ipBlock": {"cidr": "::/0", "except": ["fd00::/8", "fe80::/10"]}}),
        json!({"ipBlock": {"cidr": "::/0", "except": ["0.0.0.0/0", "::/0"]}}),
        json!({"ipBlock": {"cidr": "0.0.0.0/0", "exept": ["10.0.0.0/8"]}}),
    ]
}

/// Semantics rule E4.
pub(crate) fn cidrs() -> Vec<Value> {
    let texts = [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/8",
        "192.0.2.1/32",
        "2001:db8::1/128",
        "FD00:0ABC:0:0::/64",
        "fd00:0:0:0:0:0:0:0/8",
        "10.0.0.5/24",
        "2001:db8::1/64",
        "010.0.0.0/8",
        "10.00.0.0/8",
        "10.0.0.0/08",
        "0.0.0.0/00",
        "00010::/16",
        "::ffff:10.0.0.0/104",
        "::ffff:a00:0/104",
        "::ffff:10.0.0.1/104",
        "::ffff:0:0/96",
        "::ffff:0:0/90",
        "::10.0.0.0/104",
        "10.0.0.0",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/33",
        "::/129",
        "10.0.0/8",
        "10.0.0.256/8",
        "10.0.0.0/8/8",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        " 10.0.0.0/8",
        "10.0.0.0/8 ",
        "fe80::%eth0/64",
        "1::2::3/64",
        "1:2:3:4:5:6:7:8:9/64",
        "1::2:3:4:5:6:7:8/64",
        "1:2:3:4:5:6:7::/112",
        "0x0a.0.0.0/8",
        "10.0.0.0/255.0.0.0",
        "any",
        "10.0.0.0/1٣",
    ];
    texts.into_iter().map(Value::from).collect()
}

/// Semantics rules D1 to D5, D12.
fn ports() -> Vec<Value> {
    let mut all = vec![
        json!({}),
        json!(null),
        json!(80),
        json!({"protocol": null, "port": null, "endPort": null}),
        json!({"protocol": "UDP"}),
        json!({"protocol": "SCTP", "port": 80}),
        json!({"protocol": "tcp"}),
        json!({"protocol": "ICMP"}),
        json!({"protocol": ""}),
        json!({"protocol": 6}),
        json!({"port": 80, "endPort": 80}),
        json!({"port": 1, "endPort": 65535}),
        json!({"port": 80, "endPort": 79}),
        json!({"port": 80, "endPort": 0}),
        json!({"port": 80, "endPort": -1}),
        json!({"port": 80, "endPort": 65536}),
        json!({"port": 80, "endPort": "90"}),
        json!({"port": 80, "endPort": 90.5}),
        json!({"port": 70000, "endPort": 80}),
        json!({"port": 70000, "endPort": 70001}),
        json!({"port": 0, "endPort": 0}),
        json!({"endPort": 80}),
        json!({"endPort": 0}),
        json!({"port": "http", "endPort": 80}),
        json!({"port": "80", "endPort": 90}),
        json!({"port": 80, "endport": 90}),
        json!({"port": 80, "protocol": "tcp", "endPort": 1}),
    ];
    let numbers = [
        json!(1),
        json!(65535),
        json!(0),
        json!(-1),
        json!(65536),
        json!(4_294_967_376_u64),
        json!(80.0),
        json!(80.5),
        json!(true),
        json!([]),
        json!({}),
    ];
    let names = [
        "http",
        "a",
        "1a",
        "web-8080",
        "abcdefghijklmno",
        "80",
        "",
        "HTTP",
        "a--b",
        "-a",
        "a-",
        "a_b",
        "abcdefghijklmnop",
    ];
    all.extend(
        numbers
            .into_iter()
            .chain(names.into_iter().map(Value::from))
            .map(|port| json!({"port": port})),
    );
    all
}

/// Semantics rule C4.
fn requirements() -> Vec<Value> {
    vec![
        json!({"key": "k", "operator": "In", "values": ["a", "b", "a"]}),
        json!({"key": "k", "operator": "NotIn", "values": [""]}),
        json!({"key": "k", "operator": "Exists"}),
        json!({"key": "k", "operator": "DoesNotExist", "values": []}),
        json!({"key": "k", "operator": "In"}),
        json!({"key": "k", "operator": "NotIn", "values": null}),
        json!({"key": "k", "operator": "In", "values": [null]}),
        json!({"key": "k", "operator": "In", "values": "a"}),
        json!({"key": "k", "operator": "In", "values": [1]}),
        json!({"key": "k", "operator": "In", "values": ["a", "b c", "-"]}),
        json!({"key": "k", "operator": "Exists", "values": ["a"]}),
        json!({"key": "k", "operator": "DoesNotExist", "values": ["b c"]}),
        json!({"key": "k", "operator": "Gt", "values": ["1"]}),
        json!({"key": "k", "operator": "in", "values": ["1"]}),
        json!({"key": "k", "operator": ""}),
        json!({"key": "k"}),
        json!({"operator": "Exists"}),
        json!({"key": "", "operator": "Exists"}),
        json!({"key": "a b", "operator": "Exists"}),
        json!({"key": "example.com/a", "operator": "Exists"}),
        json!({"key": 1, "operator": "Exists"}),
        json!({"key": "k", "operator": "In", "value": ["a"]}),
        json!("k"),
    ]
}

fn metadata() -> Vec<Value> {
    let longest = format!("{}.{}", "a".repeat(200), "b".repeat(52));
    vec![
        json!({"name": "a.b-c", "namespace": "shop"}),
        json!({"name": longest, "namespace": "shop"}),
        json!({"name": "p"}),
        json!({"name": "p", "namespace": ""}),
        json!({"name": "p", "namespace": null}),
        json!({"name": "p", "namespace": "shop", "labels": null, "annotations": null, "finalizers": null, "ownerReferences": null}),
        json!({"name": "p", "namespace": "shop", "creationTimestamp": null, "generation": 1, "uid": "u", "selfLink": "s"}),
        json!({"name": "p", "namespace": "shop", "labels": {"a": "b", "example.com/c": null}}),
        json!({"name": "p", "namespace": "shop", "annotations": {"A/B": "any text", "c": null}}),
        json!({"name": "p", "namespace": "shop", "finalizers": ["example.com/f"]}),
        json!({"name": "p", "namespace": "shop", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": true}]}),
        json!({}),
        json!({"namespace": "shop"}),
        json!({"name": ""}),
        json!({"name": null}),
        json!({"name": 5}),
        json!({"name": "A"}),
        json!({"name": "a..b"}),
        json!({"name": "a_b"}),
        json!({"name": "a".repeat(254)}),
        json!({"name": "p", "namespace": "a.b"}),
        json!({"name": "p", "namespace": "Shop"}),
        json!({"name": "p", "namespace": 1}),
        json!({"name": "p", "namespace": "shop", "labels": {"a": "b c"}}),
        json!({"name": "p", "namespace": "shop", "labels": {"a b": "c"}}),
        json!({"name": "p", "namespace": "shop", "labels": {"a": 1}}),
        json!({"name": "p", "namespace": "shop", "labels": []}),
        json!({"name": "p", "namespace": "shop", "annotations": {"a b": "c"}}),
        json!({"name": "p", "namespace": "shop", "annotations": {"a": 1}}),
        json!({"name": "p", "namespace": "shop", "finalizers": ["a b"]}),
        json!({"name": "p", "namespace": "shop", "finalizers": "f"}),
        json!({"name": "p", "namespace": "shop", "generation": -1}),
        json!({"name": "p", "namespace": "shop", "generation": "1"}),
        json!({"name": "p", "namespace": "shop", "lables": {}}),
        json!({"name": "p", "namspace": "shop"}),
        json!({"name": "p", "namespace": "shop", "ownerReferences": [{}]}),
        json!({"name": "p", "namespace": "shop", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "owner": true}]}),
    ]
}

fn whole() -> Vec<Value> {
    vec![
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}),
        json!({"metadata": {"name": "p"}, "spec": {}}),
        json!({"metadata": {"name": "p"}, "spec": {}, "status": {}}),
        json!({"metadata": {"name": "p"}, "Spec": {}}),
        json!({"metadata": null, "spec": {}}),
        json!({"metadata": [], "spec": {}}),
        json!({"spec": {}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Pod", "metadata": {"name": "p"}}),
        json!({"apiVersion": "networking.k8s.io/v1beta1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}),
        json!({"apiVersion": "extensions/v1beta1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "extra": 1}),
        json!([]),
        json!("text"),
        full(),
    ]
}
