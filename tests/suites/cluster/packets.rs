//! Who reaches whom under which policy, by every way that leads to a pod.

use crate::Scenario;
use crate::stage::{Outcome, Row, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("without policies all ways are open", open),
    ("commands and logs of pods", commands),
    ("closed for ingress", closed_ingress),
    ("open for an app, on a port", one_port),
    ("open for a namespace's app", other_namespace),
    ("closed for egress but for a server", egress),
    ("an egress and an ingress that agree", both_directions),
    ("blocks, and who is hidden behind a node", blocks),
    ("labels change", labels),
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

fn other_namespace(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guests, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {team: guests}}
          podSelector: {matchLabels: {host: node-a}}
";
    stage.under(
        policy,
        &[
            ("guests/guest-a", "shop/web-a", true),
            ("guests/guest-a", "shop/web-b", true),
            ("guests/guest-a", "shop/web-b:9090", true),
            ("guests/guest-a", "service/shop/web", true),
            ("guests/guest-b", "shop/web-a", false),
            ("guests/guest-b", "service/shop/web", false),
            ("shop/client-a", "shop/web-a", false),
            ("shop/client-a", "service/shop/web", false),
            ("outside", "shop/web-a", false),
        ],
    )
}

fn egress(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: egress, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {host: node-b, app: web}}}]
      ports: [{port: 8080}, {port: 8080, protocol: UDP}]
";
    stage.under(
        policy,
        &[
            ("shop/client-a", "shop/web-b", true),
            ("shop/client-b", "shop/web-b", true),
            ("shop/client-a", "service/shop/web-b", true),
            ("shop/client-b", "service/shop/web-b", true),
            ("shop/client-a", "shop/web-b:9090", false),
            ("shop/client-a", "shop/web-a", false),
            ("shop/client-b", "shop/web-a", false),
            ("shop/client-b", "service/shop/web-a", false),
            ("shop/client-a", "guests/guest-a", false),
            ("shop/client-a", "guests/guest-b", false),
            // Whoever translates: the pod is judged by where its packets go in the end.
            ("shop/client-a", "node-a:30002", true),
            ("shop/client-a", "node-a:30001", false),
            // Another node is not a pod, though one is behind it.
            ("shop/client-a", "node-b:30002", false),
            ("shop/client-a", "node-b:30080", false),
            // Ingress is open, and others are free to go where they like.
            ("guests/guest-b", "shop/client-a", true),
            ("shop/web-b", "guests/guest-a", true),
            ("outside", "shop/client-a", true),
        ],
    )
}

fn both_directions(stage: &mut Stage) -> Outcome {
    let policies = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {host: node-a}}}]
";
    stage.under(
        policies,
        &[
            ("shop/client-a", "shop/web-a", true),
            ("shop/client-a", "shop/web-b", true),
            ("shop/client-a", "service/shop/web", true),
            // May go out, may not come in.
            ("shop/client-b", "shop/web-a", false),
            ("shop/client-b", "shop/web-b", false),
            // May come in, may not go out.
            ("shop/web-a", "shop/web-b", false),
            ("guests/guest-a", "shop/web-a", false),
            ("shop/client-a", "guests/guest-a", false),
        ],
    )
}

fn blocks(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - ipBlock: {cidr: 172.30.0.100/32}
        - ipBlock: {cidr: 'fd00:172:30::/64', except: ['fd00:172:30::/120']}
";
    let hidden = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nodes, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - ipBlock: {cidr: 172.30.0.12/32}
        - ipBlock: {cidr: 'fd00:172:30::12/128'}
";
    stage.under(
        policy,
        &[
            ("outside", "shop/web-a", true),
            ("outside", "shop/web-b", true),
            ("outside", "node-a:30080", true),
            ("outside", "node-a:30001", true),
            ("outside", "node-b:30002", true),
            ("outside", "node-b:30001", false),
            ("outside", "node-a:30002", false),
            ("node-b", "shop/web-a", false),
            ("shop/client-a", "shop/web-a", false),
        ],
    )?;
    stage.under(
        hidden,
        &[
            ("outside", "node-b:30001", true),
            ("outside", "node-a:30001", false),
            ("outside", "shop/web-a", false),
            ("node-b", "shop/web-a", true),
            ("shop/client-b", "node-b:30001", true),
            ("shop/client-b", "shop/web-a", false),
        ],
    )
}

fn labels(stage: &mut Stage) -> Outcome {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: vips, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {vip: 'yes'}}
          podSelector: {matchLabels: {vip: 'yes'}}
";
    stage.cluster.apply(policy).map_err(text)?;
    let kubectl = |words: &[&str]| stage.cluster.kubectl(words).map(drop).map_err(text);
    let rows = |passes| {
        [
            ("guests/guest-b", "shop/web-a", passes),
            ("guests/guest-b", "shop/web-b", passes),
        ]
    };
    stage.expect(&rows(false))?;
    kubectl(&["label", "pod", "guest-b", "--namespace=guests", "vip=yes"])?;
    kubectl(&["label", "namespace", "guests", "vip=yes"])?;
    stage.expect(&rows(true))?;
    stage.expect(&[("guests/guest-a", "shop/web-a", false)])?;
    kubectl(&["label", "namespace", "guests", "vip-"])?;
    stage.expect(&rows(false))?;
    kubectl(&["label", "pod", "guest-b", "--namespace=guests", "vip-"])?;
    stage.without(policy)?;
    stage.expect(&rows(true))
}
