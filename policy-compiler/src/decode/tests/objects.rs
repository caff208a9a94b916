//! Pods and namespaces.

use serde_json::json;

use super::*;
use crate::decode::{namespace, pod};
use crate::model::Phase;

fn pod_with(spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"app": "web"}, "ownerReferences": "not ours"},
        "spec": spec,
        "status": status,
    })
}

#[test]
fn a_pod() {
    let Decoded { object, errors } = pod(&pod_with(
        &json!({"nodeName": "node-a", "hostNetwork": true, "containers": []}),
        &json!({"phase": "Running"}),
    ));
    assert_eq!(errors, []);
    let pod = object.expect("valid");
    assert_eq!(pod.key.to_string(), "shop/web-0");
    assert_eq!(&*pod.uid, "u");
    assert_eq!(pod.labels.get("app"), Some("web"));
    assert_eq!(pod.node.expect("scheduled").as_str(), "node-a");
    assert!(pod.host_network);
    assert_eq!(pod.phase, Phase::Running);
}

/// Semantics rules D6, D10, D11 and decision L7.
#[test]
fn named_ports() {
    let spec = json!({
        "containers": [
            {"ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}, {"name": "", "containerPort": 82}]},
            {"ports": [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
            {"ports": [{"name": "dns", "containerPort": 53, "protocol": "TCP"}, {"name": "http", "containerPort": 80}]},
            {},
        ],
        "initContainers": [
            {"restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]},
            {"ports": [{"name": "early", "containerPort": 1}]},
            {"restartPolicy": "OnFailure", "ports": [{"name": "early", "containerPort": 2}]},
        ],
    });
    let Decoded { object, errors } = pod(&pod_with(&spec, &json!({})));
    assert_eq!(errors, []);
    let ports: Vec<String> = object
        .expect("valid")
        .ports
        .iter()
        .map(|port| format!("{} {} {}", port.name, port.protocol, port.number))
        .collect();
    assert_eq!(
        ports,
        [
            "dns TCP 53",
            "dns UDP 53",
            "http TCP 80",
            "http TCP 8080",
            "mesh TCP 15001"
        ]
    );
}

/// Semantics rules F5, F6. Rows: status, phase, addresses.
#[test]
fn statuses() {
    let rows = [
        (json!(null), Phase::Pending, "[]"),
        (json!({}), Phase::Pending, "[]"),
        (
            json!({"phase": "Succeeded", "podIP": "10.0.0.1"}),
            Phase::Succeeded,
            "[10.0.0.1]",
        ),
        (
            json!({"phase": "Failed", "podIP": "fd00::1", "podIPs": []}),
            Phase::Failed,
            "[fd00::1]",
        ),
        (
            json!({"phase": "Unknown", "podIPs": [{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]}),
            Phase::Unknown,
            "[10.0.0.1, fd00::1]",
        ),
        (
            json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.1"}]}),
            Phase::Pending,
            "[10.0.0.1]",
        ),
        (json!({"podIP": "", "podIPs": null}), Phase::Pending, "[]"),
    ];
    for (status, phase, addresses) in rows {
        let Decoded { object, errors } = pod(&pod_with(&json!({}), &status));
        assert_eq!(errors, [], "{status}");
        let pod = object.expect("valid");
        assert_eq!(
            (pod.phase, format!("{:?}", pod.addresses)),
            (phase, addresses.to_owned()),
            "{status}"
        );
    }
}

/// A fault costs a pod the faulty item only. Rows: where, what, the path of the error.
#[test]
fn faulty_pods() {
    let rows = [
        ("/metadata/labels", json!({"app": 1}), "metadata.labels.app"),
        ("/metadata/labels", json!([]), "metadata.labels"),
        (
            "/metadata/labels",
            json!({"a b": "c"}),
            "metadata.labels[a b]",
        ),
        (
            "/metadata/labels",
            json!({"a": "c\0admin\0yes"}),
            "metadata.labels.a",
        ),
        ("/metadata/uid", json!(7), "metadata.uid"),
        ("/spec", json!([]), "spec"),
        ("/spec/nodeName", json!("Node A"), "spec.nodeName"),
        ("/spec/hostNetwork", json!("true"), "spec.hostNetwork"),
        ("/spec/containers", json!({}), "spec.containers"),
        ("/spec/containers/0", json!("c"), "spec.containers[0]"),
        (
            "/spec/containers/0/ports/0/containerPort",
            json!(0),
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            "/spec/containers/0/ports/0/containerPort",
            json!(null),
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            "/spec/containers/0/ports/0/name",
            json!("HTTP"),
            "spec.containers[0].ports[0].name",
        ),
        (
            "/spec/containers/0/ports/0/protocol",
            json!("tcp"),
            "spec.containers[0].ports[0].protocol",
        ),
        ("/status/phase", json!("Dead"), "status.phase"),
        (
            "/status/podIPs/0/ip",
            json!("10.0.0"),
            "status.podIPs[0].ip",
        ),
        (
            "/status/podIPs/0/ip",
            json!("010.0.0.1"),
            "status.podIPs[0].ip",
        ),
        ("/status/podIPs", json!("10.0.0.1"), "status.podIPs"),
    ];
    let base = pod_with(
        &json!({"nodeName": "node-a", "hostNetwork": false, "containers": [{"ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}]}),
        &json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}),
    );
    for (pointer, value, path) in rows {
        let mut object = base.clone();
        *object.pointer_mut(pointer).expect("a field of the base") = value.clone();
        let Decoded { object, errors } = pod(&object);
        let paths: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
        assert_eq!(paths, [path], "{pointer} {value}");
        assert_eq!(object.expect("still a pod").key.to_string(), "shop/web-0");
    }
    for nameless in [
        json!({}),
        json!([]),
        json!({"metadata": {"namespace": "a"}}),
        json!({"metadata": {"name": "a", "namespace": "A"}}),
    ] {
        let Decoded { object, errors } = pod(&nameless);
        assert!(object.is_none() && !errors.is_empty(), "{nameless}");
    }
}

/// Labels that no API server would accept are compared as they are, unless they could forge another label.
#[test]
fn labels_are_not_forged() {
    let object = pod(&json!({"metadata": {"name": "p", "labels": {"ok": "a b", "x\0admin": "yes", "y": "\0admin\0yes"}}})).object.expect("named");
    assert_eq!(object.labels.iter().collect::<Vec<_>>(), [("ok", "a b")]);
}

/// Semantics rule C6.
#[test]
fn namespaces() {
    let read = |metadata: Value| {
        namespace(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    };
    let name_label = "kubernetes.io/metadata.name";
    for labels in [
        json!(null),
        json!({}),
        json!({name_label: "pay"}),
        json!({"team": "a"}),
    ] {
        let Decoded { object, errors } = read(json!({"name": "shop", "labels": labels}));
        assert_eq!(errors, [], "{labels}");
        assert_eq!(
            object.expect("valid").labels.get(name_label),
            Some("shop"),
            "{labels}"
        );
    }
    for bad in [
        json!({"name": "a.b"}),
        json!({"name": "a".repeat(64)}),
        json!({}),
        json!([]),
    ] {
        let Decoded { object, errors } = read(bad.clone());
        assert!(object.is_none() && errors.len() == 1, "{bad}: {errors:?}");
    }
}
