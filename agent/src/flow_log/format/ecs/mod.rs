//! The Elastic Common Schema: nested JSON. What it has no field for is under `netpol`, a name that it will not take.

mod document;

use policy_compiler::model::{Direction, Name};

use crate::flow_log::event::{End, FlowEvent, Interface, LostAt, LostEvent, PodEnd, Who};
use crate::flow_log::packet::PacketTransport;
use crate::flow_log::sighting::Extent;

use document::{
    Event, Icmp, Lost, Named, Netpol, NetpolLost, Network, Observer, Orchestrator, Parent, Peer,
    Port, Related, Resource, Rule, Side, Version, Whose, Workload,
};
pub(super) use document::{FlowDocument, LostDocument};

use super::hubble::{EndExtension, Extensions};
use super::{id, limits, tell, time};

/// The version of the schema whose fields these are.
const VERSION: &str = "8.17.0";

impl From<&FlowEvent> for FlowDocument {
    fn from(event: &FlowEvent) -> Self {
        let (_, packets, since) = tell::extent(event.extent);
        let reason = limits::sentence(&tell::why(event));
        let ports = event.transport.and_then(tell::ports);
        let policies = limits::policies(tell::isolating(&event.reason)).shown;
        let address = |end: &End, port| Peer {
            address: end.address,
            ip: end.address,
            port,
        };
        let (to_pod, from_pod) = match event.direction {
            Direction::Ingress => (event.interface.as_ref(), None),
            Direction::Egress => (None, event.interface.as_ref()),
        };
        let mut addresses: Vec<_> = [event.source.address, event.destination.address]
            .into_iter()
            .flatten()
            .collect();
        addresses.dedup();
        Self {
            timestamp: time::rfc3339(event.time),
            message: message(event, &reason),
            ecs: Version { version: VERSION },
            event: Event {
                kind: "event",
                category: ["network"],
                r#type: &["connection", "denied"],
                action: if is_connection(event) {
                    "network-policy-cut"
                } else {
                    "network-policy-drop"
                },
                // In the firewall's eyes: it did what it was to do.
                outcome: Some("success"),
                reason: Some(reason),
                end: since.map(|_| time::rfc3339(event.time)),
                start: since.map(time::rfc3339),
                id: Some(id::of(event)),
                module: "netpol",
                dataset: "netpol.flow",
            },
            source: address(&event.source, ports.map(|(port, _)| port)),
            destination: address(&event.destination, ports.map(|(_, port)| port)),
            network: Network {
                direction: event.direction.as_str(),
                r#type: addresses
                    .first()
                    .map(|a| if a.is_ipv4() { "ipv4" } else { "ipv6" }),
                transport: event.transport.and_then(transport),
                iana_number: event
                    .transport
                    .map(|transport| tell::protocol_number(transport).to_string()),
                packets,
            },
            rule: (!policies.is_empty()).then(|| Rule {
                category: "NetworkPolicy",
                ruleset: policies.into_iter().map(ToString::to_string).collect(),
            }),
            orchestrator: orchestrator(event),
            host: Named::of(&event.node),
            observer: Observer {
                ingress: from_pod.map(Side::of),
                egress: to_pod.map(Side::of),
                ..Observer::netpol()
            },
            related: Related { ip: addresses },
            netpol: event.into(),
        }
    }
}

impl From<&LostEvent> for LostDocument {
    fn from(lost: &LostEvent) -> Self {
        let at = tell::lost_at(lost.at);
        Self {
            timestamp: time::rfc3339(lost.time),
            message: format!(
                "{} {} are not told singly: lost at {at}",
                lost.count,
                match lost.at {
                    LostAt::CutLimit => "connections that were cut",
                    _ => "dropped packets",
                }
            ),
            ecs: Version { version: VERSION },
            event: Event {
                kind: "event",
                category: ["network"],
                r#type: &["info"],
                action: "network-policy-drops-lost",
                outcome: None,
                reason: None,
                start: None,
                end: None,
                id: None,
                module: "netpol",
                dataset: "netpol.flow",
            },
            host: Named::of(&lost.node),
            observer: Observer::netpol(),
            netpol: NetpolLost {
                lost: Lost {
                    count: lost.count,
                    at,
                },
            },
        }
    }
}

impl From<&FlowEvent> for Netpol {
    fn from(event: &FlowEvent) -> Self {
        let told = Extensions::from(event);
        Self {
            reason: told.reason,
            denied_by_more: told.denied_by_more,
            near_misses: told.near_misses,
            near_misses_more: told.near_misses_more,
            verdict: told.verdict,
            causes: told.causes,
            hints: told.hints,
            extent: told.extent,
            suppressed: told.suppressed,
            tcp_flags: event
                .transport
                .and_then(tell::tcp_flags)
                .map(tell::flag_names)
                .unwrap_or_default(),
            icmp: event
                .transport
                .and_then(tell::icmp)
                .map(|(kind, code)| Icmp { r#type: kind, code }),
            fragment: told.fragment,
            source: Whose::of(&event.source, told.source),
            destination: Whose::of(&event.destination, told.destination),
        }
    }
}

impl Whose {
    fn of(end: &End, more: EndExtension) -> Self {
        let pod = pod(end);
        Self {
            more,
            namespace: pod.map(|pod| pod.key.namespace.to_string()),
            pod: pod.map(|pod| pod.key.name.to_string()),
            workload: pod
                .and_then(|pod| pod.workload.as_ref())
                .map(|workload| Workload {
                    kind: limits::name(workload.kind()),
                    name: limits::name(workload.name()),
                }),
            labels: pod
                .map(|pod| limits::labels(&pod.labels).shown)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        }
    }
}

impl Named {
    fn of(name: &Name) -> Self {
        Self {
            name: name.to_string(),
        }
    }
}

impl Observer {
    const fn netpol() -> Self {
        Self {
            product: "netpol",
            r#type: "firewall",
            ingress: None,
            egress: None,
        }
    }
}

impl Side {
    fn of(interface: &Interface) -> Self {
        Self {
            interface: Port {
                id: interface.index.to_string(),
                name: interface.name.as_deref().map(limits::name),
            },
        }
    }
}

fn pod(end: &End) -> Option<&PodEnd> {
    match &end.who {
        Who::Pod(pod) => Some(pod),
        Who::Contested(_) | Who::Node(_) | Who::World => None,
    }
}

/// The pod whose policies dropped the packets.
fn orchestrator(event: &FlowEvent) -> Option<Orchestrator> {
    let subject = match event.direction {
        Direction::Ingress => &event.destination,
        Direction::Egress => &event.source,
    };
    let pod = pod(subject)?;
    Some(Orchestrator {
        r#type: "kubernetes",
        namespace: pod.key.namespace.to_string(),
        resource: Resource {
            r#type: "pod",
            name: pod.key.name.to_string(),
            id: limits::name(&pod.uid),
            parent: pod.workload.as_ref().map(|workload| Parent {
                r#type: limits::name(workload.kind()),
            }),
        },
    })
}

/// Whether the line is about a connection, and not about packets.
fn is_connection(event: &FlowEvent) -> bool {
    event.extent == Extent::Connection
}

fn transport(transport: PacketTransport) -> Option<&'static str> {
    match transport {
        PacketTransport::Tcp { .. } => Some("tcp"),
        PacketTransport::Udp { .. } => Some("udp"),
        PacketTransport::Sctp { .. } => Some("sctp"),
        PacketTransport::Icmpv4 { .. } => Some("icmp"),
        PacketTransport::Icmpv6 { .. } => Some("ipv6-icmp"),
        PacketTransport::Other { .. } => None,
    }
}

/// One sentence: `dropped ingress shop/web → shop/db TCP 5432: …`
fn message(event: &FlowEvent, reason: &str) -> String {
    let port = event
        .transport
        .and_then(tell::ports)
        .map(|(_, port)| format!(" {port}"))
        .unwrap_or_default();
    let protocol = event.transport.map(tell::protocol).unwrap_or_default();
    let done = if is_connection(event) {
        "cut"
    } else {
        "dropped"
    };
    format!(
        "{done} {} from {} to {} {protocol}{port}: {reason}",
        event.direction,
        tell::who(&event.source),
        tell::who(&event.destination),
    )
}
