//! One event in all formats, written out by hand.

use netpol_agent::flow_log::event::{FlowEvent, Line, Reason};
use netpol_agent::flow_log::format::Format;
use netpol_agent::flow_log::format::hubble::ExportEvent;

use super::samples::{keys, refused};

const HUBBLE: &str = concat!(
    r#"{"flow":{"time":"2026-03-01T12:00:00.250000000Z","uuid":"UUID","verdict":"DROPPED","drop_reason":133,"#,
    r#""drop_reason_desc":"POLICY_DENIED","IP":{"source":"10.244.1.2","destination":"10.244.2.3","ipVersion":"IPv4"},"#,
    r#""l4":{"TCP":{"source_port":40000,"destination_port":5432,"flags":{"SYN":true}}},"#,
    r#""source":{"namespace":"shop","labels":["k8s:app=web","k8s:track"],"pod_name":"web-7d4b9c-x2x4v","#,
    r#""workloads":[{"name":"web","kind":"Deployment"}]},"#,
    r#""destination":{"namespace":"shop","labels":["k8s:app=db","k8s:app.kubernetes.io/part-of=shop"],"#,
    r#""pod_name":"db-0","workloads":[{"name":"db","kind":"StatefulSet"}]},"#,
    r#""Type":"L3_L4","node_name":"node-b","event_type":{"type":5},"traffic_direction":"INGRESS","is_reply":false,"#,
    r#""interface":{"index":7,"name":"veth1a2b"},"#,
    r#""ingress_denied_by":[{"name":"db","namespace":"shop","kind":"NetworkPolicy"},"#,
    r#"{"name":"default-deny","namespace":"shop","kind":"NetworkPolicy"}],"#,
    r#""Summary":"TCP Flags: SYN","#,
    r#""extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"reason":"no-rule","#,
    r#""near_misses":["shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443"],"#,
    r#""extent":"first","count":1,"#,
    r#""source":{"kind":"pod","uid":"uid-of-web-7d4b9c-x2x4v","node":"node-a"},"#,
    r#""destination":{"kind":"pod","uid":"uid-of-db-0","node":"node-b"}}}},"#,
    r#""node_name":"node-b","time":"2026-03-01T12:00:00.250000000Z"}"#,
    "\n"
);

const LOGFMT: &str = concat!(
    "time=2026-03-01T12:00:00.250000000Z verdict=dropped direction=ingress ",
    "src=shop/web-7d4b9c-x2x4v src_ip=10.244.1.2 dst=shop/db-0 dst_ip=10.244.2.3 proto=TCP dport=5432 ",
    "reason=no-rule denied_by=shop/db,shop/default-deny ",
    r#"why="shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443" "#,
    "extent=first count=1 node=node-b src_workload=Deployment/web src_node=node-a ",
    "dst_workload=StatefulSet/db dst_node=node-b sport=40000 flags=SYN interface=veth1a2b id=UUID\n"
);

fn ecs() -> serde_json::Value {
    serde_json::json!({
        "@timestamp": "2026-03-01T12:00:00.250000000Z",
        "message": "dropped ingress from shop/web-7d4b9c-x2x4v to shop/db-0 TCP 5432: \
                    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443",
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "event", "category": ["network"], "type": ["connection", "denied"],
            "action": "network-policy-drop", "outcome": "success", "id": "UUID",
            "reason": "shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443",
            "module": "netpol", "dataset": "netpol.flow",
        },
        "source": {"address": "10.244.1.2", "ip": "10.244.1.2", "port": 40000},
        "destination": {"address": "10.244.2.3", "ip": "10.244.2.3", "port": 5432},
        "network": {
            "direction": "ingress", "type": "ipv4", "transport": "tcp", "iana_number": "6", "packets": 1,
        },
        "rule": {"category": "NetworkPolicy", "ruleset": ["shop/db", "shop/default-deny"]},
        "orchestrator": {
            "type": "kubernetes", "namespace": "shop",
            "resource": {
                "type": "pod", "name": "db-0", "id": "uid-of-db-0", "parent": {"type": "StatefulSet"},
            },
        },
        "host": {"name": "node-b"},
        "observer": {
            "product": "netpol", "type": "firewall", "egress": {"interface": {"id": "7", "name": "veth1a2b"}},
        },
        "related": {"ip": ["10.244.1.2", "10.244.2.3"]},
        "netpol": {
            "reason": "no-rule",
            "near_misses": ["shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443"],
            "extent": "first",
            "tcp_flags": ["SYN"],
            "source": {
                "kind": "pod", "namespace": "shop", "pod": "web-7d4b9c-x2x4v", "node": "node-a",
                "uid": "uid-of-web-7d4b9c-x2x4v", "labels": ["app=web", "track="],
                "workload": {"kind": "Deployment", "name": "web"},
            },
            "destination": {
                "kind": "pod", "namespace": "shop", "pod": "db-0", "node": "node-b", "uid": "uid-of-db-0",
                "labels": ["app=db", "app.kubernetes.io/part-of=shop"],
                "workload": {"kind": "StatefulSet", "name": "db"},
            },
        },
    })
}

#[test]
fn an_event_is_told_in_each_format() {
    let line = Line::Flow(Box::new(refused()));
    let written = Format::Hubble.write(&line);
    let event: ExportEvent = serde_json::from_str(&written).expect("a line");
    let uuid = event.flow.expect("a flow").uuid;
    let shape: String = uuid
        .chars()
        .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
        .collect();
    assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    assert_eq!(&uuid[14..15], "8", "the version of RFC 9562");

    similar_asserts::assert_eq!(HUBBLE.replace("UUID", &uuid), written);
    similar_asserts::assert_eq!(LOGFMT.replace("UUID", &uuid), Format::Logfmt.write(&line));
    let ecs: serde_json::Value =
        serde_json::from_str(&ecs().to_string().replace("UUID", &uuid)).expect("JSON");
    let written: serde_json::Value =
        serde_json::from_str(&Format::Ecs.write(&line)).expect("a line");
    similar_asserts::assert_eq!(ecs, written);
}

#[test]
fn every_reason_is_told_in_words() {
    let no_rule = |near: &[&str], more| Reason::NoRule {
        isolating: keys(&["shop/db"]),
        near_misses: near.iter().map(ToString::to_string).collect(),
        more,
    };
    let contested = Reason::Contested {
        isolating: keys(&["a/x", "b/y"]),
    };
    let mismatch = Reason::Mismatch {
        verdict: "a -> b: ALLOWED\n  egress  of a:   open".to_owned(),
    };
    for (reason, words) in [
        (
            no_rule(&["near", "far"], 0),
            r#"reason=no-rule denied_by=shop/db why="near | far" extent="#,
        ),
        (
            no_rule(&["near"], 7),
            r#"reason=no-rule denied_by=shop/db why="near | 7 more" extent="#,
        ),
        (
            no_rule(&[], 0),
            r#"denied_by=shop/db why="the policies that isolate the pod have no ingress rules" extent="#,
        ),
        (
            contested,
            r#"reason=contested denied_by=a/x,b/y why="several pods claim the address" extent="#,
        ),
        (
            Reason::LinkLocal,
            r#"reason=link-local why="no policy can allow link-local addresses" extent="#,
        ),
        (
            Reason::NotProgrammed,
            r#"reason=not-programmed why="pod not programmed yet" extent="#,
        ),
        (
            Reason::ForgedSource,
            r#"reason=forged-source why="forged source" extent="#,
        ),
        (Reason::Cut, r#"reason=cut why="connection cut" extent="#),
        (
            Reason::Revoked {
                isolating: keys(&["shop/db"]),
                causes: vec!["NetworkPolicy shop/db changed".to_owned()],
            },
            r#"reason=revoked denied_by=shop/db why="cut by NetworkPolicy shop/db changed" extent="#,
        ),
        (
            Reason::Changed,
            r#"reason=changed why="policies, labels or addresses had just changed" extent="#,
        ),
        (
            mismatch,
            r#"reason=mismatch why="the policies do not forbid it: a -> b: ALLOWED | egress of a: open" extent="#,
        ),
        (
            Reason::Unknown,
            r#"why="the pod is not known any more, or the packet could not be read" extent="#,
        ),
    ] {
        let event = FlowEvent {
            reason,
            ..refused()
        };
        let line = Format::Logfmt.write(&Line::Flow(Box::new(event)));
        assert!(line.contains(words), "{words}\n{line}");
    }
    let unread = FlowEvent {
        reason: no_rule(&[], 0),
        transport: None,
        ..refused()
    };
    let line = Format::Logfmt.write(&Line::Flow(Box::new(unread)));
    assert!(
        line.contains(r#"why="the packet could not be read""#),
        "{line}"
    );
}
