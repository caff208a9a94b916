use super::*;

/// As Cilium 1.18 exports it, with some fields that are not read.
const CILIUM: &str = r#"{"flow":{"time":"2026-11-21T10:00:00.5Z","uuid":"f","emitter":{"name":"Hubble"},
    "verdict":"FORWARDED","ethernet":{"source":"0a:58:0a:f4:01:02","destination":"0a:58:0a:f4:01:01"},
    "IP":{"source":"10.244.1.2","destination":"172.30.0.12","ipVersion":"IPv4"},
    "l4":{"TCP":{"source_port":40000,"destination_port":10250,"flags":{"SYN":true}}},
    "source":{"ID":7,"identity":4711,"cluster_name":"default","namespace":"shop","labels":["k8s:app=web"],
        "pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"},{"name":"x","kind":"Y"}]},
    "destination":{"identity":6,"labels":["reserved:remote-node"]},"Type":"L3_L4",
    "node_name":"default/node-a","event_type":{"type":5},"traffic_direction":"EGRESS",
    "is_reply":null,"policy_match_type":1,"egress_allowed_by":[{"name":"web","namespace":"shop",
        "labels":["k8s:x=y"],"revision":"3","kind":"CiliumNetworkPolicy"}],
    "extensions":{"@type":"type.googleapis.com/some.Other","value":3},"Summary":"TCP Flags: SYN"},
    "node_name":"default/node-a","time":"2026-11-21T10:00:00.6Z"}"#;

fn flow(json: &str) -> FlowRecord {
    match Record::parse(json.as_bytes()) {
        Some(Record::Flow(flow)) => *flow,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cilium_exports() {
    let read = flow(CILIUM);
    let expected = FlowRecord {
        time: "2026-11-21T10:00:00.5Z".parse().ok(),
        node: "default/node-a".to_owned(),
        verdict: Verdict::Forwarded,
        direction: Some(Direction::Egress),
        source: End {
            address: "10.244.1.2".parse().ok(),
            namespace: "shop".to_owned(),
            pod: "web-1".to_owned(),
            workload: Some(("Deployment".to_owned(), "web".to_owned())),
            ..End::default()
        },
        destination: End {
            address: "172.30.0.12".parse().ok(),
            node: Some(String::new()),
            ..End::default()
        },
        transport: Some(Transport::Tcp(10250)),
        denied_by: Vec::new(),
        denied_by_more: 0,
        allowed_by: vec![PolicyName {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }],
        extensions: None,
    };
    assert_eq!(read, expected);
    assert_eq!(
        (read.packets(), read.is_first(), read.is_crowd()),
        (1, true, false)
    );
}

#[test]
fn what_is_missing_is_not_known() {
    let read = flow(
        r#"{"flow":{"IP":{"source":"nonsense"},"l4":{"UDP":{"destination_port":70000}}},"time":"x"}"#,
    );
    assert_eq!(read.time, None);
    assert_eq!(
        (read.source, read.destination),
        (End::default(), End::default())
    );
    assert_eq!((read.verdict, read.direction), (Verdict::Other, None));
}

#[test]
fn other_lines_are_none() {
    let deep = "{\"flow\":".to_owned() + &"[".repeat(100_000);
    for json in [
        "",
        "{}",
        "{",
        "[]",
        "null",
        r#"{"flow":3}"#,
        r#"{"flow":null}"#,
        r#"{"timestamp":"2026-11-21T10:00:00Z","level":"INFO","message":"started"}"#,
        r#"{"agent_event":{"type":"AGENT_STARTED"},"time":"2026-11-21T10:00:00Z"}"#,
        &deep,
    ] {
        assert_eq!(Record::parse(json.as_bytes()), None, "{json:.80}");
    }
    assert_eq!(Record::parse(b"{\"flow\":{\"uuid\":\"\xff\"}}"), None);
}
