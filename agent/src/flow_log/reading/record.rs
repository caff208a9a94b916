//! What a line of the log says, in the types by which one filters and counts.

use std::net::IpAddr;

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use policy_compiler::model::Direction;

use crate::flow_log::format::hubble::{
    EndExtension, Endpoint, ExportEvent, Extensions, Flow, Layer4, Policy,
};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Packets of a flow.
    Flow(Box<FlowRecord>),
    /// Packets or events of which nothing more is known.
    Lost(LostRecord),
}

/// Packets of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// When the last of them was seen; `None` if the line does not say.
    pub time: Option<Timestamp>,
    /// The node that saw them.
    pub node: String,
    /// What became of them.
    pub verdict: Verdict,
    /// Whose policies were asked.
    pub direction: Option<Direction>,
    /// Who sent them.
    pub source: End,
    /// To whom.
    pub destination: End,
    /// Protocol and port; `None` if not known.
    pub transport: Option<Transport>,
    /// The policies that did not let them pass.
    pub denied_by: Vec<PolicyName>,
    /// How many such policies there are that the line does not name.
    pub denied_by_more: u64,
    /// The policies that let them pass.
    pub allowed_by: Vec<PolicyName>,
    /// What only netpol tells: the reason, hints, how many packets.
    pub extensions: Option<Box<Extensions>>,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Verdict {
    /// They were dropped
    Dropped,
    /// They were let through
    Forwarded,
    /// They were let through and would have been dropped if policies were enforced
    Audit,
    /// Something else, of Cilium's.
    #[value(skip)]
    Other,
}

/// One end of a flow. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its address on the wire.
    pub address: Option<IpAddr>,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// What the pod belongs to: kind and name.
    pub workload: Option<(String, String)>,
    /// Whether it is a node, and its name.
    pub node: Option<String>,
    /// The pods, `namespace/name`, that all claim the address; empty if at most one does.
    pub claimants: Vec<String>,
    /// How many more there are.
    pub claimants_more: u64,
}

/// The protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP, to this port.
    Tcp(u16),
    /// UDP, to this port.
    Udp(u16),
    /// SCTP, to this port.
    Sctp(u16),
    /// ICMP: type and code.
    Icmpv4(u8, u8),
    /// ICMPv6: type and code.
    Icmpv6(u8, u8),
    /// Another protocol, or a later fragment, by the IP protocol number.
    Other(u8),
}

/// A policy's namespace, empty if it is the cluster's, and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Packets or events of which nothing more is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecord {
    /// When that was noticed.
    pub time: Option<Timestamp>,
    /// The node that lost them.
    pub node: String,
    /// How many.
    pub count: u64,
    /// Where, in Hubble's words.
    pub at: String,
}

impl Record {
    /// Reads a line; `None` if it is not of a flow log.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let event: ExportEvent = serde_json::from_slice(json).ok()?;
        let time = |text: &str| text.parse::<Timestamp>().ok();
        if let Some(lost) = event.lost_events {
            return Some(Self::Lost(LostRecord {
                time: time(&event.time),
                node: event.node_name,
                count: lost.num_events_lost,
                at: lost.source,
            }));
        }
        let flow = event.flow?;
        Some(Self::Flow(Box::new(FlowRecord::new(
            time(&flow.time).or_else(|| time(&event.time)),
            event.node_name,
            *flow,
        ))))
    }

    /// When; `None` if the line does not say.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Flow(flow) => flow.time,
            Self::Lost(lost) => lost.time,
        }
    }

    /// The node that wrote it.
    pub fn node(&self) -> &str {
        match self {
            Self::Flow(flow) => &flow.node,
            Self::Lost(lost) => &lost.node,
        }
    }
}

impl FlowRecord {
    fn new(time: Option<Timestamp>, node: String, flow: Flow) -> Self {
        let extensions = flow.extensions;
        let (of_source, of_destination) = match extensions.as_deref() {
            Some(extensions) => (Some(&extensions.source), Some(&extensions.destination)),
            None => (None, None),
        };
        let ip = flow.ip.unwrap_or_default();
        let direction = match flow.traffic_direction.as_str() {
            "INGRESS" => Some(Direction::Ingress),
            "EGRESS" => Some(Direction::Egress),
            _ => None,
        };
        let names = |ingress: Vec<Policy>, egress: Vec<Policy>| {
            let all = ingress.into_iter().chain(egress);
            all.map(|policy| PolicyName {
                namespace: policy.namespace,
                name: policy.name,
            })
            .collect()
        };
        Self {
            time,
            node: if node.is_empty() {
                flow.node_name
            } else {
                node
            },
            verdict: match flow.verdict.as_str() {
                "DROPPED" => Verdict::Dropped,
                "FORWARDED" => Verdict::Forwarded,
                "AUDIT" => Verdict::Audit,
                _ => Verdict::Other,
            },
            direction,
            source: End::new(&ip.source, flow.source, of_source),
            destination: End::new(&ip.destination, flow.destination, of_destination),
            transport: transport(flow.l4).or_else(|| {
                let protocol = extensions.as_ref().and_then(|own| own.protocol)?;
                Some(Transport::Other(protocol))
            }),
            denied_by: names(flow.ingress_denied_by, flow.egress_denied_by),
            denied_by_more: extensions.as_ref().map_or(0, |own| own.denied_by_more),
            allowed_by: names(flow.ingress_allowed_by, flow.egress_allowed_by),
            extensions,
        }
    }

    /// How many packets the line stands for: none if it is about a connection that was cut. Other programs write a line for
    /// each.
    pub fn packets(&self) -> u64 {
        self.extensions.as_ref().map_or(1, |own| {
            if own.extent == "connection" {
                0
            } else {
                own.count.max(1)
            }
        })
    }

    /// Whether the line stands for packets of many flows, and its ends and port are only examples.
    pub fn is_crowd(&self) -> bool {
        self.extensions
            .as_ref()
            .is_some_and(|own| own.extent == "others")
    }

    /// Whether the line is the first of its flow.
    pub fn is_first(&self) -> bool {
        self.extensions
            .as_ref()
            .is_none_or(|own| !matches!(own.extent.as_str(), "repeats" | "others"))
    }
}

impl End {
    fn new(address: &str, end: Option<Endpoint>, extension: Option<&EndExtension>) -> Self {
        let end = end.unwrap_or_default();
        let reserved = |label: &str| end.labels.iter().any(|other| other == label);
        let is_node = match extension {
            Some(extension) => extension.kind == "node",
            None => reserved("reserved:host") || reserved("reserved:remote-node"),
        };
        let node = is_node.then(|| extension.map(|own| own.node.clone()).unwrap_or_default());
        let workload = end.workloads.into_iter().next();
        Self {
            address: address.parse().ok(),
            namespace: end.namespace,
            pod: end.pod_name,
            workload: workload.map(|workload| (workload.kind, workload.name)),
            node,
            claimants: extension
                .map(|own| own.claimants.clone())
                .unwrap_or_default(),
            claimants_more: extension.map_or(0, |own| own.claimants_more),
        }
    }
}

fn transport(layer: Option<Layer4>) -> Option<Transport> {
    let layer = layer?;
    let port = |number: u32| u16::try_from(number).unwrap_or(0);
    let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let tcp = layer
        .tcp
        .map(|tcp| Transport::Tcp(port(tcp.destination_port)));
    let udp = layer
        .udp
        .map(|udp| Transport::Udp(port(udp.destination_port)));
    let sctp = layer
        .sctp
        .map(|sctp| Transport::Sctp(port(sctp.destination_port)));
    let icmpv4 = layer
        .icmpv4
        .map(|icmp| Transport::Icmpv4(byte(icmp.kind), byte(icmp.code)));
    let icmpv6 = layer
        .icmpv6
        .map(|icmp| Transport::Icmpv6(byte(icmp.kind), byte(icmp.code)));
    tcp.or(udp).or(sctp).or(icmpv4).or(icmpv6)
}

#[cfg(test)]
mod tests;
