//! What the agent may do, on the node and in the cluster: written down here once more, so that nothing creeps in.

use serde_json::{Value, json};

use crate::{containers, objects, one, pod};

/// Every way to install it that changes what runs.
const WAYS: [&[&str]; 7] = [
    &[],
    &["podStart=open"],
    &["podStart=closed", "podCIDRs={10.0.0.0/8}"],
    &["podInterfaces={cali*}", "nri.socket=off"],
    &["cleanup=true"],
    &["agent.kubernetesEvents=true"],
    &[
        "metrics.enabled=true",
        "metrics.serviceMonitor.enabled=true",
    ],
];

#[test]
fn a_container_has_one_capability_and_nothing_else() {
    for way in WAYS {
        let pod = pod(way);
        assert_eq!(pod["hostNetwork"], true, "{way:?}");
        for more in ["hostPID", "hostIPC", "securityContext"] {
            assert_eq!(pod[more], Value::Null, "{way:?}: {more}");
        }
        let has_gate = !["cleanup=true", "podStart=open", "nri.socket=off"]
            .iter()
            .any(|value| way.contains(value));
        let if_gate = |wanted: Value| if has_gate { wanted } else { Value::Null };
        let folder = json!({ "path": "/var/run/nri", "type": "DirectoryOrCreate" });
        let volumes = if_gate(json!([{ "name": "nri", "hostPath": folder }]));
        assert_eq!(pod["volumes"], volumes, "{way:?}");
        for container in containers(&pod) {
            let wanted = json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsUser": 0,
                "seccompProfile": { "type": "RuntimeDefault" },
            });
            assert_eq!(container["securityContext"], wanted, "{way:?}");
            let mount = json!({ "name": "nri", "mountPath": "/var/run/nri", "readOnly": true });
            assert_eq!(
                container["volumeMounts"],
                if_gate(json!([mount])),
                "{way:?}"
            );
            for more in ["volumeDevices", "envFrom"] {
                assert_eq!(container[more], Value::Null, "{way:?}: {more}");
            }
        }
    }
}

#[test]
fn three_kinds_and_the_node_are_read_and_events_written_if_asked_for() {
    let read = ["get", "list", "watch"];
    let reading = json!([
        { "apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": read },
        { "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read },
    ]);
    for way in WAYS {
        let mut wanted = reading.clone();
        // Its own node is asked for only where nothing else says where pods are.
        let is_told = |value: &&str| value.starts_with("pod") && *value != "podStart=closed";
        if !way.iter().any(is_told) {
            let node = json!({ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get"] });
            wanted.as_array_mut().expect("a list").push(node);
        }
        if way.contains(&"agent.kubernetesEvents=true") {
            let events = json!({
                "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"],
            });
            wanted.as_array_mut().expect("a list").push(events);
        }
        let objects = objects(way);
        assert_eq!(one(&objects, "ClusterRole")["rules"], wanted, "{way:?}");
        let kinds = objects.iter().filter_map(|object| object["kind"].as_str());
        let rights: Vec<&str> = kinds.filter(|kind| kind.contains("Role")).collect();
        assert_eq!(rights, ["ClusterRole", "ClusterRoleBinding"], "{way:?}");
    }
}

/// The one container that may more, and it ends before the agent starts.
#[test]
fn who_sets_the_sysctls_of_bridges_is_privileged() {
    let plain = pod(&[]);
    let pod = pod(&["bridgeNetfilter=true"]);
    assert_eq!(pod["containers"], plain["containers"]);
    let before = pod["initContainers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let [container] = &before[..] else {
        panic!("{before:?}");
    };
    assert_eq!(container["securityContext"], json!({ "privileged": true }));
    let arguments = [
        "doctor",
        "--enable-bridge-netfilter",
        "--no-cluster",
        "--exit-zero",
    ];
    assert_eq!(container["args"], json!(arguments));
}

/// A pod that only cleans up needs no word with the API server.
#[test]
fn who_cleans_up_has_no_token() {
    let pod = pod(&["cleanup=true"]);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], Value::Null);
}

#[test]
fn it_runs_on_every_node_and_goes_last() {
    let pod = pod(&[]);
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
}
