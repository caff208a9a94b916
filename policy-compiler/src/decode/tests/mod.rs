//! Rows for the decoders; the same manifests also go to a real API server in the workspace's integration tests.

mod defaults;
mod fail_closed;
mod misspelt;
mod mutation;
mod objects;
mod slim;
mod validation;
mod workloads;

use serde_json::{Value, json};

use super::{Decoded, policy};
use crate::model::{Policy, Rule};

/// A policy `shop/p` with this spec.
fn with_spec(spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": spec,
    })
}

fn decode_spec(spec: &Value) -> Decoded<Policy> {
    policy(&with_spec(spec))
}

/// The policy of a spec that must be free of errors.
fn valid(spec: &Value) -> Policy {
    let Decoded { object, errors } = decode_spec(spec);
    assert_eq!(errors, [], "{spec}");
    object.expect("a policy without errors")
}

/// The policy of a spec that must have errors.
fn faulty(spec: &Value) -> Policy {
    let Decoded { object, errors } = decode_spec(spec);
    assert!(!errors.is_empty(), "{spec}");
    object.expect("a faulty policy is still a policy")
}

/// A policy's rules as text: `any` or the items of `from`/`to`, a colon, `any` or the items of `ports`.
fn shown(rules: Option<&[Rule]>) -> Option<Vec<String>> {
    use crate::model::{Peers, Ports};
    fn list<T: ToString>(items: &[T]) -> String {
        format!(
            "[{}]",
            items
                .iter()
                .map(T::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        )
    }
    let show = |rule: &Rule| {
        let peers = match &rule.peers {
            Peers::Any => "any".to_owned(),
            Peers::OneOf(peers) => list(peers),
        };
        let ports = match &rule.ports {
            Ports::Any => "any".to_owned(),
            Ports::OneOf(ports) => list(ports),
        };
        format!("{peers}: {ports}")
    };
    rules.map(|rules| rules.iter().map(show).collect())
}
