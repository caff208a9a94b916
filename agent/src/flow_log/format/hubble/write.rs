//! From netpol's words to Hubble's.

use crate::flow_log::event::{End, FlowEvent, Line, LostAt, LostEvent, Reason, Who};
use crate::flow_log::format::{id, limits, tell, time};
use crate::flow_log::packet::{PacketTransport, TcpFlags as PacketFlags};
use policy_compiler::model::{Direction, Name};

use super::wire::{
    Endpoint, EventType, ExportEvent, Flow, Icmp, Ip, Layer4, LostEvents, NetworkInterface, Policy,
    Ports, Tcp, TcpFlags, Workload,
};

/// Cilium's number and word for a drop by policy.
const POLICY_DENIED: (u32, &str) = (133, "POLICY_DENIED");
/// The same for a source that is not its sender's.
const INVALID_SOURCE_IP: (u32, &str) = (132, "INVALID_SOURCE_IP");
/// Cilium's number for a policy's verdict. A plain drop (1) would do as well, but `hubble` names the policies of verdicts
/// only.
const POLICY_VERDICT: i32 = 5;
/// Cilium's numbers for those who are not pods.
const HOST: u32 = 1;
const WORLD: u32 = 2;
const REMOTE_NODE: u32 = 6;

impl From<&Line> for ExportEvent {
    fn from(line: &Line) -> Self {
        match line {
            Line::Flow(event) => {
                let flow = Flow::from(&**event);
                Self {
                    node_name: flow.node_name.clone(),
                    time: flow.time.clone(),
                    flow: Some(Box::new(flow)),
                    lost_events: None,
                }
            }
            Line::Lost(lost) => Self {
                flow: None,
                lost_events: Some(lost.into()),
                node_name: lost.node.to_string(),
                time: time::rfc3339(lost.time),
            },
        }
    }
}

impl From<&LostEvent> for LostEvents {
    fn from(lost: &LostEvent) -> Self {
        let source = match lost.at {
            LostAt::KernelBuffer => "PERF_EVENT_RING_BUFFER",
            LostAt::AgentQueue => "OBSERVER_EVENTS_QUEUE",
            LostAt::Output => "HUBBLE_RING_BUFFER",
            LostAt::RateLimit | LostAt::CutLimit => "UNKNOWN_LOST_EVENT_SOURCE",
        };
        Self {
            source: source.to_owned(),
            num_events_lost: lost.count,
        }
    }
}

impl From<&FlowEvent> for Flow {
    fn from(event: &FlowEvent) -> Self {
        let denied_by = limits::policies(tell::isolating(&event.reason))
            .shown
            .into_iter()
            .map(|policy| Policy {
                name: policy.name.to_string(),
                namespace: policy.namespace.to_string(),
                kind: "NetworkPolicy".to_owned(),
            })
            .collect();
        let (ingress_denied_by, egress_denied_by) = match event.direction {
            Direction::Ingress => (denied_by, Vec::new()),
            Direction::Egress => (Vec::new(), denied_by),
        };
        let (drop_reason, drop_reason_desc) = match event.reason {
            Reason::ForgedSource => INVALID_SOURCE_IP,
            _ => POLICY_DENIED,
        };
        Self {
            time: time::rfc3339(event.time),
            uuid: id::of(event),
            verdict: "DROPPED".to_owned(),
            drop_reason,
            drop_reason_desc: drop_reason_desc.to_owned(),
            ip: ip(event),
            l4: event.transport.and_then(layer4),
            source: Some(endpoint(&event.source, &event.node)),
            destination: Some(endpoint(&event.destination, &event.node)),
            flow_type: "L3_L4".to_owned(),
            node_name: event.node.to_string(),
            event_type: Some(EventType {
                kind: POLICY_VERDICT,
                sub_type: 0,
            }),
            traffic_direction: event.direction.as_str().to_uppercase(),
            is_reply: is_reply(event.transport),
            interface: event.interface.as_ref().map(|interface| NetworkInterface {
                index: interface.index,
                name: limits::name(interface.name.as_deref().unwrap_or_default()),
            }),
            ingress_denied_by,
            egress_denied_by,
            summary: event.transport.map(summary).unwrap_or_default(),
            extensions: Some(Box::new(event.into())),
            ..Self::default()
        }
    }
}

fn ip(event: &FlowEvent) -> Option<Ip> {
    let (source, destination) = (event.source.address, event.destination.address);
    let version = if source.or(destination)?.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    };
    let text = |address: Option<std::net::IpAddr>| address.map(|a| a.to_string());
    Some(Ip {
        source: text(source).unwrap_or_default(),
        destination: text(destination).unwrap_or_default(),
        version: version.to_owned(),
    })
}

/// The kernel drops what belongs to no connection that was allowed. That says that TCP's first packet is no answer; of
/// other packets of TCP, which may be of a connection older than the table, it says nothing.
fn is_reply(transport: Option<PacketTransport>) -> Option<bool> {
    match transport? {
        PacketTransport::Tcp { flags, .. } => flags
            .is_some_and(|flags| flags.syn() && !flags.ack())
            .then_some(false),
        PacketTransport::Other { fragment: true, .. } => None,
        _ => Some(false),
    }
}

fn layer4(transport: PacketTransport) -> Option<Layer4> {
    let ports = || {
        tell::ports(transport).map(|(source, destination)| Ports {
            source_port: source.into(),
            destination_port: destination.into(),
        })
    };
    let icmp = || {
        tell::icmp(transport).map(|(kind, code)| Icmp {
            kind: kind.into(),
            code: code.into(),
        })
    };
    let mut layer = Layer4::default();
    match transport {
        PacketTransport::Tcp {
            source_port,
            destination_port,
            flags,
        } => {
            layer.tcp = Some(Tcp {
                source_port: source_port.into(),
                destination_port: destination_port.into(),
                flags: flags.map(tcp_flags),
            });
        }
        PacketTransport::Udp { .. } => layer.udp = ports(),
        PacketTransport::Sctp { .. } => layer.sctp = ports(),
        PacketTransport::Icmpv4 { .. } => layer.icmpv4 = icmp(),
        PacketTransport::Icmpv6 { .. } => layer.icmpv6 = icmp(),
        PacketTransport::Other { .. } => return None,
    }
    Some(layer)
}

fn tcp_flags(flags: PacketFlags) -> TcpFlags {
    TcpFlags {
        fin: flags.fin(),
        syn: flags.syn(),
        rst: flags.rst(),
        psh: flags.psh(),
        ack: flags.ack(),
        urg: flags.urg(),
        ece: flags.ece(),
        cwr: flags.cwr(),
    }
}

fn summary(transport: PacketTransport) -> String {
    match transport {
        PacketTransport::Tcp { flags: None, .. } => "TCP".to_owned(),
        PacketTransport::Tcp {
            flags: Some(flags), ..
        } => format!("TCP Flags: {}", tell::flag_names(flags).join(", ")),
        PacketTransport::Udp { .. } => "UDP".to_owned(),
        PacketTransport::Sctp { .. } => "SCTP".to_owned(),
        PacketTransport::Icmpv4 { kind: 8, .. } => "ICMPv4 EchoRequest".to_owned(),
        PacketTransport::Icmpv6 { kind: 128, .. } => "ICMPv6 EchoRequest".to_owned(),
        PacketTransport::Icmpv4 { kind, code } => format!("ICMPv4 {kind}({code})"),
        PacketTransport::Icmpv6 { kind, code } => format!("ICMPv6 {kind}({code})"),
        PacketTransport::Other { protocol, fragment } => {
            let fragment = if fragment { " (fragment)" } else { "" };
            format!("IP protocol {protocol}{fragment}")
        }
    }
}

fn endpoint(end: &End, here: &Name) -> Endpoint {
    let reserved = |identity, name: &str| Endpoint {
        identity,
        labels: vec![format!("reserved:{name}")],
        ..Endpoint::default()
    };
    match &end.who {
        Who::Pod(pod) => Endpoint {
            namespace: pod.key.namespace.to_string(),
            pod_name: pod.key.name.to_string(),
            labels: limits::labels(&pod.labels)
                .shown
                .into_iter()
                .map(|(key, value)| match value {
                    // As Cilium writes it.
                    "" => format!("k8s:{key}"),
                    value => format!("k8s:{key}={value}"),
                })
                .collect(),
            workloads: pod
                .workload
                .iter()
                .map(|workload| Workload {
                    name: limits::name(workload.name()),
                    kind: limits::name(workload.kind()),
                })
                .collect(),
            ..Endpoint::default()
        },
        Who::Node(node) if node == here => reserved(HOST, "host"),
        Who::Node(_) => reserved(REMOTE_NODE, "remote-node"),
        Who::World if end.address.is_some() => reserved(WORLD, "world"),
        Who::Contested(_) | Who::World => Endpoint::default(),
    }
}
