//! Every way that leads to a pod: open, closed, open for some.

use crate::Scenario;
use crate::questions::Row;
use crate::stage::{Outcome, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("without policies all ways are open", open),
    ("commands and logs of pods", commands),
    ("closed for ingress", closed_ingress),
    ("open for an app, on a port", one_port),
];

/// All ways to the servers, from both nodes' pods and from outside.
const WAYS: &[&str] = &[
    "shop/web-a",
    "shop/web-b",
    "shop/web-a:9090",
    "service/shop/web",
    "service/shop/web-a",
    "service/shop/web-b",
    "headless/shop/headless",
    // Node ports, each entered on both nodes.
    "node-a:30001",
    "node-b:30001",
    "node-a:30002",
    "node-b:30002",
    // Host ports.
    "node-a:30080",
    "node-b:30080",
];

fn open(stage: &mut Stage) -> Outcome {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for from in [
        "shop/client-a",
        "shop/client-b",
        "guests/guest-a",
        "outside",
    ] {
        rows.extend(WAYS.iter().map(|&to| (from, to, true)));
    }
    stage.expect(&rows)
}

fn commands(stage: &mut Stage) -> Outcome {
    let target = stage.address("shop/web-b")?;
    let words = [
        "/agnhost",
        "connect",
        &format!("{target}:8080"),
        "--timeout=1s",
        "--protocol=tcp",
    ];
    stage
        .cluster
        .exec("shop", "client-a", &words)
        .map_err(text)?;
    let log = stage.cluster.logs("shop", "web-b").map_err(text)?;
    if log.contains("Started HTTP server") {
        return Ok(());
    }
    Err(format!("an odd log: {log}"))
}

fn closed_ingress(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
";
    let mut rows: Vec<Row<'_>> = Vec::new();
    for from in [
        "shop/client-a",
        "shop/client-b",
        "guests/guest-a",
        "outside",
    ] {
        rows.extend(WAYS.iter().map(|&to| (from, to, false)));
    }
    rows.extend([
        // A pod's own node always reaches it, the other one is a stranger.
        ("node-a", "shop/web-a", true),
        ("node-b", "shop/web-a", false),
        ("node-b", "shop/web-b", true),
        ("node-a", "shop/web-b", false),
        // So does the pod itself.
        ("shop/web-a", "shop/web-a", true),
        ("shop/web-a", "service/shop/web-a", true),
        // What the policy does not select stays open, and egress too.
        ("guests/guest-b", "shop/client-a", true),
        ("shop/web-a", "guests/guest-b", true),
        ("shop/web-a", "shop/web-b", false),
    ]);
    stage.under(policy, &rows)
}

fn one_port(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: clients, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: client}}}]
      ports: [{port: 8080}]
";
    stage.under(
        policy,
        &[
            ("shop/client-a", "shop/web-a tcp", true),
            ("shop/client-a", "shop/web-b tcp", true),
            ("shop/client-a", "service/shop/web tcp", true),
            ("shop/client-b", "service/shop/web-a tcp", true),
            ("shop/client-b", "service/shop/web-b tcp", true),
            ("shop/client-b", "headless/shop/headless", true),
            // The port behind the Service counts, and the protocol.
            ("shop/client-a", "shop/web-a udp", false),
            ("shop/client-a", "service/shop/web udp", false),
            ("shop/client-b", "shop/web-a:9090", false),
            ("guests/guest-a", "shop/web-a", false),
            ("guests/guest-a", "shop/web-b", false),
            ("guests/guest-b", "service/shop/web", false),
            ("guests/guest-b", "headless/shop/headless", false),
            // Host ports: the client is seen.
            ("shop/client-a", "node-a:30080 tcp", true),
            ("shop/client-a", "node-b:30080 tcp", true),
            ("guests/guest-a", "node-b:30080", false),
            ("outside", "node-a:30080", false),
            // Node ports: on the node that is entered the client is seen, on another one only that node.
            ("shop/client-a", "node-a:30001 tcp", true),
            ("shop/client-a", "node-a:30002", false),
            ("shop/client-a", "node-b:30001", false),
            ("guests/guest-a", "node-a:30001", false),
            ("outside", "node-a:30001", false),
            ("outside", "node-b:30001", false),
        ],
    )
}
