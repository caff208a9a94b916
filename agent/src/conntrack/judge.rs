//! Whether this node's policies object to a connection that exists.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy_compiler::model::{Direction, NodeScope, ObjectKey, Pod, Protocol, Snapshot};
use policy_compiler::verdict::{Endpoint, Flow, Transport, judge_between};

use super::{Connection, Tuple};

/// What policies have against a connection. At least one side objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objection {
    /// The policies that isolate the source, if none of their rules allows it.
    pub egress: Vec<ObjectKey>,
    /// The policies that isolate the destination, if none of their rules allows it.
    pub ingress: Vec<ObjectKey>,
}

impl Objection {
    /// The policies of one side; none if it does not object.
    pub fn side(&self, direction: Direction) -> &[ObjectKey] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    /// The sides that object.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        let sides = [Direction::Egress, Direction::Ingress];
        sides
            .into_iter()
            .filter(|direction| !self.side(*direction).is_empty())
    }

    /// The policies of both sides.
    pub fn policies(&self) -> BTreeSet<&ObjectKey> {
        self.egress.iter().chain(&self.ingress).collect()
    }
}

/// What the policies of this node's pods have against a connection, judged as it was opened, after destination NAT.
///
/// `claimants` are the live pods that have an address. Each side is asked only if it is a pod of `scope`: for the other, the
/// agent of its own node answers. What a process of this node opened, with one of its `own` addresses, is allowed whatever
/// policies say (semantics rule G1), and no packet of it meets any of their rules.
pub fn objection<'a>(
    snapshot: &Snapshot,
    claimants: impl Fn(IpAddr) -> Vec<&'a Pod>,
    scope: &NodeScope,
    own: &BTreeSet<IpAddr>,
    connection: &Connection,
) -> Option<Objection> {
    let tuple = connection.judged();
    if own.contains(&tuple.source) {
        return None;
    }
    let source = claimants(tuple.source);
    let destination = claimants(tuple.destination);
    let is_ours = |pods: &[&Pod]| pods.iter().any(|pod| scope.is_local(pod));
    let (is_egress_ours, is_ingress_ours) = (is_ours(&source), is_ours(&destination));
    if !is_egress_ours && !is_ingress_ours {
        return None;
    }
    let flow = Flow {
        source: Endpoint::Address(tuple.source),
        destination: Endpoint::Address(tuple.destination),
        transport: transport(&tuple),
    };
    let verdict = judge_between(snapshot, &flow, &source, &destination, 0);
    let policies = |is_asked: bool, direction| {
        let denied_by = verdict.side(direction).denied_by();
        let asked = denied_by.iter().filter(|_| is_asked);
        asked.cloned().collect::<Vec<_>>()
    };
    let objection = Objection {
        egress: policies(is_egress_ours, Direction::Egress),
        ingress: policies(is_ingress_ours, Direction::Ingress),
    };
    (objection != Objection::default()).then_some(objection)
}

/// What policies can name of it.
fn transport(tuple: &Tuple) -> Transport {
    let protocol = match tuple.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        _ => return Transport::Other,
    };
    Transport::Port(protocol, tuple.destination_port)
}

#[cfg(test)]
mod tests;
