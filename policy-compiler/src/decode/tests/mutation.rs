//! No fault widens a policy, wherever it strikes.

use serde_json::json;

use super::*;
use crate::model::{Direction, Peers, Ports};

/// A policy that uses everything the API offers.
fn full() -> Value {
    let peers = json!([
        {"podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}},
        {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {"matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
    ]);
    let ports = json!([{"port": 80}, {"port": "dns", "protocol": "UDP"}, {"port": 8000, "endPort": 9000, "protocol": "SCTP"}]);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop", "labels": {"a": "b"}},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}, {"from": peers}],
            "egress": [{"to": peers, "ports": ports}, {"ports": ports}],
        },
    })
}

/// Every JSON pointer below `value`, and the root's.
pub(super) fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                pointers(
                    child,
                    &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")),
                    all,
                );
            }
        }
        Value::Array(items) => {
            for (i, child) in items.iter().enumerate() {
                pointers(child, &format!("{here}/{i}"), all);
            }
        }
        _ => {}
    }
}

/// All ways to spoil the value at `pointer`: another type in its place, a field too many, a field misspelt.
fn mutants(base: &Value, pointer: &str) -> Vec<Value> {
    let replacements = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1),
        json!(0.5),
        json!("x"),
        json!(""),
        json!([]),
        json!([null]),
        json!({}),
        json!({"x": "y"}),
    ];
    let mut mutants: Vec<Value> = Vec::new();
    let mut with = |change: &dyn Fn(&mut Value)| {
        let mut mutant = base.clone();
        change(
            mutant
                .pointer_mut(pointer)
                .expect("a pointer into the base"),
        );
        mutants.push(mutant);
    };
    for replacement in replacements {
        with(&|value| *value = replacement.clone());
    }
    if let Some(Value::Object(map)) = base.pointer(pointer) {
        with(&|value| value["zzz"] = json!({}));
        for key in map.keys() {
            with(&|value| {
                let Value::Object(map) = value else { return };
                let held = map.remove(key).expect("a key of the map");
                map.insert(format!("{key}z"), held);
            });
        }
    }
    mutants
}

/// Whether `mutant` closes at least what `base` closes and opens at most what `base` opens.
fn is_within(mutant: &Policy, base: &Policy) -> bool {
    let selects_at_least = mutant
        .subjects
        .requirements()
        .iter()
        .all(|r| base.subjects.requirements().contains(r));
    selects_at_least
        && Direction::BOTH.into_iter().all(|direction| {
            match (mutant.rules(direction), base.rules(direction)) {
                // Pods that only the mutant selects must get no rule.
                (Some(rules), _) if mutant.subjects != base.subjects => rules.is_empty(),
                (Some(rules), Some(base)) => {
                    rules.len() <= base.len()
                        && rules
                            .iter()
                            .zip(base)
                            .all(|(rule, base)| rule_is_within(rule, base))
                }
                (Some(rules), None) => rules.is_empty(),
                (None, Some(_)) => false,
                (None, None) => true,
            }
        })
}

fn rule_is_within(rule: &Rule, base: &Rule) -> bool {
    let peers = match (&rule.peers, &base.peers) {
        (_, Peers::Any) => true,
        (Peers::Any, Peers::OneOf(_)) => false,
        (Peers::OneOf(some), Peers::OneOf(all)) => some.iter().all(|peer| all.contains(peer)),
    };
    peers
        && match (&rule.ports, &base.ports) {
            (_, Ports::Any) => true,
            (Ports::Any, Ports::OneOf(_)) => false,
            (Ports::OneOf(some), Ports::OneOf(all)) => some.iter().all(|port| all.contains(port)),
        }
}

/// A mutant without errors is a policy of its own that happens to mean something else; one with errors must not mean
/// more than its base.
fn check(mutant: &Value, base: &Policy) -> Option<Policy> {
    let Decoded { object, errors } = policy(mutant);
    match object {
        None => {
            assert!(!errors.is_empty(), "refused without a reason: {mutant}");
            None
        }
        Some(policy) if errors.is_empty() => Some(policy),
        Some(policy) => {
            assert!(
                is_within(&policy, base),
                "wider than its base: {mutant}\n{policy:#?}\n{errors:#?}"
            );
            None
        }
    }
}

#[test]
fn no_single_fault_widens() {
    let base = full();
    let Decoded { object, errors } = policy(&base);
    assert_eq!(errors, []);
    let meaning = object.expect("valid");
    let mut all = Vec::new();
    pointers(&base, "", &mut all);
    let mut checked = 0;
    for pointer in &all {
        for mutant in mutants(&base, pointer) {
            check(&mutant, &meaning);
            checked += 1;
        }
    }
    assert!(checked > 1500, "{checked}");
}

/// Faults after harmless changes, at random.
#[test]
fn no_fault_after_other_changes_widens() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).expect("below a usize")
    };
    for _ in 0..150 {
        let mut base = full();
        for _ in 0..12 {
            let meaning = policy(&base).object.expect("a base is valid");
            let mut all = Vec::new();
            pointers(&base, "", &mut all);
            let mut mutants = mutants(&base, &all[below(all.len())]);
            let mutant = mutants.swap_remove(below(mutants.len()));
            if check(&mutant, &meaning).is_some() {
                base = mutant;
            }
        }
    }
}
