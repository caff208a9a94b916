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

#[test]
fn each_part_is_asked() {
    let none = Filter::default;
    let workload = |kind: &str, of| WorkloadName {
        kind: kind.to_owned(),
        name: name(of),
    };
    let port = |protocol, number| PortFilter { protocol, number };
    let time = |text: &str| text.parse().ok();
    let rows = [
        (none(), true),
        (
            Filter {
                namespaces: vec![name("shop")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                namespaces: vec![name("store")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                namespaces: vec![name("sho")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                namespaces: vec![name("other"), name("shop")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                pods: vec![object("web-1")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                pods: vec![object("store/db-0")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                pods: vec![object("shop/db-0")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                from_pods: vec![object("web-1")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                from_pods: vec![object("db-0")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                to_pods: vec![object("db-0")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                to_pods: vec![object("web-1")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                workloads: vec![workload("deployment", "web")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                workloads: vec![workload("statefulset", "web")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                blocks: vec![block("10.0.0.0/8")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                blocks: vec![block("fd00::/64")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                blocks: vec![block("0.0.0.0/0")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                blocks: vec![block("10.244.1.3/32")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                ports: vec![port(None, Some(5432))],
                ..none()
            },
            true,
        ),
        (
            Filter {
                ports: vec![port(Some(ProtocolFilter::Tcp), None)],
                ..none()
            },
            true,
        ),
        (
            Filter {
                ports: vec![port(Some(ProtocolFilter::Udp), Some(5432))],
                ..none()
            },
            false,
        ),
        (
            Filter {
                ports: vec![port(Some(ProtocolFilter::Icmp), None)],
                ..none()
            },
            false,
        ),
        (
            Filter {
                directions: vec![Direction::Ingress],
                ..none()
            },
            true,
        ),
        (
            Filter {
                directions: vec![Direction::Egress],
                ..none()
            },
            false,
        ),
        (
            Filter {
                policies: vec![object("shop/all")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                policies: vec![object("store/all")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                verdicts: vec![Verdict::Audit, Verdict::Dropped],
                ..none()
            },
            true,
        ),
        (
            Filter {
                verdicts: vec![Verdict::Forwarded],
                ..none()
            },
            false,
        ),
        (
            Filter {
                nodes: vec![name("node-a")],
                ..none()
            },
            true,
        ),
        (
            Filter {
                nodes: vec![name("default")],
                ..none()
            },
            false,
        ),
        (
            Filter {
                since: time("2026-11-21T10:00:00Z"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                since: time("2026-11-21T10:00:00.000000001Z"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                until: time("2026-11-21T10:00:00Z"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                until: time("2026-11-21T10:00:01Z"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                directions: vec![Direction::Ingress],
                pods: vec![object("x")],
                ..none()
            },
            false,
        ),
    ];
    for (filter, expected) in rows {
        assert_eq!(filter.matches(&to_db()), expected, "{filter:?}");
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
