//! The ways to match a rule's ports.

use std::collections::BTreeSet;

use crate::model::{PortMatch, PortName, PortRange, Ports, Protocol};
use crate::ruleset::Match;

/// One way to match a rule's ports.
pub(super) enum PortTerm {
    Any,
    Numbers(Match),
    Named(Protocol, PortName),
}

impl PortTerm {
    /// How many ranges of ports it holds.
    pub(super) fn ranges(&self) -> usize {
        match self {
            Self::Numbers(Match::Port(_, ranges)) => ranges.len(),
            Self::Any | Self::Numbers(_) | Self::Named(..) => 1,
        }
    }
}

/// The ways to match `ports`: numbers of one protocol together, each name by itself (semantics rules B3, D1 to D13).
pub(super) fn port_terms(ports: &Ports) -> Vec<PortTerm> {
    let Ports::OneOf(items) = ports else {
        return vec![PortTerm::Any];
    };
    let mut terms = Vec::new();
    for protocol in Protocol::ALL {
        if items.contains(&PortMatch::All(protocol)) {
            terms.push(PortTerm::Numbers(Match::Protocol(protocol)));
            continue;
        }
        let ranges = items.iter().filter_map(|item| match item {
            PortMatch::Numbers(p, range) if *p == protocol => Some(*range),
            _ => None,
        });
        let ranges = merge(ranges.collect());
        if !ranges.is_empty() {
            terms.push(PortTerm::Numbers(Match::Port(protocol, ranges)));
        }
        let names: BTreeSet<&PortName> = items
            .iter()
            .filter_map(|item| match item {
                PortMatch::Named(p, name) if *p == protocol => Some(name),
                _ => None,
            })
            .collect();
        terms.extend(
            names
                .into_iter()
                .map(|name| PortTerm::Named(protocol, name.clone())),
        );
    }
    terms
}

/// Sorted, disjoint ranges of the same ports: nft refuses sets that overlap (semantics rule D13).
fn merge(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let joined = merged.last().and_then(|last| {
            let touches = u32::from(range.first()) <= u32::from(last.last()) + 1;
            touches
                .then(|| PortRange::new(last.first(), last.last().max(range.last())))
                .flatten()
        });
        match (joined, merged.last_mut()) {
            (Some(joined), Some(last)) => *last = joined,
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_merge() {
        let range = |a, b| PortRange::new(a, b).expect("valid");
        let merged = merge(vec![
            range(80, 80),
            range(443, 443),
            range(79, 81),
            range(82, 90),
            range(1, 65535),
        ]);
        assert_eq!(merged, [range(1, 65535)]);
        let merged = merge(vec![
            range(80, 80),
            range(443, 443),
            range(79, 81),
            range(82, 90),
            range(80, 80),
        ]);
        assert_eq!(merged, [range(79, 90), range(443, 443)]);
        assert_eq!(
            merge(vec![range(65535, 65535), range(65535, 65535)]),
            [range(65535, 65535)]
        );
    }
}
