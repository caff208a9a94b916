//! What may help whoever wonders about a drop: the usual causes, where the packet bears their marks.

use policy_compiler::model::Direction;
use policy_compiler::verdict::{NamedPortMiss, NearMiss, PortMiss, Side, Verdict};

use super::nodes::NodeAddresses;
use crate::flow_log::event::{End, FORGED, Hint, Who};
use crate::flow_log::packet::{Packet, PacketTransport};

const DNS: u16 = 53;

/// The hints for a packet that was dropped in `direction`.
pub(super) fn hints(
    direction: Direction,
    packet: &Packet,
    source: &End,
    destination: &End,
    verdict: Option<&Verdict>,
    nodes: &NodeAddresses,
) -> Vec<Hint> {
    let side = verdict.map(|verdict| verdict.side(direction));
    let other = verdict.map(|verdict| (verdict, opposite(direction)));
    [
        side.and_then(forged),
        stray_packet(packet),
        node_source(direction, source),
        range_source(direction, source, nodes),
        node_destination(direction, destination),
        side.and_then(undefined_port),
        dns_blocked(direction, packet),
        other.and_then(|(verdict, direction)| other_side(verdict, direction)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn hint(code: &'static str, text: String) -> Hint {
    Hint { code, text }
}

/// See decision L2: a pod's packets to itself are believed where a Service has sent them back.
fn forged(side: &Side) -> Option<Hint> {
    let text = "the packet goes from the pod to itself, and no Service of this node has sent it back: it was forged";
    (*side == Side::Itself).then(|| hint(FORGED, text.to_owned()))
}

/// Only the first packet of a TCP connection is a bare SYN; others are judged only if the connection is not tracked.
fn stray_packet(packet: &Packet) -> Option<Hint> {
    let PacketTransport::Tcp {
        flags: Some(flags), ..
    } = packet.transport
    else {
        return None;
    };
    let text = "not the first packet of a connection: that has been forgotten or was never seen here (a late packet, \
                an idle connection past its timeout, or the way back takes another path)";
    (!flags.syn() || flags.ack()).then(|| hint("stray-packet", text.to_owned()))
}

fn node_source(direction: Direction, source: &End) -> Option<Hint> {
    let (Direction::Ingress, Who::Node(node), Some(address)) =
        (direction, &source.who, source.address)
    else {
        return None;
    };
    let text = format!(
        "the source is node {node} ({address}): a process or hostNetwork pod there, or a client that was masqueraded \
         (a node port, a load balancer without externalTrafficPolicy Local); selectors never match these, only an \
         ipBlock does"
    );
    Some(hint("masqueraded", text))
}

/// The addresses of overlays and bridges are in nobody's status, but among those of the node's pods.
fn range_source(direction: Direction, source: &End, nodes: &NodeAddresses) -> Option<Hint> {
    let (Direction::Ingress, Who::World, Some(address)) = (direction, &source.who, source.address)
    else {
        return None;
    };
    let node = nodes.node_around(address)?;
    let text = format!(
        "{address} is no pod's but lies among the addresses of {node}'s pods: it may be that node's own on the overlay or \
         bridge, and the sender a process or hostNetwork pod there, or masqueraded; or a pod that has just gone or come"
    );
    Some(hint("node-range", text))
}

fn node_destination(direction: Direction, destination: &End) -> Option<Hint> {
    let (Direction::Egress, Who::Node(node), Some(address)) =
        (direction, &destination.who, destination.address)
    else {
        return None;
    };
    let text = format!(
        "the destination is node {node} ({address}): hostNetwork pods and processes of the node are matched by no \
         selector, only by an ipBlock"
    );
    Some(hint("host-network-peer", text))
}

fn undefined_port(side: &Side) -> Option<Hint> {
    let Side::Denied { near_misses, .. } = side else {
        return None;
    };
    // Where the peer does not match either, the name of the port is not what is in the way.
    let nearest = near_misses.iter().filter(|miss| miss.peers.is_empty());
    let undefined = nearest.flat_map(|miss: &NearMiss| &miss.ports).find_map(|miss| match miss {
        PortMiss::Named {
            protocol,
            name,
            miss: NamedPortMiss::NotDefined(pod),
        } => Some(format!(
            "no container of {pod} has a {protocol} port of the name {name}: the rule matches nothing there"
        )),
        _ => None,
    });
    undefined.map(|text| hint("named-port", text))
}

fn dns_blocked(direction: Direction, packet: &Packet) -> Option<Hint> {
    let (PacketTransport::Udp {
        destination_port, ..
    }
    | PacketTransport::Tcp {
        destination_port, ..
    }) = packet.transport
    else {
        return None;
    };
    let text = "the pod cannot look up names: an egress rule for UDP and TCP 53 to the cluster's DNS is needed";
    (direction == Direction::Egress && destination_port == DNS)
        .then(|| hint("dns-blocked", text.to_owned()))
}

/// Whoever opens this side should know that the other is closed too.
fn other_side(verdict: &Verdict, direction: Direction) -> Option<Hint> {
    let policies = verdict.side(direction).denied_by();
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    let text = format!(
        "{direction} of {} does not allow it either ({})",
        verdict.subject(direction),
        names.join(", ")
    );
    (!policies.is_empty()).then(|| hint("other-side", text))
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    }
}
