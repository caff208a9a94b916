//! The messages of `flow.proto` and `observer.proto`. What is empty or zero is not written, as protobuf does it.

use serde::{Deserialize, Serialize};

use super::extensions::{self, Extensions};
use super::lenient::{self, is_default};

/// One line: `flow` or `lost_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportEvent {
    /// A flow.
    #[serde(skip_serializing_if = "is_default")]
    pub flow: Option<Box<Flow>>,
    /// Or events that got lost.
    #[serde(skip_serializing_if = "is_default")]
    pub lost_events: Option<LostEvents>,
    /// The node.
    #[serde(skip_serializing_if = "is_default")]
    pub node_name: String,
    /// RFC 3339 in UTC with nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub time: String,
}

/// `flow.Flow`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// RFC 3339 in UTC with nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub time: String,
    /// Names the line.
    #[serde(skip_serializing_if = "is_default")]
    pub uuid: String,
    /// `FORWARDED`, `DROPPED`, `AUDIT`, …
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub verdict: String,
    /// The number of `drop_reason_desc`; deprecated, and read by older programs.
    #[serde(skip_serializing_if = "is_default")]
    pub drop_reason: u32,
    /// `POLICY_DENIED`, …
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub drop_reason_desc: String,
    /// Addresses.
    #[serde(rename = "IP", skip_serializing_if = "is_default")]
    pub ip: Option<Ip>,
    /// Protocol and ports.
    #[serde(skip_serializing_if = "is_default")]
    pub l4: Option<Layer4>,
    /// Who sent it.
    #[serde(skip_serializing_if = "is_default")]
    pub source: Option<Endpoint>,
    /// To whom.
    #[serde(skip_serializing_if = "is_default")]
    pub destination: Option<Endpoint>,
    /// `L3_L4`, `L7`, …
    #[serde(
        rename = "Type",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub flow_type: String,
    /// The node.
    #[serde(skip_serializing_if = "is_default")]
    pub node_name: String,
    /// What kind of event of Cilium's this is.
    #[serde(skip_serializing_if = "is_default")]
    pub event_type: Option<EventType>,
    /// `INGRESS` or `EGRESS`
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub traffic_direction: String,
    /// Whether it is an answer; missing if that is not known.
    #[serde(skip_serializing_if = "is_default")]
    pub is_reply: Option<bool>,
    /// The interface it was seen at.
    #[serde(skip_serializing_if = "is_default")]
    pub interface: Option<NetworkInterface>,
    /// The policies that let it out.
    #[serde(skip_serializing_if = "is_default")]
    pub egress_allowed_by: Vec<Policy>,
    /// The policies that let it in.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress_allowed_by: Vec<Policy>,
    /// The policies that did not let it out.
    #[serde(skip_serializing_if = "is_default")]
    pub egress_denied_by: Vec<Policy>,
    /// The policies that did not let it in.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress_denied_by: Vec<Policy>,
    /// A few words on the packet: `TCP Flags: SYN`.
    #[serde(rename = "Summary", skip_serializing_if = "is_default")]
    pub summary: String,
    /// What only netpol tells; `None` if that is missing or another program's.
    #[serde(with = "extensions::any", skip_serializing_if = "is_default")]
    pub extensions: Option<Box<Extensions>>,
}

/// `flow.IP`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ip {
    /// Source address.
    #[serde(skip_serializing_if = "is_default")]
    pub source: String,
    /// Destination address.
    #[serde(skip_serializing_if = "is_default")]
    pub destination: String,
    /// `IPv4` or `IPv6`
    #[serde(
        rename = "ipVersion",
        deserialize_with = "lenient::text",
        skip_serializing_if = "is_default"
    )]
    pub version: String,
}

/// `flow.Layer4`: one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layer4 {
    /// TCP.
    #[serde(rename = "TCP", skip_serializing_if = "is_default")]
    pub tcp: Option<Tcp>,
    /// UDP.
    #[serde(rename = "UDP", skip_serializing_if = "is_default")]
    pub udp: Option<Ports>,
    /// SCTP.
    #[serde(rename = "SCTP", skip_serializing_if = "is_default")]
    pub sctp: Option<Ports>,
    /// ICMP.
    #[serde(rename = "ICMPv4", skip_serializing_if = "is_default")]
    pub icmpv4: Option<Icmp>,
    /// ICMPv6.
    #[serde(rename = "ICMPv6", skip_serializing_if = "is_default")]
    pub icmpv6: Option<Icmp>,
}

/// `flow.TCP`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tcp {
    /// Source port.
    #[serde(skip_serializing_if = "is_default")]
    pub source_port: u32,
    /// Destination port.
    #[serde(skip_serializing_if = "is_default")]
    pub destination_port: u32,
    /// Flags.
    #[serde(skip_serializing_if = "is_default")]
    pub flags: Option<TcpFlags>,
}

/// `flow.TCPFlags`
#[expect(missing_docs, reason = "the names are TCP's")]
#[expect(clippy::struct_excessive_bools, reason = "so is TCP's header")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
pub struct TcpFlags {
    #[serde(skip_serializing_if = "is_default")]
    pub fin: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub syn: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub rst: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub psh: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub ack: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub urg: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub ece: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub cwr: bool,
}

/// `flow.UDP` and `flow.SCTP`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    /// Source port.
    #[serde(skip_serializing_if = "is_default")]
    pub source_port: u32,
    /// Destination port.
    #[serde(skip_serializing_if = "is_default")]
    pub destination_port: u32,
}

/// `flow.ICMPv4` and `flow.ICMPv6`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Icmp {
    /// Type.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: u32,
    /// Code.
    #[serde(skip_serializing_if = "is_default")]
    pub code: u32,
}

/// `flow.Endpoint`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Cilium's number of the endpoint; 0 if it has none.
    #[serde(rename = "ID", skip_serializing_if = "is_default")]
    pub id: u32,
    /// Cilium's security identity; 0 if it has none, as all pods where there is no Cilium.
    #[serde(skip_serializing_if = "is_default")]
    pub identity: u32,
    /// The cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_name: String,
    /// The pod's namespace.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace: String,
    /// `k8s:app=web`, `reserved:world`, …
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Vec<String>,
    /// The pod's name.
    #[serde(skip_serializing_if = "is_default")]
    pub pod_name: String,
    /// What the pod belongs to.
    #[serde(skip_serializing_if = "is_default")]
    pub workloads: Vec<Workload>,
}

/// `flow.Workload`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// `Deployment`, …
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
}

/// `flow.CiliumEventType`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventType {
    /// 1 is a drop, 4 a trace, 5 a policy's verdict.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: i32,
    /// Its meaning depends on the type.
    #[serde(skip_serializing_if = "is_default")]
    pub sub_type: i32,
}

/// `flow.NetworkInterface`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkInterface {
    /// Its index.
    #[serde(skip_serializing_if = "is_default")]
    pub index: u32,
    /// Its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
}

/// `flow.Policy`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace: String,
    /// `NetworkPolicy`, `CiliumNetworkPolicy`, …
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
}

/// `flow.LostEvent`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostEvents {
    /// `PERF_EVENT_RING_BUFFER`, `OBSERVER_EVENTS_QUEUE` or `HUBBLE_RING_BUFFER`
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "is_default")]
    pub source: String,
    /// How many.
    #[serde(
        deserialize_with = "lenient::count",
        serialize_with = "lenient::write_count",
        skip_serializing_if = "is_default"
    )]
    pub num_events_lost: u64,
}
