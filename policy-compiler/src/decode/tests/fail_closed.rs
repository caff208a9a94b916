//! What a faulty policy still does: at most what its author wrote, to at least the pods its author selected.

use serde_json::json;

use super::*;
use crate::model::Direction;

const NOTHING: &[&str] = &[];

/// Rows: a rule of a policy that also allows TCP 443 from anyone, what is left of it.
#[test]
fn rules_lose_what_is_faulty() {
    let rows = [
        (json!({"from": [{}]}), "[]: any"),
        (
            json!({"from": [{}, {"podSelector": {}}]}),
            "[pods * in namespace shop]: any",
        ),
        (
            json!({"from": [{"podSelector": {"matchLabel": {"a": "b"}}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"podSelector": {}, "namespaceSelector": []}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"podSelector": {}, "namespaceSelecter": {}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "bad"]}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "exept": ["10.1.0.0/16"]}}]}),
            "[]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
            "[]: any",
        ),
        (json!({"ports": [{"port": "80"}]}), "any: []"),
        (
            json!({"ports": [{"port": 80, "endPort": 79}, {"port": 81}]}),
            "any: [TCP 81]",
        ),
        (json!({"ports": [{"prot": 80}]}), "any: []"),
        (json!({"ports": [{"protocol": "tcp"}]}), "any: []"),
        (json!({"form": [{"podSelector": {}}]}), "[]: []"),
        (json!({"from": {"podSelector": {}}}), "[]: []"),
        (json!({"from": [], "ports": {"port": 80}}), "[]: []"),
        (json!("any"), "[]: []"),
        // Old forms of CIDRs keep their meaning: they may be stored.
        (
            json!({"from": [{"ipBlock": {"cidr": "010.0.0.7/8", "except": ["::ffff:10.1.0.0/112"]}}]}),
            "[ipBlock 10.0.0.0/8 except 10.1.0.0/16]: any",
        ),
    ];
    for (rule, left) in rows {
        let policy = faulty(&json!({"ingress": [rule, {"ports": [{"port": 443}]}]}));
        let expected = vec![left.to_owned(), "any: [TCP 443]".to_owned()];
        assert_eq!(
            shown(policy.rules(Direction::Ingress)),
            Some(expected),
            "{rule}"
        );
        assert!(policy.egress.is_none());
    }
}

/// Rows: additions to a policy that allows everything in, what is left of ingress and egress.
#[test]
fn faulty_specs_isolate() {
    let all: &[&str] = &["any: any"];
    let rows = [
        (json!({"policyTypes": ["Ingres"]}), all, NOTHING),
        (json!({"policyTypes": ["Egress", "Ingres"]}), all, NOTHING),
        (
            json!({"policyTypes": ["Ingress", "Ingress", "Ingress"]}),
            all,
            NOTHING,
        ),
        (json!({"policyTypes": "Ingress"}), all, NOTHING),
        (json!({"policyTypes": [null]}), all, NOTHING),
        (
            json!({"policyTypes": ["Ingress"], "egress": {}}),
            all,
            NOTHING,
        ),
        (
            json!({"policyTypes": ["Egress"], "ingress": {}}),
            NOTHING,
            NOTHING,
        ),
        (json!({"ingress": "all"}), NOTHING, NOTHING),
        (
            json!({"podSelctor": {"matchLabels": {"a": "b"}}}),
            NOTHING,
            NOTHING,
        ),
        (json!({"egres": []}), NOTHING, NOTHING),
    ];
    for (change, ingress, egress) in rows {
        let mut spec = json!({"ingress": [{}]});
        for (field, value) in change.as_object().expect("an object") {
            spec[field] = value.clone();
        }
        let policy = faulty(&spec);
        let strings =
            |rules: &[&str]| Some(rules.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            shown(policy.rules(Direction::Ingress)),
            strings(ingress),
            "ingress of {spec}"
        );
        assert_eq!(
            shown(policy.rules(Direction::Egress)),
            strings(egress),
            "egress of {spec}"
        );
    }
    for object in [
        json!({"metadata": {"name": "p"}, "spec": []}),
        json!({"metadata": {"name": "p"}, "Spec": {"ingress": [{}]}}),
    ] {
        let policy = policy(&object).object.expect("named");
        assert!(policy.subjects.is_everything());
        assert_eq!(
            (policy.ingress, policy.egress),
            (Some(vec![]), Some(vec![])),
            "{object}"
        );
    }
}

/// A selector that says less than its author meant selects more pods. Those must be closed, but the rules must not
/// open them: other policies may have closed them on purpose. Rows: selector, what it selects, what is allowed in.
#[test]
fn widened_selectors_allow_nothing() {
    let all: &[&str] = &["any: any"];
    let rows = [
        (
            json!({"matchLabels": {"a": "b", "version": 2}}),
            "a=b",
            NOTHING,
        ),
        (json!({"matchLabels": ["a"]}), "*", NOTHING),
        (json!({"matchLabel": {"a": "b"}}), "*", NOTHING),
        (json!("a=b"), "*", NOTHING),
        (
            json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Inn", "values": ["d"]}]}),
            "a=b",
            NOTHING,
        ),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "In"}]}),
            "*",
            NOTHING,
        ),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "In", "values": ["d", 1]}]}),
            "*",
            NOTHING,
        ),
        (
            json!({"matchExpressions": [{"key": "", "operator": "Exists"}]}),
            "*",
            NOTHING,
        ),
        (json!({"matchExpressions": {"key": "c"}}), "*", NOTHING),
        // Bad syntax can be evaluated: no pod has, or every pod lacks, such a label.
        (
            json!({"matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e f"]}]}),
            "c in (d,e f)",
            all,
        ),
        (json!({"matchLabels": {"a b": "c"}}), "a b=c", all),
    ];
    for (selector, selected, ingress) in rows {
        let policy = faulty(&json!({"podSelector": selector, "ingress": [{}]}));
        assert_eq!(policy.subjects.to_string(), selected, "{selector}");
        let expected: Vec<String> = ingress.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown(policy.rules(Direction::Ingress)),
            Some(expected),
            "{selector}"
        );
        assert!(policy.egress.is_none(), "{selector}");
    }
}
