//! Pods that end, and others that get their addresses.

use std::net::IpAddr;

use netpol_tests::kubernetes::{AGNHOST, wait_for};
use serde_json::{Value, json};

use crate::Scenario;
use crate::agents::CLIENTS;
use crate::pods;
use crate::stage::{Outcome, SOON, Stage, listed, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a Job completes, and its address goes to another pod", job),
    (
        "a StatefulSet's pod is replaced, at its address",
        stateful_set,
    ),
];

fn job(stage: &mut Stage) -> Outcome {
    stage.cluster.apply(CLIENTS).map_err(text)?;
    stage.expect(&[
        ("guests/guest-a", "shop/web-b", false),
        ("shop/client-a", "shop/web-b", true),
    ])?;
    let web = stage.address("shop/web-b")?;
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "shop"},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": {"app": "client", "job": "once"}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "nodeSelector": {"kubernetes.io/hostname": "node-a"},
                "containers": [{
                    "name": "main",
                    "image": AGNHOST,
                    // It may begin before its address is known to the other node; a lost first packet is sent again.
                    "args": ["connect", format!("{web}:8080"), "--timeout=20s"],
                }],
            },
        }},
    });
    stage.cluster.apply(&job.to_string()).map_err(text)?;
    stage
        .cluster
        .kubectl(&[
            "wait",
            "--namespace=shop",
            "job/once",
            "--for=condition=complete",
            "--timeout=180s",
        ])
        .map_err(text)?;
    let pod = listed(stage, "shop", "job=once")?
        .pop()
        .ok_or("the job's pod is gone")?;
    let was = addresses(&pod);
    // The pod is done, and still there with the address it had, when another one gets that.
    replace(stage, "guests/heir", "node-a", &was)?;
    stage.expect(&[
        ("guests/heir", "shop/web-a", false),
        ("guests/heir", "shop/web-b", false),
        ("guests/heir", "guests/guest-b", true),
        ("shop/client-a", "shop/web-b", true),
    ])?;
    let still = listed(stage, "shop", "job=once")?
        .pop()
        .ok_or("the job's pod is gone")?;
    if addresses(&still) != was {
        return Err(format!("the job's pod had lost its address: {still}"));
    }
    stage
        .cluster
        .kubectl(&["delete", "--namespace=shop", "job/once"])
        .map_err(text)?;
    stage.expect(&[
        ("guests/heir", "shop/web-b", false),
        ("guests/guest-b", "guests/heir", true),
    ])?;
    remove(stage, "guests/heir")?;
    stage.without(CLIENTS)
}

fn stateful_set(stage: &mut Stage) -> Outcome {
    let policies = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: store, namespace: shop}
spec:
  podSelector: {matchLabels: {app: store}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: store}}}]}]
";
    stage.cluster.apply(policies).map_err(text)?;
    let mut spec = pods::server_spec();
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": "node-b"});
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store", "namespace": "shop"},
        "spec": {
            "serviceName": "headless",
            "replicas": 1,
            "selector": {"matchLabels": {"app": "store"}},
            "template": {"metadata": {"labels": {"app": "store"}}, "spec": spec},
        },
    });
    stage.cluster.apply(&set.to_string()).map_err(text)?;
    let enforced = [
        ("shop/client-a", "shop/store-0", true),
        ("guests/guest-a", "shop/store-0", false),
        ("guests/guest-b", "shop/store-0", false),
        ("shop/store-0", "shop/web-a", true),
        ("shop/store-0", "shop/web-b", true),
        ("shop/client-a", "shop/web-a", false),
    ];
    let first = stage.wait_running("shop/store-0").map_err(text)?;
    stage.expect(&enforced)?;

    // The same name at the same address, and another pod all the same.
    let was = addresses(&first);
    leave_next(stage, "node-b", &was)?;
    stage
        .cluster
        .kubectl(&["delete", "--namespace=shop", "pod/store-0"])
        .map_err(text)?;
    let second = stage.wait_running("shop/store-0").map_err(text)?;
    if addresses(&second) != was || second["metadata"]["uid"] == first["metadata"]["uid"] {
        return Err(format!("no other pod at {was:?}: {}", second["status"]));
    }
    stage.expect(&enforced)?;

    // Another name at that address, and the pod at another one.
    let scale = |size: &str| {
        stage
            .cluster
            .kubectl(&["scale", "--namespace=shop", "statefulset/store", size])
    };
    scale("--replicas=0").map_err(text)?;
    stage
        .cluster
        .kubectl(&[
            "wait",
            "--namespace=shop",
            "pod/store-0",
            "--for=delete",
            "--timeout=180s",
        ])
        .map_err(text)?;
    replace(stage, "guests/heir", "node-b", &was)?;
    scale("--replicas=1").map_err(text)?;
    let third = stage.wait_running("shop/store-0").map_err(text)?;
    if addresses(&third) == was {
        return Err(format!("two pods at {was:?}"));
    }
    stage.expect(&enforced)?;
    stage.expect(&[
        ("guests/heir", "shop/web-a", false),
        ("guests/heir", "shop/web-b", false),
        ("guests/guest-a", "guests/heir", true),
    ])?;
    remove(stage, "guests/heir")?;
    stage
        .cluster
        .kubectl(&[
            "delete",
            "--wait=false",
            "--namespace=shop",
            "statefulset/store",
        ])
        .map_err(text)?;
    stage.without(policies)
}

/// Creates a pod that gets these addresses, which nobody may have any more.
fn replace(stage: &Stage, name: &str, node: &str, wanted: &[IpAddr]) -> Outcome {
    wait_for("the addresses to be free", SOON, || {
        wanted
            .iter()
            .try_for_each(|&address| match stage.cluster.pod_network(address) {
                Ok(_) => Err(format!("{address} is taken")),
                Err(_) => Ok(()),
            })
    })
    .map_err(text)?;
    leave_next(stage, node, wanted)?;
    let (namespace, short) = name.split_once('/').unwrap_or_default();
    let pod = pods::server(namespace, short, "heir", node);
    stage.cluster.control_plane().create(&pod).map_err(text)?;
    let running = stage.wait_running(name).map_err(text)?;
    if addresses(&running) == wanted {
        return Ok(());
    }
    Err(format!(
        "{name} is at {:?}, not {wanted:?}",
        addresses(&running)
    ))
}

fn remove(stage: &Stage, pod: &str) -> Outcome {
    let (namespace, name) = pod.split_once('/').unwrap_or_default();
    let (namespace, name) = (format!("--namespace={namespace}"), format!("pod/{name}"));
    stage
        .cluster
        .kubectl(&["delete", "--wait=false", &namespace, &name])
        .map(drop)
        .map_err(text)
}

/// Has the next pod of a node get these addresses, if they are free then.
fn leave_next(stage: &Stage, node: &str, addresses: &[IpAddr]) -> Outcome {
    stage
        .cluster
        .node(node)
        .and_then(|node| node.leave_next(addresses))
        .map_err(text)
}

fn addresses(pod: &Value) -> Vec<IpAddr> {
    let listed = pod["status"]["podIPs"].as_array().into_iter().flatten();
    listed
        .filter_map(|item| item["ip"].as_str()?.parse().ok())
        .collect()
}
