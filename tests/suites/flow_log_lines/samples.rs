//! Events of every kind.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use netpol_agent::flow_log::event::{
    End, FlowEvent, Hint, Interface, Line, LostAt, LostEvent, PodEnd, Reason, Who,
};
use netpol_agent::flow_log::packet::{PacketTransport, TcpFlags};
use netpol_agent::flow_log::sighting::Extent;
use netpol_tests::worlds::name;
use policy_compiler::model::{Direction, Labels, ObjectKey, Workload};

pub(crate) const SYN: TcpFlags = TcpFlags(0b0000_0010);
pub(crate) const PSH_ACK: TcpFlags = TcpFlags(0b0001_1000);

/// 2026-03-01T12:00:00.25Z and so many seconds.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_772_366_400 + seconds, 250_000_000)
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().expect("namespace/name")
}

pub(crate) fn keys(texts: &[&str]) -> Vec<ObjectKey> {
    texts.iter().map(|text| key(text)).collect()
}

fn address(text: &str) -> Option<IpAddr> {
    (!text.is_empty()).then(|| text.parse().expect("an address"))
}

fn end(address_of: &str, who: Who) -> End {
    End {
        address: address(address_of),
        who,
    }
}

pub(crate) fn pod(
    pod: &str,
    address_of: &str,
    labels: &[(&str, &str)],
    workload: Option<Workload>,
    node: &str,
) -> End {
    let key = key(pod);
    let uid = format!("uid-of-{}", key.name).into();
    let pod = PodEnd {
        key,
        uid,
        labels: Labels::new(labels.iter().copied()),
        workload,
        node: Some(name(node)),
    };
    end(address_of, Who::Pod(Box::new(pod)))
}

pub(crate) fn web() -> End {
    pod(
        "shop/web-7d4b9c-x2x4v",
        "10.244.1.2",
        &[("app", "web"), ("track", "")],
        Some(Workload::new("Deployment", "web")),
        "node-a",
    )
}

pub(crate) fn db() -> End {
    pod(
        "shop/db-0",
        "10.244.2.3",
        &[("app", "db"), ("app.kubernetes.io/part-of", "shop")],
        Some(Workload::new("StatefulSet", "db")),
        "node-b",
    )
}

fn world(address_of: &str) -> End {
    end(address_of, Who::World)
}

pub(crate) fn tcp(source_port: u16, destination_port: u16, flags: TcpFlags) -> PacketTransport {
    PacketTransport::Tcp {
        source_port,
        destination_port,
        flags: Some(flags),
    }
}

fn hint(code: &'static str, text: &str) -> Hint {
    Hint {
        code,
        text: text.to_owned(),
    }
}

fn no_rule(isolating: &[&str], near_misses: &[&str], more: usize) -> Reason {
    Reason::NoRule {
        isolating: keys(isolating),
        near_misses: near_misses.iter().map(ToString::to_string).collect(),
        more,
    }
}

/// What `shop/web` may not ask of `shop/db`, seen on `node-b`.
pub(crate) fn refused() -> FlowEvent {
    FlowEvent {
        time: at(0),
        node: name("node-b"),
        direction: Direction::Ingress,
        extent: Extent::First,
        source: web(),
        destination: db(),
        transport: Some(tcp(40000, 5432, SYN)),
        interface: Some(Interface {
            index: 7,
            name: Some("veth1a2b".to_owned()),
        }),
        reason: no_rule(
            &["shop/db", "shop/default-deny"],
            &["shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443"],
            0,
        ),
        hints: Vec::new(),
        suppressed: 0,
    }
}

/// Seen on `node-a`, where `shop/web` runs.
fn going_out() -> FlowEvent {
    FlowEvent {
        node: name("node-a"),
        direction: Direction::Egress,
        ..refused()
    }
}

fn without_a_rule() -> Vec<FlowEvent> {
    vec![
        FlowEvent {
            time: at(10),
            extent: Extent::Repeats {
                count: 6,
                since: at(1),
            },
            suppressed: 1200,
            ..refused()
        },
        FlowEvent {
            time: at(11),
            destination: world("8.8.8.8"),
            transport: Some(PacketTransport::Udp {
                source_port: 51234,
                destination_port: 53,
            }),
            reason: no_rule(&["shop/closed"], &[], 0),
            hints: vec![hint(
                "dns-blocked",
                "the pod cannot look up names: an egress rule for UDP and TCP 53 to the cluster's DNS is needed",
            )],
            ..going_out()
        },
        FlowEvent {
            time: at(12),
            source: end("192.168.0.11", Who::Node(name("node-a"))),
            transport: Some(PacketTransport::Icmpv4 { kind: 8, code: 0 }),
            reason: no_rule(
                &["shop/db"],
                &[
                    "shop/db ingress[0]: ports match; 192.168.0.11 is not a pod, only an ipBlock could match it",
                    "shop/db ingress[1]: ports match; 192.168.0.11 is not in 10.0.0.0/8",
                ],
                3,
            ),
            hints: vec![hint(
                "masqueraded",
                "the source is node node-a (192.168.0.11): a process or hostNetwork pod there, or a client that was masqueraded (a node port, a load balancer without externalTrafficPolicy Local); selectors never match these, only an ipBlock does",
            )],
            ..refused()
        },
        FlowEvent {
            time: at(20),
            extent: Extent::Others {
                count: 4000,
                since: at(11),
            },
            source: world("203.0.113.7"),
            transport: Some(PacketTransport::Udp {
                source_port: 4321,
                destination_port: 1900,
            }),
            reason: no_rule(
                &["shop/db", "shop/default-deny"],
                &[
                    "shop/db ingress[0]: 203.0.113.7 is not a pod, only an ipBlock could match it; port UDP 1900 not in TCP 8443",
                ],
                0,
            ),
            ..refused()
        },
        FlowEvent {
            time: at(21),
            destination: world("203.0.113.7"),
            transport: Some(PacketTransport::Other {
                protocol: 47,
                fragment: false,
            }),
            interface: Some(Interface {
                index: 9,
                name: None,
            }),
            reason: no_rule(
                &["shop/closed"],
                &["shop/closed egress[0]: peer matches; ICMP or other not in TCP 443"],
                0,
            ),
            ..going_out()
        },
    ]
}

fn for_other_reasons() -> Vec<FlowEvent> {
    vec![
        FlowEvent {
            time: at(13),
            source: world("fe80::1"),
            destination: pod("shop/db-0", "fd00:10:244:2::3", &[], None, "node-b"),
            transport: Some(PacketTransport::Icmpv6 { kind: 128, code: 0 }),
            reason: Reason::LinkLocal,
            ..refused()
        },
        FlowEvent {
            time: at(14),
            destination: end("10.244.2.9", Who::Contested(keys(&["shop/a", "test/b"]))),
            reason: Reason::Contested {
                isolating: keys(&["shop/db"]),
            },
            ..refused()
        },
        FlowEvent {
            time: at(15),
            destination: db(),
            transport: Some(PacketTransport::Sctp {
                source_port: 2905,
                destination_port: 2905,
            }),
            reason: Reason::Changed,
            ..going_out()
        },
        FlowEvent {
            time: at(16),
            transport: Some(tcp(40001, 8443, PSH_ACK)),
            reason: Reason::Mismatch {
                verdict: "shop/web-7d4b9c-x2x4v -> shop/db-0 TCP 8443: ALLOWED\n  egress  of shop/web-7d4b9c-x2x4v: not isolated\n  ingress of shop/db-0:             allowed by shop/db ingress[0]".to_owned(),
            },
            hints: vec![hint(
                "stray-packet",
                "not the first packet of a connection: that has been forgotten or was never seen here (a late packet, an idle connection past its timeout, or the way back takes another path)",
            )],
            ..refused()
        },
        FlowEvent {
            time: at(22),
            source: world("10.244.2.9"),
            destination: world("203.0.113.7"),
            reason: Reason::NotProgrammed,
            ..going_out()
        },
        FlowEvent {
            time: at(23),
            source: world("172.30.0.11"),
            destination: db(),
            reason: Reason::ForgedSource,
            ..going_out()
        },
        FlowEvent {
            time: at(24),
            destination: db(),
            transport: Some(tcp(40002, 8443, PSH_ACK)),
            reason: Reason::Cut,
            ..going_out()
        },
        FlowEvent {
            time: at(25),
            extent: Extent::Connection,
            transport: Some(PacketTransport::Tcp {
                source_port: 40003,
                destination_port: 8443,
                flags: None,
            }),
            interface: None,
            reason: Reason::Revoked {
                isolating: keys(&["shop/db", "shop/default-deny"]),
                causes: vec![
                    "NetworkPolicy shop/db changed".to_owned(),
                    "Pod shop/web-7d4b9c-x2x4v relabelled".to_owned(),
                ],
            },
            ..refused()
        },
        FlowEvent {
            time: at(17),
            source: world(""),
            destination: world(""),
            transport: None,
            interface: None,
            reason: Reason::Unknown,
            ..refused()
        },
    ]
}

/// All of them, by time.
pub(crate) fn all() -> Vec<Line> {
    let lost = [
        LostAt::KernelBuffer,
        LostAt::AgentQueue,
        LostAt::Output,
        LostAt::RateLimit,
        LostAt::CutLimit,
    ];
    let mut flows = vec![refused()];
    flows.extend(without_a_rule());
    flows.extend(for_other_reasons());
    flows.sort_by_key(|flow| flow.time);
    flows
        .into_iter()
        .map(|flow| Line::Flow(Box::new(flow)))
        .chain(lost.into_iter().zip(30..).map(|(at_place, seconds)| {
            Line::Lost(LostEvent {
                time: at(seconds),
                node: name("node-b"),
                count: 12,
                at: at_place,
            })
        }))
        .collect()
}
