//! What forbids a caller what it does, one way after another.

use crate::world::objects;

/// Nobody may talk to callees but callers of friendly namespaces, and strangers.
const POLICIES: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: conn }
spec: { podSelector: { matchLabels: { role: callee } } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: strangers, namespace: conn }
spec:
  podSelector: { matchLabels: { role: callee } }
  ingress: [{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: else } } }] }]
";

const CALLERS: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: callers, namespace: conn }
spec:
  podSelector: { matchLabels: { role: callee } }
  ingress:
    - from:
        - namespaceSelector: { matchLabels: { team: friends } }
          podSelector: { matchLabels: { role: caller } }
";

const MUTE: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: mute, namespace: conn }
spec: { podSelector: { matchLabels: { role: caller } }, policyTypes: [Egress] }
";

/// A change that forbids what the caller does, and what the log says of it.
pub(super) struct Change {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) cause: &'static str,
    pub(super) by: &'static str,
    /// The end whose policies object, and so the node that cuts.
    pub(super) is_egress: bool,
}

pub(super) fn before() -> String {
    let objects = objects().replace(
        "{ name: conn }",
        "{ name: conn, labels: { team: friends } }",
    );
    objects + POLICIES + CALLERS
}

pub(super) fn changes() -> Vec<Change> {
    let edited = |from: &str, to: &str| {
        let text = before();
        let other = text.replace(from, to);
        assert_ne!(text, other, "{from}");
        other
    };
    let of = |name, text, cause, by, is_egress| Change {
        name,
        text,
        cause,
        by,
        is_egress,
    };
    vec![
        of(
            "a policy is edited",
            edited(
                "podSelector: { matchLabels: { role: caller } }",
                "podSelector: { matchLabels: { role: nobody } }",
            ),
            "NetworkPolicy conn/callers changed",
            "closed",
            false,
        ),
        of(
            "a policy is deleted",
            edited(CALLERS, ""),
            "NetworkPolicy conn/callers deleted",
            "closed",
            false,
        ),
        of(
            "a policy is added",
            before() + MUTE,
            "NetworkPolicy conn/mute added",
            "mute",
            true,
        ),
        of(
            "the pod is relabelled",
            edited("labels: { role: caller }", "labels: { role: none }"),
            "Pod conn/caller relabelled",
            "closed",
            false,
        ),
        of(
            "the namespace is relabelled",
            edited(
                "conn, labels: { team: friends }",
                "conn, labels: { team: foes }",
            ),
            "Namespace conn relabelled",
            "closed",
            false,
        ),
    ]
}
