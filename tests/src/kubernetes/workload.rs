//! Pods by the number.

use serde_json::{Value, json};

use super::AGNHOST;

/// Deployment `load` of so many pods that do nothing, and end at once when they are to.
pub fn idle_deployment(namespace: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "load"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "load"}},
            "template": {
                "metadata": {"labels": {"app": "load"}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": AGNHOST, "args": ["pause"]}],
                },
            },
        },
    })
}
