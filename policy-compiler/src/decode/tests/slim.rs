//! What is left out when JSON is read changes nothing.

use std::fmt::Debug;

use serde_json::json;

use super::mutation::pointers;
use super::*;
use crate::decode::{Kind, namespace, pod};

fn metadata() -> Value {
    json!({
        "name": "web-0", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 1,
        "labels": {"app": "web", "pod-template-hash": "5d"}, "annotations": {"a": "b"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d", "controller": true, "uid": "x"}],
        "managedFields": [{"manager": "m", "fieldsV1": {"f:metadata": {}}}],
    })
}

fn a_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata(),
        "spec": {
            "nodeName": "node-a", "hostNetwork": false, "priority": 0,
            "containers": [{"name": "c", "image": "i", "env": [{"name": "N", "value": "v"}],
                "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP", "hostPort": 80}]}],
            "initContainers": [{"name": "i", "restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 9}]}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "conditions": [{"type": "Ready"}]},
    })
}

fn same<T: Debug + PartialEq>(kind: Kind, decode: impl Fn(&Value) -> Decoded<T>, json: &Value) {
    let text = json.to_string();
    let slim = kind
        .read(&mut serde_json::Deserializer::from_str(&text))
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(decode(&slim), decode(json), "{text}");
    let version = "/metadata/resourceVersion";
    assert_eq!(slim.pointer(version), json.pointer(version), "{text}");
}

/// Every value of an object, and all of it, becomes one of every type.
fn mutations(whole: &Value) -> Vec<Value> {
    let values = [
        json!(null),
        json!(true),
        json!(-7),
        json!(7),
        json!(1.5),
        json!("x y"),
        json!([]),
        json!([{"ports": 7, "other": [1]}]),
        json!({"name": {"other": 1}, "other": [7]}),
    ];
    let mut places = Vec::new();
    pointers(whole, "", &mut places);
    let mut all = vec![whole.clone()];
    for place in places {
        for value in &values {
            let mut mutation = whole.clone();
            *mutation.pointer_mut(&place).expect("is there") = value.clone();
            all.push(mutation);
        }
    }
    all
}

#[test]
fn objects_and_errors_are_the_same() {
    for json in mutations(&a_pod()) {
        same(Kind::Pod, pod, &json);
    }
    for json in mutations(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata()}))
    {
        same(Kind::Namespace, namespace, &json);
    }
    for json in mutations(&with_spec(&json!({"podSelector": {}, "other": 1}))) {
        same(Kind::NetworkPolicy, policy, &json);
    }
}

#[test]
fn what_nobody_looks_at_is_left_out() {
    let mut json = a_pod();
    let read = |json: &Value| Kind::Pod.read(json).expect("any JSON");
    let slim = read(&json);
    for left_out in [
        "/metadata/managedFields",
        "/metadata/annotations",
        "/spec/priority",
        "/spec/containers/0/env",
        "/status/conditions",
    ] {
        assert!(json.pointer_mut(left_out).expect("is there").take() != Value::Null);
        assert_eq!(slim.pointer(left_out), None);
    }
    assert_eq!(read(&json), slim);
    // A number that does not fit would otherwise cost the whole list.
    let text = r#"{"metadata": {"name": "a"}, "spec": {"priority": 1e999}}"#;
    let slim = Kind::Pod.read(&mut serde_json::Deserializer::from_str(text));
    assert_eq!(
        slim.expect("any JSON"),
        json!({"metadata": {"name": "a"}, "spec": {}})
    );
}
