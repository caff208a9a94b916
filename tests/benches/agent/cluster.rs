//! A cluster as JSON, made on demand: nothing of it is kept.

use serde_json::{Value, json};

/// How much of each there is.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) pods: u32,
    pub(super) namespaces: u32,
    pub(super) policies: u32,
}

/// Pods of the node.
const LOCAL: u32 = 110;
/// So many of those are in the first namespace, the others in one each.
pub(super) const TOGETHER: u32 = 100;
/// Namespaces with pods of the node.
const LIVELY: u32 = 1 + LOCAL - TOGETHER;
/// Policies of each of these namespaces; all others share the rest.
const KINDS: u32 = 10;

pub(super) const NODE: &str = "node-0";

pub(super) fn namespace(index: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": format!("namespace-{index}"), "labels": {"team": format!("team-{}", index % 10)}}
    })
}

impl Size {
    /// The first pods are the node's.
    fn home(self, pod: u32) -> u32 {
        match pod {
            0..TOGETHER => 0,
            TOGETHER..LOCAL => 1 + pod - TOGETHER,
            _ => pod % self.namespaces,
        }
    }

    /// A pod as the API server sends it: some 3 KB, of which policy sees little. `app` is what selectors go by.
    pub(super) fn pod(self, index: u32, app: &str) -> String {
        let home = self.home(index);
        let node = if index < LOCAL { 0 } else { 1 + index / LOCAL };
        let name = format!(
            "app-{index:06x}-{:08x}-x7k2p",
            index.wrapping_mul(0x9e37_79b9)
        );
        let [v4, v6] = addresses(index);
        let uid = format!("8a3f2c1e-0000-4000-8000-{index:012x}");
        let probe = |path| {
            json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "initialDelaySeconds": 5,
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
        };
        let condition = |kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2025-01-01T00:00:00Z"});
        let variable = |name| json!({"name": name, "value": format!("http://{name}.namespace-{home}.svc:8080/v1")});
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": format!("namespace-{home}"), "uid": uid, "resourceVersion": "123456789",
                "creationTimestamp": "2025-01-01T00:00:00Z", "generateName": format!("app-{index:06x}-"),
                "labels": {
                    "app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/managed-by": "Helm",
                    "app.kubernetes.io/instance": format!("release-{}", index % 7),
                    "pod-template-hash": format!("{:08x}", index.wrapping_mul(0x9e37_79b9)),
                    "tier": (["front", "middle", "back"][(index % 3) as usize]),
                },
                "annotations": {
                    "checksum/config": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                    "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics",
                },
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                    "blockOwnerDeletion": true, "name": format!("app-{index:06x}"), "uid": uid}],
            },
            "spec": {
                "nodeName": format!("node-{node}"), "serviceAccountName": "default", "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "priority": 0,
                "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
                "containers": [{
                    "name": "main", "image": format!("registry.example.com/team/{app}:1.2.3"),
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "env": (["orders", "billing", "catalogue", "users", "search", "mail"].map(variable)),
                    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                    "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
                    "volumeMounts": [{"name": "token", "readOnly": true,
                        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                }],
                "tolerations": [
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                ],
                "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ]}}],
            },
            "status": {
                "phase": "Running", "hostIP": "192.0.2.1", "podIP": v4, "podIPs": [{"ip": v4}, {"ip": v6}],
                "conditions": (["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition)),
                "containerStatuses": [{"name": "main", "ready": true, "restartCount": 0, "started": true,
                    "image": format!("registry.example.com/team/{app}:1.2.3"),
                    "state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}}}],
                "qosClass": "Burstable", "startTime": "2025-01-01T00:00:00Z",
            }
        })
        .to_string()
    }

    /// Pods go round their namespace's applications.
    pub(super) fn app(self, index: u32) -> String {
        format!("app-{}", index / self.namespaces % 10)
    }

    /// The place of a policy: in which namespace, and what kind it is of.
    fn place(self, index: u32) -> (u32, u32) {
        match index {
            0.. if index < LIVELY * KINDS => (index % LIVELY, index / LIVELY),
            _ => (LIVELY + index % (self.namespaces - LIVELY), index % KINDS),
        }
    }

    /// A default deny, DNS, other teams' namespaces by a port's name, an application there and a network, applications
    /// of the same namespace.
    pub(super) fn policy(self, index: u32) -> Value {
        let (home, kind) = self.place(index);
        let app = |n| json!({"matchLabels": {"app": format!("app-{}", n % 10)}});
        let team = json!({"matchLabels": {"team": format!("team-{}", home % 10)}});
        let block = json!({"ipBlock": {"cidr": "10.0.0.0/8"}});
        let spec = match kind {
            0 => json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
            1 => json!({"podSelector": {}, "policyTypes": ["Egress"],
                "egress": [{"to": [block], "ports": [{"port": 53, "protocol": "UDP"}]}]}),
            2 => json!({"podSelector": {}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": team}], "ports": [{"port": "http"}]}]}),
            3 => json!({"podSelector": app(0), "policyTypes": ["Egress"],
                "egress": [{"to": [{"namespaceSelector": team, "podSelector": app(3)}, block], "ports": [{"port": 443}]}]}),
            _ => json!({"podSelector": app(0), "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": app(kind)}, {"podSelector": app(kind + 1)}], "ports": [{"port": 8080}]}]}),
        };
        named(home, &format!("policy-{index}"), &spec)
    }
}

/// A policy for all pods of the first namespace, of which [`TOGETHER`] are the node's.
pub(super) fn edited(port: u16) -> Value {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "app-1"}}}], "ports": [{"port": port}]}]});
    named(0, "edited", &spec)
}

fn named(home: u32, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": format!("namespace-{home}")}, "spec": spec
    })
}

fn addresses(index: u32) -> [String; 2] {
    let v4 = std::net::Ipv4Addr::from(0x0a00_0001 + index);
    let v6 = std::net::Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(index) + 1);
    [v4.to_string(), v6.to_string()]
}
