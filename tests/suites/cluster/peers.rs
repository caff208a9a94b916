//! Who reaches whom under which policy.

use crate::Scenario;
use crate::stage::{Outcome, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("open for a namespace's app", other_namespace),
    ("closed for egress but for a server", egress),
    ("an egress and an ingress that agree", both_directions),
    ("blocks, and who is hidden behind a node", blocks),
    ("labels change", labels),
];

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
