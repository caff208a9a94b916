//! What is not written, and what valid policies mean.

use serde_json::json;

use super::*;
use crate::model::{Direction, Selector};

/// Semantics rules A7 to A11. Rows: spec, rules of ingress and of egress (`None`: not isolated).
#[test]
fn policy_types() {
    let any = || Some(vec!["any: any".to_owned()]);
    let nothing = || Some(Vec::new());
    let rows = [
        (json!({}), nothing(), None),
        (json!(null), nothing(), None),
        (json!({"policyTypes": null}), nothing(), None),
        (json!({"policyTypes": []}), nothing(), None),
        (json!({"ingress": null}), nothing(), None),
        (json!({"ingress": []}), nothing(), None),
        (json!({"ingress": [{}]}), any(), None),
        (json!({"ingress": [null]}), any(), None),
        (json!({"egress": []}), nothing(), None),
        (json!({"egress": null}), nothing(), None),
        (json!({"egress": [{}]}), nothing(), any()),
        (json!({"egress": [{}], "policyTypes": []}), nothing(), any()),
        (
            json!({"ingress": [{}], "egress": [{}], "policyTypes": ["Egress"]}),
            None,
            any(),
        ),
        (
            json!({"ingress": [{}], "egress": [{}], "policyTypes": ["Ingress"]}),
            any(),
            None,
        ),
        (json!({"policyTypes": ["Egress"]}), None, nothing()),
        (
            json!({"policyTypes": ["Ingress", "Egress"]}),
            nothing(),
            nothing(),
        ),
        (
            json!({"policyTypes": ["Egress", "Ingress"]}),
            nothing(),
            nothing(),
        ),
        (
            json!({"policyTypes": ["Ingress", "Ingress"], "egress": [{}]}),
            nothing(),
            None,
        ),
    ];
    for (spec, ingress, egress) in rows {
        let policy = valid(&spec);
        assert_eq!(
            shown(policy.rules(Direction::Ingress)),
            ingress,
            "ingress of {spec}"
        );
        assert_eq!(
            shown(policy.rules(Direction::Egress)),
            egress,
            "egress of {spec}"
        );
        assert_eq!(policy.subjects, Selector::everything(), "{spec}");
    }
}

/// Semantics rules B2 to B6, D1 to D4. Rows: an ingress rule and its meaning.
#[test]
fn rules() {
    let rows = [
        (json!({}), "any: any"),
        (json!({"from": null, "ports": null}), "any: any"),
        (json!({"from": [], "ports": []}), "any: any"),
        (json!({"ports": [{}]}), "any: [TCP]"),
        (json!({"ports": [null]}), "any: [TCP]"),
        (
            json!({"ports": [{"protocol": null, "port": null, "endPort": null}]}),
            "any: [TCP]",
        ),
        (json!({"ports": [{"protocol": "UDP"}]}), "any: [UDP]"),
        (json!({"ports": [{"port": 80}]}), "any: [TCP 80]"),
        (
            json!({"ports": [{"port": 80, "protocol": "SCTP"}]}),
            "any: [SCTP 80]",
        ),
        (
            json!({"ports": [{"port": 80, "endPort": 80}]}),
            "any: [TCP 80]",
        ),
        (
            json!({"ports": [{"port": 1, "endPort": 65535}]}),
            "any: [TCP 1-65535]",
        ),
        (json!({"ports": [{"port": "http"}]}), "any: [TCP http]"),
        (
            json!({"ports": [{"port": 80}, {"port": 80}, {"port": 79, "endPort": 81}]}),
            "any: [TCP 80; TCP 80; TCP 79-81]",
        ),
        (
            json!({"from": [{"podSelector": {}}]}),
            "[pods * in namespace shop]: any",
        ),
        (
            json!({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}),
            "[pods a=b in namespace shop]: any",
        ),
        (
            json!({"from": [{"podSelector": {"matchLabels": {"a": ""}}}]}),
            "[pods a= in namespace shop]: any",
        ),
        (
            json!({"from": [{"podSelector": {"matchLabels": {"a": null}}}]}),
            "[pods a= in namespace shop]: any",
        ),
        (
            json!({"from": [{"namespaceSelector": {}}]}),
            "[pods * in namespaces *]: any",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}),
            "[pods * in namespaces a=b]: any",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {"matchLabels": {"c": "d"}}}]}),
            "[pods c=d in namespaces a=b]: any",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}, {"podSelector": {"matchLabels": {"c": "d"}}}]}),
            "[pods * in namespaces a=b; pods c=d in namespace shop]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
            "[ipBlock 10.0.0.0/8]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": null}}]}),
            "[ipBlock 10.0.0.0/8]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "::/0", "except": ["fd00::/8", "fd00::/16", "fd00::/8"]}}]}),
            "[ipBlock ::/0 except fd00::/8, fd00::/16]: any",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 53, "protocol": "UDP"}]}),
            "[ipBlock 10.0.0.0/8]: [UDP 53]",
        ),
    ];
    for (rule, meaning) in rows {
        let policy = valid(&json!({"ingress": [rule]}));
        assert_eq!(
            shown(policy.rules(Direction::Ingress)),
            Some(vec![meaning.to_owned()]),
            "{rule}"
        );
    }
    let policy = valid(&json!({"egress": [{"to": [{"podSelector": {}}]}]}));
    let expected = Some(vec!["[pods * in namespace shop]: any".to_owned()]);
    assert_eq!(shown(policy.rules(Direction::Egress)), expected);
}

/// Semantics rules C1 to C4.
#[test]
fn selectors() {
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
    let rows = [
        (json!({}), "*"),
        (json!(null), "*"),
        (json!({"matchLabels": null, "matchExpressions": null}), "*"),
        (json!({"matchLabels": {}, "matchExpressions": []}), "*"),
        (
            json!({"matchLabels": {"example.com/a": "1", "b": ""}}),
            "b=,example.com/a=1",
        ),
        (expression("In", json!(["b", "a", "b"])), "k in (a,b)"),
        (expression("NotIn", json!(["a"])), "k!=a"),
        (expression("Exists", json!([])), "k"),
        (expression("DoesNotExist", json!(null)), "!k"),
        (expression("In", json!([null])), "k="),
    ];
    for (selector, meaning) in rows {
        assert_eq!(
            valid(&json!({"podSelector": selector}))
                .subjects
                .to_string(),
            meaning,
            "{selector}"
        );
    }
}

/// Semantics rule A14.
#[test]
fn namespaces_default() {
    for metadata in [
        json!({"name": "p"}),
        json!({"name": "p", "namespace": ""}),
        json!({"name": "p", "namespace": null}),
    ] {
        let Decoded { object, errors } = policy(&json!({"metadata": metadata, "spec": {}}));
        assert_eq!(errors, [], "{metadata}");
        assert_eq!(object.expect("valid").key.to_string(), "default/p");
    }
}
