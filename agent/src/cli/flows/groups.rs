//! Who is blocked by what: flows counted by workloads, port and policies, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use policy_compiler::model::Direction;

use super::words;
use crate::flow_log::reading::record::{End, FlowRecord, PolicyName, Transport, Verdict};

/// More groups are not kept.
pub(super) const MOST_GROUPS: usize = 10_000;
/// From so many addresses outside the cluster on, they are counted by network.
pub(super) const MOST_ADDRESSES: usize = 256;
/// Texts come from the log, where they may be of any length and number.
const LONGEST_TEXT: usize = 400;
const MOST_HINTS: usize = 3;
const MOST_POLICIES: usize = 16;

/// What flows have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) direction: Option<Direction>,
    pub(super) source: Peer,
    pub(super) destination: Peer,
    /// `None` if not known or not the same.
    pub(super) transport: Option<Transport>,
    pub(super) verdict: Verdict,
    pub(super) policies: Vec<PolicyName>,
    pub(super) policies_more: u64,
}

/// One end of the flows of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// `shop/Deployment/web`, `shop/web` for a pod on its own, `node node-a`
    Known(String),
    /// An address of nobody in the cluster.
    Outside(IpAddr),
    /// The network of many such addresses.
    Network(Network),
    /// Many different ends.
    Various,
}

/// A /24 or /64, ordered by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

/// What is told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) packets: u64,
    /// Lines that were the first of their flow.
    pub(super) flows: u64,
    pub(super) last: Option<Timestamp>,
    /// Of the last line that gives one.
    pub(super) reason: Option<String>,
    pub(super) hints: Vec<String>,
}

/// All flows so far.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: BTreeMap<Key, Group>,
    /// What found no lasting place among [`MOST_GROUPS`].
    pub(super) others: Group,
    outside: BTreeSet<IpAddr>,
    pub(super) by_network: bool,
}

impl Groups {
    pub(super) fn add(&mut self, flow: &FlowRecord) {
        let mut key = Key::new(flow);
        for peer in [&key.source, &key.destination] {
            if let Peer::Outside(address) = peer
                && !self.by_network
            {
                self.outside.insert(*address);
            }
        }
        if self.outside.len() > MOST_ADDRESSES {
            self.count_by_network();
        }
        if self.by_network {
            key = key.by_network();
        }
        let group = Group::new(flow);
        self.insert(key, group);
    }

    /// The groups, those with most packets first.
    pub(super) fn ranked(&self) -> Vec<(&Key, &Group)> {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_by_key(|(_, group)| Reverse(group.packets));
        all
    }

    fn insert(&mut self, key: Key, group: Group) {
        if let Some(same) = self.known.get_mut(&key) {
            same.merge(group);
            return;
        }
        if self.known.len() >= MOST_GROUPS {
            self.forget_half();
        }
        self.known.insert(key, group);
    }

    /// Makes room: the groups with fewest packets, and of those the oldest, are not told apart any more. Thus a few that
    /// matter are found among many that do not, whichever comes first.
    fn forget_half(&mut self) {
        let mut all: Vec<(Key, Group)> = std::mem::take(&mut self.known).into_iter().collect();
        all.sort_by_key(|(_, group)| Reverse((group.packets, group.last)));
        for (_, group) in all.split_off(MOST_GROUPS / 2) {
            self.others.merge(group);
        }
        self.known = all.into_iter().collect();
    }

    fn count_by_network(&mut self) {
        self.by_network = true;
        self.outside = BTreeSet::new();
        for (key, group) in std::mem::take(&mut self.known) {
            self.insert(key.by_network(), group);
        }
    }
}

impl Key {
    fn new(flow: &FlowRecord) -> Self {
        let (mut source, mut destination) = (Peer::of(&flow.source), Peer::of(&flow.destination));
        let mut transport = flow.transport;
        if flow.is_crowd() {
            // Only the pod whose policies were asked is the same for all of them.
            match flow.direction {
                Some(Direction::Egress) => destination = Peer::Various,
                _ => source = Peer::Various,
            }
            transport = None;
        }
        let policies = words::deciding(flow);
        let named = policies.len().min(MOST_POLICIES);
        Self {
            direction: flow.direction,
            source,
            destination,
            transport,
            verdict: flow.verdict,
            policies: policies[..named].to_vec(),
            policies_more: flow.denied_by_more + (policies.len() - named) as u64,
        }
    }

    fn by_network(self) -> Self {
        Self {
            source: self.source.by_network(),
            destination: self.destination.by_network(),
            ..self
        }
    }
}

impl Peer {
    fn of(end: &End) -> Self {
        let known = |text: String| Self::Known(shortened(&text));
        match (&end.workload, end.address) {
            _ if !end.claimants.is_empty() => known(words::end(end)),
            _ if end.node.as_ref().is_some_and(|node| !node.is_empty()) => {
                let without_address = End {
                    address: None,
                    ..end.clone()
                };
                known(words::end(&without_address))
            }
            (Some((kind, name)), _) => known(format!("{}/{kind}/{name}", end.namespace)),
            (None, Some(address)) if end.pod.is_empty() && end.node.is_none() => {
                Self::Outside(address)
            }
            _ => known(words::end(end)),
        }
    }

    fn by_network(self) -> Self {
        match self {
            Self::Outside(IpAddr::V4(address)) => {
                Self::Network(Network(IpAddr::V4((address.to_bits() & !0xff).into())))
            }
            Self::Outside(IpAddr::V6(address)) => {
                let upper = address.to_bits() >> 64 << 64;
                Self::Network(Network(IpAddr::V6(upper.into())))
            }
            other => other,
        }
    }
}

impl Group {
    fn new(flow: &FlowRecord) -> Self {
        Self {
            packets: flow.packets(),
            flows: u64::from(flow.is_first()),
            last: flow.time,
            reason: words::reason(flow).map(|text| shortened(&text)),
            hints: words::hints(flow)
                .take(MOST_HINTS)
                .map(|text| shortened(&text))
                .collect(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.flows += other.flows;
        if other.last >= self.last {
            self.last = other.last;
            self.reason = other.reason.or(self.reason.take());
        }
        for hint in other.hints {
            if self.hints.len() < MOST_HINTS && !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = if self.0.is_ipv4() { 24 } else { 64 };
        write!(f, "{}/{length}", self.0)
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
