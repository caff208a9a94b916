//! What stands in the cells, for people.

use policy_compiler::model::Direction;

use crate::flow_log::format::hubble::Extensions;
use crate::flow_log::reading::record::{
    End, FlowRecord, LostRecord, PolicyName, Transport, Verdict,
};
use crate::manifests::printable;

/// `ingress`, `egress` or `-`
pub(super) fn direction(direction: Option<Direction>) -> &'static str {
    direction.map_or("-", Direction::as_str)
}

/// `shop/web`, `node node-a (10.0.0.1)`, `192.0.2.7`
pub(super) fn end(end: &End) -> String {
    let address = end.address.map(|address| address.to_string());
    let text = match (&end.node, end.claimants.is_empty()) {
        (_, false) => format!("contested {}", address.as_deref().unwrap_or("address")),
        (Some(node), _) => match (node.as_str(), address) {
            ("", None) => "a node".to_owned(),
            ("", Some(address)) => format!("node {address}"),
            (node, None) => format!("node {node}"),
            (node, Some(address)) => format!("node {node} ({address})"),
        },
        _ if !end.pod.is_empty() => format!("{}/{}", end.namespace, end.pod),
        _ => address.unwrap_or_else(|| "-".to_owned()),
    };
    printable(&text)
}

/// `tcp/5432`, `icmp/8`, `icmpv6/1/4` with the code, `protocol/47`, `-`
pub(super) fn transport(transport: Option<Transport>) -> String {
    let icmp = |name, kind, code| match code {
        0 => format!("{name}/{kind}"),
        code => format!("{name}/{kind}/{code}"),
    };
    match transport {
        None => "-".to_owned(),
        Some(Transport::Tcp(port)) => format!("tcp/{port}"),
        Some(Transport::Udp(port)) => format!("udp/{port}"),
        Some(Transport::Sctp(port)) => format!("sctp/{port}"),
        Some(Transport::Icmpv4(kind, code)) => icmp("icmp", kind, code),
        Some(Transport::Icmpv6(kind, code)) => icmp("icmpv6", kind, code),
        Some(Transport::Other(protocol)) => format!("protocol/{protocol}"),
    }
}

/// What became of it, where that is not the usual drop, and which policies did it: `shop/db, shop/all`.
pub(super) fn policies(verdict: Verdict, names: &[PolicyName], more: u64) -> String {
    let mut names: Vec<String> = names
        .iter()
        .map(|policy| match policy.namespace.as_str() {
            "" => policy.name.clone(),
            namespace => format!("{namespace}/{}", policy.name),
        })
        .collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let names = names.join(", ");
    printable(&match (verdict, names.as_str()) {
        (Verdict::Dropped, "") => "-".to_owned(),
        (Verdict::Dropped, _) => names,
        (Verdict::Forwarded, "") => "forwarded".to_owned(),
        (Verdict::Forwarded, _) => format!("forwarded by {names}"),
        (Verdict::Audit, "") => "audit".to_owned(),
        (Verdict::Audit, _) => format!("audit: {names}"),
        (Verdict::Other, _) => "other verdict".to_owned(),
    })
}

/// The policies that decided.
pub(super) fn deciding(flow: &FlowRecord) -> &[PolicyName] {
    if flow.verdict == Verdict::Forwarded {
        &flow.allowed_by
    } else {
        &flow.denied_by
    }
}

/// Why, in one line: the rule that came nearest, or what else is the matter.
pub(super) fn reason(flow: &FlowRecord) -> Option<String> {
    let own = flow.extensions.as_deref()?;
    let text = match own.reason.as_str() {
        "no-rule" => no_rule(flow, own),
        "contested" => {
            let ends = [&flow.source, &flow.destination];
            let of = ends.into_iter().find(|end| !end.claimants.is_empty());
            let claimants = of.map_or_else(|| "several pods".to_owned(), claimants);
            format!("the address is claimed by {claimants}, and policies isolate one of them")
        }
        "link-local" => "no policy can judge link-local addresses".to_owned(),
        "not-programmed" => {
            let end = match flow.direction {
                Some(Direction::Ingress) => "destination",
                _ => "source",
            };
            format!(
                "the rules of the pod with the {end}'s address were not in the kernel yet, or there is no such pod"
            )
        }
        "forged-source" => {
            "the source is not the sender's: an answer would not go back where this came from"
                .to_owned()
        }
        "cut" => "the connection was cut: no policy allows it any more".to_owned(),
        "revoked" => format!(
            "the connection was cut by {}: no policy allows it any more",
            own.causes.join(", ")
        ),
        "changed" => {
            "policies, labels or addresses changed at about that time; now this is not forbidden"
                .to_owned()
        }
        "mismatch" => {
            // Perhaps a line for each side, indented and aligned.
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let lines: Vec<String> = own.verdict.lines().map(words).collect();
            let verdict = lines.join(" | ");
            format!(
                "the rules in the kernel and the policies disagree, please report this: {verdict}"
            )
        }
        "unknown" => {
            "why is not known: the pod is gone, or the packet could not be read".to_owned()
        }
        _ => return None,
    };
    Some(printable(&text))
}

fn claimants(end: &End) -> String {
    let mut names = end.claimants.clone();
    if end.claimants_more > 0 {
        names.push(format!("{} more", end.claimants_more));
    }
    names.join(", ")
}

fn no_rule(flow: &FlowRecord, own: &Extensions) -> String {
    let Some(nearest) = own.near_misses.first() else {
        return match (flow.transport, flow.direction) {
            (None, _) => "the packet could not be read".to_owned(),
            (_, None) => "the policies that isolate the pod have no rules".to_owned(),
            (_, Some(direction)) => {
                format!("the policies that isolate the pod have no {direction} rules")
            }
        };
    };
    match own.near_misses.len() as u64 - 1 + own.near_misses_more {
        0 => nearest.clone(),
        1 => format!("{nearest} (and 1 rule further off)"),
        more => format!("{nearest} (and {more} rules further off)"),
    }
}

/// Sentences that may help.
pub(super) fn hints(flow: &FlowRecord) -> impl Iterator<Item = String> {
    let own = flow.extensions.as_deref();
    own.into_iter()
        .flat_map(|own| &own.hints)
        .map(|hint| printable(&hint.text))
}

/// `lost on node-a: 12 events, because …`
pub(super) fn lost(lost: &LostRecord) -> String {
    printable(&format!(
        "lost on {}: {}, {}",
        if lost.node.is_empty() {
            "a node"
        } else {
            &lost.node
        },
        count(lost.count, "event"),
        lost_at(&lost.at)
    ))
}

/// Where events got lost, of Hubble's word for it.
pub(super) fn lost_at(at: &str) -> &str {
    match at {
        "PERF_EVENT_RING_BUFFER" => "the kernel's buffer was full",
        "OBSERVER_EVENTS_QUEUE" => "the agent could not keep up",
        "HUBBLE_RING_BUFFER" => "the output could not keep up",
        // Packets that the kernel suppressed, or connections that were cut: Hubble has no word for either.
        "UNKNOWN_LOST_EVENT_SOURCE" => "they were more than are told one by one",
        other => other,
    }
}

/// `1 flow`, `2 flows`
pub(super) fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
