//! Why a packet was dropped: what the evaluator says of it, held against the fact that it was dropped.

use policy_compiler::index::Compiler;
use policy_compiler::model::{Direction, Name, Pod, Protocol};
use policy_compiler::ruleset::DropOf;
use policy_compiler::verdict::{self, Endpoint, Flow, Side, Transport, Verdict};

use super::Ends;
use super::past::Past;
use crate::flow_log::event::{NEAR_MISSES, Reason};
use crate::flow_log::packet::{Packet, PacketTransport};
use crate::flow_log::sighting::Sighting;

pub(super) fn reason(
    sighting: &Sighting,
    ends: &Ends<'_>,
    verdict: Option<&Verdict>,
    compiler: &Compiler,
    past: &Past,
) -> Reason {
    let direction = sighting.point.direction;
    if let Some(reason) = without_policies(sighting.point.of) {
        return reason;
    }
    let (Some(packet), Some(verdict), [_, ..]) = (&sighting.packet, verdict, ends.of(direction))
    else {
        return without_rules(ends.of(direction), direction, compiler);
    };
    let addresses = [packet.source, packet.destination];
    let pods = ends.source.iter().chain(&ends.destination);
    let namespaces: Vec<&Name> = pods.map(|pod| &pod.key.namespace).collect();
    let is_settled = || !past.is_unsettled(sighting.time, &addresses, &namespaces);
    if let Some(pod) = ends.astray
        && is_settled()
    {
        return Reason::Mismatch {
            verdict: format!(
                "the rules of {} dropped it, which has none of its addresses",
                pod.key
            ),
        };
    }
    match verdict.side(direction) {
        Side::Denied {
            isolating,
            near_misses,
            more,
        } => Reason::NoRule {
            isolating: isolating.clone(),
            near_misses: near_misses.iter().map(ToString::to_string).collect(),
            more: *more,
        },
        Side::Contested { isolating } => Reason::Contested {
            isolating: isolating.clone(),
        },
        // What a pod sends to itself is not on the wire: whoever sent this can choose to, and it is no fault of netpol's.
        Side::Itself => without_rules(ends.of(direction), direction, compiler),
        _ if is_settled() => Reason::Mismatch {
            verdict: verdict.to_string(),
        },
        _ => Reason::Changed,
    }
}

/// Where no policy was asked, the place says it all.
fn without_policies(of: DropOf) -> Option<Reason> {
    match of {
        DropOf::LinkLocal => Some(Reason::LinkLocal),
        DropOf::NotProgrammed => Some(Reason::NotProgrammed),
        DropOf::ForgedSource => Some(Reason::ForgedSource),
        DropOf::Cut => Some(Reason::Cut),
        DropOf::Pod(_) | DropOf::Contested => None,
    }
}

/// Whose chain dropped it may be known where the packet is not, or no rule is asked of it.
fn without_rules(subject: &[&Pod], direction: Direction, compiler: &Compiler) -> Reason {
    let [pod] = subject else {
        return Reason::Unknown;
    };
    let policies = compiler.snapshot().policies_in(&pod.key.namespace);
    let isolating = policies
        .filter(|policy| policy.rules(direction).is_some())
        .filter(|policy| policy.subjects.matches(&pod.labels))
        .map(|policy| policy.key.clone())
        .collect();
    Reason::NoRule {
        isolating,
        near_misses: Vec::new(),
        more: 0,
    }
}

pub(super) fn judge(packet: &Packet, ends: &Ends<'_>, compiler: &Compiler) -> Verdict {
    let flow = Flow {
        source: Endpoint::Address(packet.source),
        destination: Endpoint::Address(packet.destination),
        transport: transport(packet.transport),
    };
    verdict::judge_between(
        compiler.snapshot(),
        &flow,
        &ends.source,
        &ends.destination,
        NEAR_MISSES,
    )
}

/// What policies see of it.
fn transport(transport: PacketTransport) -> Transport {
    match transport {
        PacketTransport::Tcp {
            destination_port, ..
        } => Transport::Port(Protocol::Tcp, destination_port),
        PacketTransport::Udp {
            destination_port, ..
        } => Transport::Port(Protocol::Udp, destination_port),
        PacketTransport::Sctp {
            destination_port, ..
        } => Transport::Port(Protocol::Sctp, destination_port),
        PacketTransport::Icmpv4 { .. }
        | PacketTransport::Icmpv6 { .. }
        | PacketTransport::Other { .. } => Transport::Other,
    }
}
