//! Which lines are wanted.

use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use policy_compiler::model::{Direction, IpBlock, Name};

use super::record::{End, FlowRecord, PolicyName, Record, Transport, Verdict};

/// All parts must match; a part that lists several values matches if one of them does, and an empty one always.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Either end is in one of these namespaces.
    pub namespaces: Vec<Name>,
    /// Either end is one of these pods.
    pub pods: Vec<ObjectName>,
    /// The source is one of these pods.
    pub from_pods: Vec<ObjectName>,
    /// The destination is one of these pods.
    pub to_pods: Vec<ObjectName>,
    /// Either end belongs to one of these.
    pub workloads: Vec<WorkloadName>,
    /// Either end has an address in one of these.
    pub blocks: Vec<IpBlock>,
    /// Protocol and destination port.
    pub ports: Vec<PortFilter>,
    /// Whose policies were asked.
    pub directions: Vec<Direction>,
    /// One of these did not let it pass, or let it pass.
    pub policies: Vec<ObjectName>,
    /// What became of it.
    pub verdicts: Vec<Verdict>,
    /// The node that saw it.
    pub nodes: Vec<Name>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// A pod or policy, in one namespace or in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// `None` for any.
    pub namespace: Option<Name>,
    /// Its name.
    pub name: Name,
}

/// A workload in any namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// `Deployment`; small and capital letters are the same.
    pub kind: String,
    /// Its name.
    pub name: Name,
}

/// A protocol, a port, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFilter {
    /// `None` for any.
    pub protocol: Option<ProtocolFilter>,
    /// `None` for any.
    pub number: Option<u16>,
}

/// A protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolFilter {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
    /// ICMP and ICMPv6
    Icmp,
}

impl Filter {
    /// Whether a line is wanted. What got lost is only asked for its node and time: it may have been anything else.
    pub fn matches(&self, record: &Record) -> bool {
        let of_either = any(&self.nodes, |node| is_node(node, record.node()))
            && self.since.is_none_or(|since| record.time() >= Some(since))
            && self
                .until
                .is_none_or(|until| record.time().is_some_and(|time| time < until));
        match record {
            Record::Flow(flow) => of_either && self.matches_flow(flow),
            Record::Lost(_) => of_either,
        }
    }

    fn matches_flow(&self, flow: &FlowRecord) -> bool {
        let either = |test: &dyn Fn(&End) -> bool| test(&flow.source) || test(&flow.destination);
        any(&self.namespaces, |name| either(&|end| end.is_in(name)))
            && any(&self.pods, |pod| either(&|end| pod.is_pod(end)))
            && any(&self.from_pods, |pod| pod.is_pod(&flow.source))
            && any(&self.to_pods, |pod| pod.is_pod(&flow.destination))
            && any(&self.workloads, |workload| either(&|end| workload.has(end)))
            && any(&self.blocks, |block| {
                let holds = |address: IpAddr| block.contains(address);
                either(&|end| end.address.is_some_and(holds))
            })
            && any(&self.ports, |port| {
                flow.transport
                    .is_some_and(|transport| port.matches(transport))
            })
            && any(&self.directions, |direction| {
                flow.direction == Some(*direction)
            })
            && any(&self.policies, |policy| {
                let mut all = flow.denied_by.iter().chain(&flow.allowed_by);
                all.any(|of_flow| policy.is_policy(of_flow))
            })
            && any(&self.verdicts, |verdict| *verdict == flow.verdict)
    }
}

/// Cilium writes `cluster/node`.
fn is_node(wanted: &Name, node: &str) -> bool {
    let name = node.rsplit_once('/').map_or(node, |(_, name)| name);
    wanted.as_str() == name
}

fn any<T>(wanted: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

impl End {
    fn is_in(&self, namespace: &Name) -> bool {
        let in_it = |key: &String| {
            key.split_once('/')
                .is_some_and(|(of, _)| of == namespace.as_str())
        };
        self.namespace == namespace.as_str() || self.claimants.iter().any(in_it)
    }
}

impl ObjectName {
    fn is(&self, namespace: &str, name: &str) -> bool {
        self.name.as_str() == name
            && self
                .namespace
                .as_ref()
                .is_none_or(|wanted| wanted.as_str() == namespace)
    }

    fn is_pod(&self, end: &End) -> bool {
        let claims = |key: &String| {
            key.split_once('/')
                .is_some_and(|(namespace, name)| self.is(namespace, name))
        };
        self.is(&end.namespace, &end.pod) || end.claimants.iter().any(claims)
    }

    fn is_policy(&self, policy: &PolicyName) -> bool {
        self.is(&policy.namespace, &policy.name)
    }
}

impl WorkloadName {
    fn has(&self, end: &End) -> bool {
        end.workload.as_ref().is_some_and(|(kind, name)| {
            self.kind.eq_ignore_ascii_case(kind) && self.name.as_str() == name
        })
    }
}

impl PortFilter {
    fn matches(self, transport: Transport) -> bool {
        let (protocol, number) = match transport {
            Transport::Tcp(port) => (ProtocolFilter::Tcp, Some(port)),
            Transport::Udp(port) => (ProtocolFilter::Udp, Some(port)),
            Transport::Sctp(port) => (ProtocolFilter::Sctp, Some(port)),
            Transport::Icmpv4(..) | Transport::Icmpv6(..) => (ProtocolFilter::Icmp, None),
            Transport::Other(_) => return false,
        };
        self.protocol.is_none_or(|wanted| wanted == protocol)
            && self.number.is_none_or(|wanted| Some(wanted) == number)
    }
}

#[cfg(test)]
mod tests;
