//! The words that all formats share.

use std::time::SystemTime;

use policy_compiler::model::ObjectKey;

use crate::flow_log::event::{End, FORGED, FlowEvent, LostAt, Reason, Who};
use crate::flow_log::packet::{PacketTransport, TcpFlags};
use crate::flow_log::sighting::Extent;

use super::limits;

/// `no-rule`, …
pub(super) fn reason(reason: &Reason) -> &'static str {
    match reason {
        Reason::NoRule { .. } => "no-rule",
        Reason::Contested { .. } => "contested",
        Reason::LinkLocal => "link-local",
        Reason::NotProgrammed => "not-programmed",
        Reason::ForgedSource => "forged-source",
        Reason::Cut => "cut",
        Reason::Revoked { .. } => "revoked",
        Reason::Changed => "changed",
        Reason::Mismatch { .. } => "mismatch",
        Reason::Unknown => "unknown",
    }
}

/// The policies that isolate whoever was to be protected.
pub(super) fn isolating(reason: &Reason) -> &[ObjectKey] {
    match reason {
        Reason::NoRule { isolating, .. }
        | Reason::Contested { isolating }
        | Reason::Revoked { isolating, .. } => isolating,
        _ => &[],
    }
}

/// Why, in words: the rules that come nearest, or what else there is to say.
pub(super) fn why(event: &FlowEvent) -> String {
    let text = match &event.reason {
        Reason::NoRule {
            near_misses, more, ..
        } => {
            let near = limits::near_misses(near_misses);
            let more = near
                .more
                .saturating_add((*more).try_into().unwrap_or(u64::MAX));
            let mut rules = near.shown;
            if more > 0 {
                rules.push(format!("{more} more"));
            }
            if rules.is_empty() {
                if event.transport.is_none() {
                    return "the packet could not be read".to_owned();
                }
                if event.hints.iter().any(|hint| hint.code == FORGED) {
                    return "no rule is asked of a forged packet".to_owned();
                }
                return format!(
                    "the policies that isolate the pod have no {} rules",
                    event.direction
                );
            }
            return rules.join(" | ");
        }
        Reason::Contested { .. } => "several pods claim the address",
        Reason::LinkLocal => "no policy can allow link-local addresses",
        Reason::NotProgrammed => "pod not programmed yet",
        Reason::ForgedSource => "forged source",
        Reason::Cut => "connection cut",
        Reason::Revoked { causes, .. } => {
            return limits::sentence(&format!("cut by {}", causes.join(", ")));
        }
        Reason::Changed => "policies, labels or addresses had just changed",
        Reason::Mismatch { verdict } => {
            // It has a line for each side, indented and aligned.
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let lines: Vec<_> = verdict.lines().map(words).collect();
            let text = format!("the policies do not forbid it: {}", lines.join(" | "));
            return limits::sentence(&text);
        }
        Reason::Unknown => "the pod is not known any more, or the packet could not be read",
    };
    text.to_owned()
}

/// `pod`, `contested`, `node`, `world`, or `unknown` if there is not even an address.
pub(super) fn kind(end: &End) -> &'static str {
    match (&end.who, end.address) {
        (Who::Pod(_), _) => "pod",
        (Who::Contested(_), _) => "contested",
        (Who::Node(_), _) => "node",
        (Who::World, Some(_)) => "world",
        (Who::World, None) => "unknown",
    }
}

/// `shop/web`, `node:node-a`, `contested:shop/a,shop/b`, `world` or `unknown`: only pods have a slash and no colon.
pub(super) fn who(end: &End) -> String {
    match &end.who {
        Who::Pod(pod) => pod.key.to_string(),
        Who::Contested(pods) => format!("contested:{}", keys(&limits::claimants(pods))),
        Who::Node(node) => format!("node:{node}"),
        Who::World => kind(end).to_owned(),
    }
}

/// `shop/a,shop/b`, and `+3` if there are three more.
pub(super) fn keys(cut: &limits::Cut<&ObjectKey>) -> String {
    let mut texts: Vec<_> = cut.shown.iter().map(ToString::to_string).collect();
    if cut.more > 0 {
        texts.push(format!("+{}", cut.more));
    }
    texts.join(",")
}

/// As policies call it, or the number of one they cannot name.
pub(super) fn protocol(transport: PacketTransport) -> String {
    let name = match transport {
        PacketTransport::Tcp { .. } => "TCP",
        PacketTransport::Udp { .. } => "UDP",
        PacketTransport::Sctp { .. } => "SCTP",
        PacketTransport::Icmpv4 { .. } => "ICMPv4",
        PacketTransport::Icmpv6 { .. } => "ICMPv6",
        PacketTransport::Other { protocol, .. } => return protocol.to_string(),
    };
    name.to_owned()
}

/// `first`, how many packets, and since when.
pub(super) fn extent(extent: Extent) -> (&'static str, u64, Option<SystemTime>) {
    match extent {
        Extent::First => ("first", 1, None),
        Extent::Connection => ("connection", 0, None),
        Extent::Repeats { count, since } => ("repeats", count, Some(since)),
        Extent::Others { count, since } => ("others", count, Some(since)),
    }
}

/// `kernel-buffer`, …
pub(super) fn lost_at(at: LostAt) -> &'static str {
    match at {
        LostAt::KernelBuffer => "kernel-buffer",
        LostAt::AgentQueue => "agent-queue",
        LostAt::Output => "output",
        LostAt::RateLimit => "rate-limit",
        LostAt::CutLimit => "cut-limit",
    }
}

/// The number that IANA gave the protocol above IP.
pub(super) fn protocol_number(transport: PacketTransport) -> u8 {
    match transport {
        PacketTransport::Tcp { .. } => 6,
        PacketTransport::Udp { .. } => 17,
        PacketTransport::Sctp { .. } => 132,
        PacketTransport::Icmpv4 { .. } => 1,
        PacketTransport::Icmpv6 { .. } => 58,
        PacketTransport::Other { protocol, .. } => protocol,
    }
}

/// Source and destination port.
pub(super) fn ports(transport: PacketTransport) -> Option<(u16, u16)> {
    match transport {
        PacketTransport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | PacketTransport::Udp {
            source_port,
            destination_port,
        }
        | PacketTransport::Sctp {
            source_port,
            destination_port,
        } => Some((source_port, destination_port)),
        PacketTransport::Icmpv4 { .. }
        | PacketTransport::Icmpv6 { .. }
        | PacketTransport::Other { .. } => None,
    }
}

/// Type and code of ICMP.
pub(super) fn icmp(transport: PacketTransport) -> Option<(u8, u8)> {
    match transport {
        PacketTransport::Icmpv4 { kind, code } | PacketTransport::Icmpv6 { kind, code } => {
            Some((kind, code))
        }
        _ => None,
    }
}

/// Whether the packet is a later fragment.
pub(super) fn is_fragment(transport: PacketTransport) -> bool {
    matches!(transport, PacketTransport::Other { fragment: true, .. })
}

/// The flags of a TCP packet, if they could be read.
pub(super) fn tcp_flags(transport: PacketTransport) -> Option<TcpFlags> {
    match transport {
        PacketTransport::Tcp { flags, .. } => flags,
        _ => None,
    }
}

/// `SYN`, `ACK`, …, in the order in which Hubble tells them.
pub(super) fn flag_names(flags: TcpFlags) -> Vec<&'static str> {
    [
        (flags.syn(), "SYN"),
        (flags.ack(), "ACK"),
        (flags.rst(), "RST"),
        (flags.fin(), "FIN"),
        (flags.psh(), "PSH"),
        (flags.urg(), "URG"),
        (flags.ece(), "ECE"),
        (flags.cwr(), "CWR"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect()
}
