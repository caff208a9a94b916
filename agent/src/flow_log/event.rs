//! One line of the log, before it has a format.

use std::net::IpAddr;
use std::time::SystemTime;

use policy_compiler::model::{Direction, Labels, Name, ObjectKey, Workload};

use super::packet::PacketTransport;
use super::sighting::Extent;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Dropped packets of one flow (or of many that are not told apart).
    Flow(Box<FlowEvent>),
    /// Dropped packets that nothing more is known of.
    Lost(LostEvent),
}

/// Dropped packets, who sent them to whom, and why they were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// When the last of the packets was dropped.
    pub time: SystemTime,
    /// The node that dropped them.
    pub node: Name,
    /// Whose policies dropped them: the destination's for ingress, the source's for egress.
    pub direction: Direction,
    /// One packet, repeats, or a crowd of flows.
    pub extent: Extent,
    /// Who sent them.
    pub source: End,
    /// To whom.
    pub destination: End,
    /// Protocol and ports; of the last packet, where there are several. `None` if it could not be read.
    pub transport: Option<PacketTransport>,
    /// The interface of the node towards the pod whose policies dropped them.
    pub interface: Option<Interface>,
    /// Why.
    pub reason: Reason,
    /// What may help, in words for people: "the source is the address of node node-b: …".
    pub hints: Vec<Hint>,
    /// Packets of the same pod and direction, since the last line about them, that were dropped but not looked at: the
    /// kernel hands on only so many a second.
    pub suppressed: u64,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its address on the wire; `None` if the packet could not be read.
    pub address: Option<IpAddr>,
    /// Whose that was when the packet was dropped.
    pub who: Who,
}

/// Whose an address was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One pod's.
    Pod(Box<PodEnd>),
    /// Several live pods claimed it (semantics rule F9).
    Contested(Vec<ObjectKey>),
    /// A node's: its own processes, pods on its network, or what was masqueraded by it.
    Node(Name),
    /// Nobody's in the cluster.
    World,
}

/// A pod at the time of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEnd {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`; empty in manifests.
    pub uid: Box<str>,
    /// `metadata.labels`
    pub labels: Labels,
    /// What it belongs to: a Deployment, a `StatefulSet`…
    pub workload: Option<Workload>,
    /// `spec.nodeName`
    pub node: Option<Name>,
}

/// An interface of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name, if it still has one.
    pub name: Option<String>,
}

/// Why packets were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Policies isolate the pod and no rule of theirs allows the flow (semantics rule A4).
    NoRule {
        /// The policies that isolate the pod.
        isolating: Vec<ObjectKey>,
        /// Why each rule does not match, the nearest first, at most [`NEAR_MISSES`]:
        /// `shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443`.
        near_misses: Vec<String>,
        /// How many rules more there are.
        more: usize,
    },
    /// Several live pods claim the pod's address, and policies isolate one of them (semantics rule F9).
    Contested {
        /// The policies that isolate any of them.
        isolating: Vec<ObjectKey>,
    },
    /// Unicast to or from an IPv6 link-local address, which no policy can judge (decision L13).
    LinkLocal,
    /// It comes from or goes to an address of the node's pods for which there are no rules yet.
    NotProgrammed,
    /// An answer would not go back by the interface it came in by: the source is not its sender's.
    ForgedSource,
    /// It belongs to a connection that was cut, because no policy allows it any more.
    Cut,
    /// A connection that was allowed when it began was cut, because no policy allows it any more.
    Revoked {
        /// The policies that isolate the pod.
        isolating: Vec<ObjectKey>,
        /// What had changed: `NetworkPolicy shop/db changed`.
        causes: Vec<String>,
    },
    /// Policies, labels or addresses changed at about that time: what is known now does not forbid the flow, the rules
    /// then did.
    Changed,
    /// The rules in the kernel dropped it and the policies do not forbid it: a fault of netpol's, or somebody has edited
    /// the table. What the policies say of the flow, for the report.
    Mismatch {
        /// The verdict in words.
        verdict: String,
    },
    /// There is nothing to go by: the pod is not known (any more), or the packet could not be read.
    Unknown,
}

/// The most rules told in one line.
pub const NEAR_MISSES: usize = 8;

/// The [`Hint::code`] of packets that no rule is asked of, because a pod cannot have sent them.
pub const FORGED: &str = "forged";

/// Something that may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// A word for programs, such as `masqueraded`, `host-network-peer`, `named-port`, `dns-blocked`, `stray-packet`.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// Dropped packets that are not told of singly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvent {
    /// When that was noticed.
    pub time: SystemTime,
    /// The node that dropped them.
    pub node: Name,
    /// How many.
    pub count: u64,
    /// Where they got lost.
    pub at: LostAt,
}

/// Where events get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostAt {
    /// The kernel's buffer towards the agent overflowed.
    KernelBuffer,
    /// The agent could not keep up with explaining them.
    AgentQueue,
    /// Whoever takes the log does not keep up, or cannot be written to.
    Output,
    /// The kernel did not hand them on: so many packets of their pod were dropped before them.
    RateLimit,
    /// They are not packets but connections: so many were cut at once that no more of them are told singly.
    CutLimit,
}
