//! The table.

use std::collections::{BTreeMap, BTreeSet};

use super::{AddressMatch, Chain, Ident, Match, Set, Verdict, VerdictMap};
use crate::model::Pod;

/// The one table that is ours, of family `inet`. Nothing outside it is ever touched.
pub const TABLE: &str = "netpol";

/// Everything in table `inet netpol`. Counters are not held: those exist that a rule counts in
/// ([`counters`](Self::counters)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Named sets.
    pub sets: BTreeMap<Ident, Set>,
    /// Verdict maps.
    pub maps: BTreeMap<Ident, VerdictMap>,
    /// Chains.
    pub chains: BTreeMap<Ident, Chain>,
}

impl Ruleset {
    /// Whether the table holds nothing, as on a node none of whose pods is isolated.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.maps.is_empty() && self.chains.is_empty()
    }

    /// The named counters, in order.
    pub fn counters(&self) -> BTreeSet<&Ident> {
        self.chains.values().flat_map(Chain::counters).collect()
    }

    /// The part of the table that packets of `pod` can reach.
    #[must_use]
    pub fn only_pod(&self, pod: &Pod) -> Self {
        let own = pod.network_addresses();
        let mut part = Self {
            maps: self.maps.clone(),
            ..Self::default()
        };
        for map in part.maps.values_mut() {
            map.elements.retain(|address, _| own.contains(*address));
        }
        let mut waiting: Vec<&Ident> = self
            .chains
            .iter()
            .filter(|(_, chain)| chain.hook.is_some())
            .map(|(name, _)| name)
            .collect();
        let entered: Vec<Ident> = part
            .maps
            .values()
            .flat_map(|map| map.elements.values().cloned())
            .collect();
        waiting.extend(&entered);
        while let Some(name) = waiting.pop() {
            let Some(chain) = self.chains.get(name) else {
                continue;
            };
            if part.chains.insert(name.clone(), chain.clone()).is_none() {
                waiting.extend(chain.targets());
            }
        }
        let used: BTreeSet<&Ident> = part.chains.values().flat_map(Chain::sets).collect();
        part.sets = used
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.sets.get(name)?.clone())))
            .collect();
        part
    }
}

impl Chain {
    /// The chains that this one's rules jump or go to.
    pub fn targets(&self) -> impl Iterator<Item = &Ident> {
        self.rules.iter().filter_map(|rule| match &rule.verdict {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            Verdict::Accept
            | Verdict::Log(..)
            | Verdict::CountAndDrop(_)
            | Verdict::CountAndReset(_)
            | Verdict::SetCutLabel
            | Verdict::AddressMap(..) => None,
        })
    }

    /// The counters that this chain's rules count in, with repetitions.
    pub fn counters(&self) -> impl Iterator<Item = &Ident> {
        self.rules.iter().filter_map(|rule| match &rule.verdict {
            Verdict::CountAndDrop(counter) | Verdict::CountAndReset(counter) => Some(counter),
            _ => None,
        })
    }

    /// The sets that this chain's rules look things up in, with repetitions.
    pub fn sets(&self) -> impl Iterator<Item = &Ident> {
        self.rules
            .iter()
            .flat_map(|rule| &rule.matches)
            .filter_map(|condition| match condition {
                Match::Address(_, AddressMatch::Set(_, set) | AddressMatch::NotInSet(_, set))
                | Match::NamedPort(_, _, set) => Some(set),
                _ => None,
            })
    }
}
