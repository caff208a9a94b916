//! What a change makes of the objects there are, and how what was found is told.

use policy_compiler::model::Direction;

use super::change::apply;
use super::*;
use crate::conntrack::Tuple;
use crate::conntrack::judge::Objection;

const WORLD: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: one, labels: {app: web}}
spec: {nodeName: node-a}
status: {phase: Running, podIPs: [{ip: 10.244.1.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}}
";

const CHANGE: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: other}}, spec: {}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress]}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}}
";

fn load(text: &str) -> manifests::Manifests {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, text).expect("a file");
    manifests::load(&[file]).expect("objects")
}

#[test]
fn files_replace_what_has_their_names() {
    let before = load(WORLD).snapshot;
    let after = apply(&before, load(CHANGE), &[]).expect("a snapshot");
    // That the file only mentions the namespace takes none of its labels.
    assert_eq!(after.namespaces, before.namespaces);
    let pod = &after.pods[&"shop/web".parse().expect("a key")];
    assert_eq!(pod.labels.get("app"), Some("other"));
    let addresses: Vec<String> = pod
        .network_addresses()
        .iter()
        .map(|a| a.to_string())
        .collect();
    assert_eq!(addresses, ["10.244.1.2"]);
    assert_eq!(pod.node, before.pods[&pod.key].node);
    let policy = &after.policies[&"shop/web".parse().expect("a key")];
    assert!(policy.rules(Direction::Ingress).is_none());
    assert!(policy.rules(Direction::Egress).is_some());
}

#[test]
fn deletions() {
    let before = load(WORLD).snapshot;
    let deleted = |text| {
        let deleted = [Deleted::parse(text).expect("valid")];
        apply(&before, manifests::Manifests::default(), &deleted).map(|after| {
            let counts = [
                after.namespaces.len(),
                after.pods.len(),
                after.policies.len(),
            ];
            counts.map(|count| count.to_string()).join(" ")
        })
    };
    for (text, expected) in [
        ("networkpolicy/shop/web", "1 1 0"),
        ("netpol/shop/web", "1 1 0"),
        ("Pod/shop/web", "1 0 1"),
        ("ns/shop", "0 0 0"),
    ] {
        assert_eq!(deleted(text).expect(text), expected, "{text}");
    }
    let missing = deleted("pod/shop/db").expect_err("there is none");
    let said = format!("{missing:?}");
    assert!(said.contains("there is no pod shop/db"), "{said}");
    for text in ["shop", "service/shop/web", "pod/web", "pod/shop/UP", "ns/"] {
        assert!(Deleted::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_was_found_is_told_by_ends() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let mut found = Found::default();
    assert_eq!(found.table(), "none of 0 connections would be cut\n");
    let pods = || {
        let web = vec!["shop/web".parse().expect("a key")];
        [web, Vec::new()]
    };
    let objection = || Objection {
        egress: vec!["shop/web".parse().expect("a key")],
        ingress: Vec::new(),
    };
    for (port, to, protocol) in [(1, 80, 6), (2, 80, 6), (2, 80, 6), (3, 0, 1)] {
        let source = (ip("10.244.1.2"), port);
        let tuple = Tuple::new(source, (ip("192.0.2.7"), to), protocol);
        let connection = Connection {
            id: port.into(),
            ..Connection::new(tuple)
        };
        found.examined(&connection);
        found.cut(&connection, pods(), objection());
    }
    let table = "\
3 of 3 connections would be cut:
SOURCE                 DESTINATION  PORT    COUNT  FORBIDDEN BY
shop/web (10.244.1.2)  192.0.2.7    ICMP    1      egress: shop/web
shop/web (10.244.1.2)  192.0.2.7    TCP 80  2      egress: shop/web
";
    assert_eq!(found.table(), table);
    let json: serde_json::Value = serde_json::from_str(&found.json()).expect("JSON");
    let second = &json["connections"][1];
    assert_eq!(second["source"]["pods"][0], "shop/web");
    assert_eq!((&second["port"], &second["count"]), (&80.into(), &2.into()));
    assert_eq!(second["forbiddenBy"]["egress"][0], "shop/web");
    assert_eq!(json["cut"], 3);
    assert_eq!(json["connections"][0]["port"], serde_json::Value::Null);
}
