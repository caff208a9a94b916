//! How much there is of what, without a look at each element: this is asked at every commit.

use std::ops::Bound;

use policy_compiler::ruleset::{Operation, Ruleset, Transaction};

use crate::telemetry::{Elements, TableSize};

/// The size of a table with so many counters.
pub(super) fn size(ruleset: &Ruleset, counters: usize) -> TableSize {
    let Ruleset { sets, maps, chains } = ruleset;
    TableSize {
        chains: chains.len(),
        rules: chains.values().map(|chain| chain.rules.len()).sum(),
        sets: sets.len(),
        maps: maps.len(),
        elements: elements_of(ruleset),
        counters,
    }
}

/// How many counters there are after a change of a table that had `before`.
pub(super) fn counters(change: &Transaction, before: usize) -> usize {
    change
        .operations()
        .iter()
        .fold(before, |count, operation| match operation {
            Operation::AddCounter(_) => count + 1,
            Operation::DeleteCounter(_) => count.saturating_sub(1),
            _ => count,
        })
}

/// The elements that a transaction moves.
pub(super) fn moved(transaction: &Transaction) -> Elements {
    let mut moved = Elements::default();
    for operation in transaction.operations() {
        match operation {
            Operation::Load(ruleset) => moved.added += elements_of(ruleset),
            Operation::AddElements(_, elements) => moved.added += elements.len(),
            Operation::AddMapElements(_, entries) => moved.added += entries.len(),
            Operation::DeleteElements(_, elements) => moved.deleted += elements.len(),
            Operation::DeleteMapElements(_, entries) => moved.deleted += entries.len(),
            _ => {}
        }
    }
    moved
}

fn elements_of(ruleset: &Ruleset) -> usize {
    let sets = ruleset.sets.values().map(|set| set.elements.len());
    let maps = ruleset.maps.values().map(|map| map.elements.len());
    sets.chain(maps).sum()
}

/// A pod that is isolated has a chain in each direction that it is isolated in. They stand side by side.
pub(super) fn isolated_pods(ruleset: &Ruleset) -> usize {
    const POD: &str = "pod/";
    let from_pods = (Bound::Included(POD), Bound::Unbounded);
    let mut pods: Vec<&str> = ruleset
        .chains
        .range::<str, _>(from_pods)
        .map_while(|(name, _)| name.as_str().strip_prefix(POD))
        .filter_map(|name| Some(name.rsplit_once('/')?.0))
        .collect();
    pods.dedup();
    pods.len()
}

#[cfg(test)]
mod tests {
    use policy_compiler::ruleset::{Chain, Ident};

    use super::*;

    #[test]
    fn pods_are_counted_once_whatever_they_are_called() {
        let names = [
            "forwarded-egress",
            "pod/a/b-x/egress",
            "pod/a/b.x/ingress",
            "pod/a/b/egress",
            "pod/a/b/ingress",
            "pod/a-b/b/ingress",
            "policy/a/b/ingress",
        ];
        let mut ruleset = Ruleset::default();
        let chains = names.map(|name| (Ident::fixed(name), Chain::default()));
        ruleset.chains.extend(chains);
        assert_eq!(isolated_pods(&ruleset), 4);
        assert_eq!(isolated_pods(&Ruleset::default()), 0);
    }
}
