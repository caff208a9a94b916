//! What pods belong to.

use serde_json::json;

use crate::decode;

/// Rows: controller's kind and name, the pod's template hash, and what is made of it.
#[test]
fn workloads() {
    let rows = [
        ("ReplicaSet", "web-6d5f", Some("6d5f"), "Deployment/web"),
        ("ReplicaSet", "web-6d5f", None, "ReplicaSet/web-6d5f"),
        (
            "ReplicaSet",
            "web-6d5f",
            Some("77aa"),
            "ReplicaSet/web-6d5f",
        ),
        ("ReplicaSet", "6d5f", Some("6d5f"), "ReplicaSet/6d5f"),
        ("Job", "backup-29384761", None, "CronJob/backup"),
        ("Job", "backup-1", None, "Job/backup-1"),
        ("Job", "backup", None, "Job/backup"),
        ("StatefulSet", "db", None, "StatefulSet/db"),
        ("Rollout", "a/b", None, "Rollout/a/b"),
    ];
    for (kind, name, hash, expected) in rows {
        let labels = hash.map_or(json!({}), |hash| json!({ "pod-template-hash": hash }));
        let pod = json!({ "metadata": { "name": "p", "labels": labels, "ownerReferences": [
            { "kind": "Other", "name": "not-the-controller" },
            { "kind": kind, "name": name, "controller": true },
        ] } });
        let decoded = decode::pod(&pod);
        assert_eq!(decoded.errors, [], "{kind} {name}");
        let workload = decoded.object.and_then(|pod| pod.workload);
        assert_eq!(workload.map(|w| w.to_string()).as_deref(), Some(expected));
    }
}

#[test]
fn owners_of_any_shape_do_no_harm() {
    for owners in [
        json!(null),
        json!({}),
        json!("x"),
        json!([1, null, { "controller": true }, { "controller": true, "kind": 7, "name": [] }]),
        json!([{ "kind": "Job", "name": "n" }]),
    ] {
        let decoded =
            decode::pod(&json!({ "metadata": { "name": "p", "ownerReferences": owners } }));
        assert_eq!(decoded.errors, []);
        assert_eq!(
            decoded.object.map(|pod| pod.workload),
            Some(None),
            "{owners}"
        );
    }
}
