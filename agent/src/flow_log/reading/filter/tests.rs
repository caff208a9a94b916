use super::*;

/// From `shop/web-1` of a Deployment to `shop/db-0`, or to a contested address, or a node.
fn flow(destination: End) -> Record {
    let policy = |name: &str| PolicyName {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    Record::Flow(Box::new(FlowRecord {
        time: "2026-11-21T10:00:00Z".parse().ok(),
        node: "default/node-a".to_owned(),
        verdict: Verdict::Dropped,
        direction: Some(Direction::Ingress),
        source: End {
            address: "10.244.1.2".parse().ok(),
            namespace: "shop".to_owned(),
            pod: "web-1".to_owned(),
            workload: Some(("Deployment".to_owned(), "web".to_owned())),
            ..End::default()
        },
        destination,
        transport: Some(Transport::Tcp(5432)),
        denied_by: vec![policy("db"), policy("all")],
        denied_by_more: 0,
        allowed_by: Vec::new(),
        extensions: None,
    }))
}

fn to_db() -> Record {
    flow(End {
        address: "fd00::3".parse().ok(),
        namespace: "store".to_owned(),
        pod: "db-0".to_owned(),
        ..End::default()
    })
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn object(text: &str) -> ObjectName {
    let (namespace, of) = match text.split_once('/') {
        Some((namespace, of)) => (Some(name(namespace)), of),
        None => (None, text),
    };
    ObjectName {
        namespace,
        name: name(of),
    }
}

fn block(text: &str) -> IpBlock {
    IpBlock::new(text.parse().expect("a network"), &[]).expect("a block")
}

fn workload(kind: &str, of: &str) -> WorkloadName {
    WorkloadName {
        kind: kind.to_owned(),
        name: name(of),
    }
}

fn port(protocol: Option<ProtocolFilter>, number: Option<u16>) -> PortFilter {
    PortFilter { protocol, number }
}

#[expect(clippy::unnecessary_wraps, reason = "as the filter has it")]
fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().expect("a time"))
}

#[test]
fn each_part_is_asked() {
    use ProtocolFilter::{Icmp, Tcp, Udp};
    type Row = (fn(&mut Filter), bool);
    let rows: &[Row] = &[
        (|_| {}, true),
        (|f| f.namespaces = vec![name("shop")], true),
        (|f| f.namespaces = vec![name("store")], true),
        (|f| f.namespaces = vec![name("sho")], false),
        (|f| f.namespaces = vec![name("other"), name("shop")], true),
        (|f| f.pods = vec![object("web-1")], true),
        (|f| f.pods = vec![object("store/db-0")], true),
        (|f| f.pods = vec![object("shop/db-0")], false),
        (|f| f.from_pods = vec![object("web-1")], true),
        (|f| f.from_pods = vec![object("db-0")], false),
        (|f| f.to_pods = vec![object("db-0")], true),
        (|f| f.to_pods = vec![object("web-1")], false),
        (|f| f.workloads = vec![workload("deployment", "web")], true),
        (
            |f| f.workloads = vec![workload("statefulset", "web")],
            false,
        ),
        (|f| f.workloads = vec![workload("deployment", "db")], false),
        (|f| f.blocks = vec![block("10.0.0.0/8")], true),
        (|f| f.blocks = vec![block("fd00::/64")], true),
        (|f| f.blocks = vec![block("10.244.1.3/32")], false),
        (|f| f.ports = vec![port(None, Some(5432))], true),
        (|f| f.ports = vec![port(Some(Tcp), None)], true),
        (|f| f.ports = vec![port(Some(Udp), Some(5432))], false),
        (|f| f.ports = vec![port(Some(Icmp), None)], false),
        (|f| f.directions = vec![Direction::Ingress], true),
        (|f| f.directions = vec![Direction::Egress], false),
        (|f| f.policies = vec![object("shop/all")], true),
        (|f| f.policies = vec![object("store/all")], false),
        (
            |f| f.verdicts = vec![Verdict::Audit, Verdict::Dropped],
            true,
        ),
        (|f| f.verdicts = vec![Verdict::Forwarded], false),
        (|f| f.nodes = vec![name("node-a")], true),
        (|f| f.nodes = vec![name("default")], false),
        (|f| f.since = time("2026-11-21T10:00:00Z"), true),
        (|f| f.since = time("2026-11-21T10:00:00.000000001Z"), false),
        (|f| f.until = time("2026-11-21T10:00:00Z"), false),
        (|f| f.until = time("2026-11-21T10:00:01Z"), true),
    ];
    for (set, expected) in rows {
        let mut filter = Filter::default();
        set(&mut filter);
        assert_eq!(filter.matches(&to_db()), *expected, "{filter:?}");
        // All parts must match.
        filter.pods = vec![object("x")];
        assert!(!filter.matches(&to_db()), "{filter:?}");
    }
}

#[test]
fn who_claims_an_address_is_its_pod() {
    let contested = flow(End {
        claimants: vec!["store/db-0".to_owned(), "store/old".to_owned()],
        ..End::default()
    });
    let of_pod = |text| Filter {
        to_pods: vec![object(text)],
        ..Filter::default()
    };
    assert!(of_pod("old").matches(&contested));
    assert!(of_pod("store/db-0").matches(&contested));
    assert!(!of_pod("shop/db-0").matches(&contested));
    let filter = Filter {
        namespaces: vec![name("store")],
        ..Filter::default()
    };
    assert!(filter.matches(&contested));
}

#[test]
fn what_got_lost_may_have_been_anything() {
    let lost = Record::Lost(super::super::record::LostRecord {
        time: "2026-11-21T10:00:00Z".parse().ok(),
        node: "node-a".to_owned(),
        count: 1,
        at: String::new(),
    });
    let filter = |node, since: &str| Filter {
        nodes: vec![name(node)],
        since: since.parse().ok(),
        pods: vec![object("x")],
        ..Filter::default()
    };
    assert!(filter("node-a", "2026-11-21T10:00:00Z").matches(&lost));
    assert!(!filter("node-b", "2026-11-21T10:00:00Z").matches(&lost));
    assert!(!filter("node-a", "2026-11-21T10:00:01Z").matches(&lost));
}
