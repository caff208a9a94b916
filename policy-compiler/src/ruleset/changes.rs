//! What was edited, and the commands that carry it to the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Chain, Element, Elements, Ident, Operation, Ruleset, Set, Transaction};

/// How a set differs from when changes were last taken.
#[derive(Clone, Debug)]
pub(super) struct SetChange {
    existed: bool,
    /// Removed in between: what is there now owes nothing to what was there.
    pub(super) emptied: bool,
    /// Elements that were edited: whether they were there.
    pub(super) elements: BTreeMap<Element, bool>,
}

/// How a ruleset differs from when changes were last taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Chains that were edited, as they were.
    pub(super) chains: BTreeMap<Ident, Option<Chain>>,
    /// Sets that were edited.
    pub(super) sets: BTreeMap<Ident, SetChange>,
    /// Maps that were made or removed: whether they were there.
    pub(super) maps: BTreeMap<Ident, bool>,
    /// Map entries that were edited, as they were.
    pub(super) entries: BTreeMap<(Ident, IpAddr), Option<Ident>>,
}

impl Changes {
    pub(super) fn into_transaction(self, now: &Ruleset) -> Transaction {
        let (mut make, mut fill, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for (name, existed) in &self.maps {
            match (existed, now.maps.get(name)) {
                (false, Some(map)) => make.push(Operation::AddMap(name.clone(), map.family)),
                (true, None) => remove.push(Operation::DeleteMap(name.clone())),
                _ => {}
            }
        }
        for (name, change) in &self.sets {
            change.operations(name, now.sets.get(name), &mut make, &mut fill, &mut remove);
        }
        self.chain_operations(now, &mut make, &mut fill, &mut remove);
        self.entry_operations(now, &mut fill);
        let mut all = make;
        all.append(&mut fill);
        all.append(&mut remove);
        if !all.is_empty() {
            // After the table was deleted by somebody else the commands must fail on what they refer to, not here.
            all.insert(0, Operation::AddTable);
        }
        Transaction::new(all)
    }

    fn chain_operations(
        &self,
        now: &Ruleset,
        make: &mut Vec<Operation>,
        fill: &mut Vec<Operation>,
        remove: &mut Vec<Operation>,
    ) {
        let mut delete = Vec::new();
        self.counter_operations(now, make, remove);
        for (name, old) in &self.chains {
            let new = now.chains.get(name);
            match (old, new) {
                (None, Some(chain)) => {
                    make.push(Operation::AddChain(name.clone(), chain.hook));
                    fill.extend(chain.fill(name));
                }
                (Some(old), Some(chain)) if old != chain => {
                    fill.push(Operation::FlushChain(name.clone()));
                    fill.extend(chain.fill(name));
                }
                (Some(_), None) => {
                    // Rules go first: chains that are removed together may refer to one another.
                    fill.push(Operation::FlushChain(name.clone()));
                    delete.push(Operation::DeleteChain(name.clone()));
                }
                _ => {}
            }
        }
        delete.append(remove);
        *remove = delete;
    }

    /// A counter comes and goes with the chain that counts in it; what happens to the chain's rules in between leaves
    /// it alone.
    fn counter_operations(
        &self,
        now: &Ruleset,
        make: &mut Vec<Operation>,
        remove: &mut Vec<Operation>,
    ) {
        let edited = self.chains.iter();
        let before: BTreeSet<&Ident> = edited
            .clone()
            .filter_map(|(_, old)| old.as_ref())
            .flat_map(Chain::counters)
            .collect();
        let after: BTreeSet<&Ident> = edited
            .filter_map(|(name, _)| now.chains.get(name))
            .flat_map(Chain::counters)
            .collect();
        let fresh = after.difference(&before).copied().cloned();
        make.extend(fresh.map(Operation::AddCounter));
        let gone = before.difference(&after).copied().cloned();
        remove.extend(gone.map(Operation::DeleteCounter));
    }

    fn entry_operations(&self, now: &Ruleset, fill: &mut Vec<Operation>) {
        let mut deleted: BTreeMap<&Ident, Vec<(IpAddr, Ident)>> = BTreeMap::new();
        let mut added: BTreeMap<&Ident, Vec<(IpAddr, Ident)>> = BTreeMap::new();
        for ((map, address), old) in &self.entries {
            let new = now.maps.get(map).and_then(|m| m.elements.get(address));
            if old.as_ref() == new {
                continue;
            }
            if let Some(old) = old {
                deleted
                    .entry(map)
                    .or_default()
                    .push((*address, old.clone()));
            }
            if let Some(new) = new {
                added.entry(map).or_default().push((*address, new.clone()));
            }
        }
        fill.extend(
            deleted
                .into_iter()
                .map(|(map, e)| Operation::DeleteMapElements(map.clone(), e)),
        );
        fill.extend(
            added
                .into_iter()
                .map(|(map, e)| Operation::AddMapElements(map.clone(), e)),
        );
    }
}

impl SetChange {
    /// A set nothing was done to yet.
    pub(super) fn new(existed: bool) -> Self {
        Self {
            existed,
            emptied: false,
            elements: BTreeMap::new(),
        }
    }

    fn operations(
        &self,
        name: &Ident,
        now: Option<&Set>,
        make: &mut Vec<Operation>,
        fill: &mut Vec<Operation>,
        remove: &mut Vec<Operation>,
    ) {
        let Some(set) = now else {
            if self.existed {
                remove.push(Operation::DeleteSet(name.clone()));
            }
            return;
        };
        if !self.existed {
            make.push(Operation::AddSet(
                name.clone(),
                set.key,
                set.comment.clone(),
            ));
        }
        let (deleted, added) = if !self.existed || self.emptied {
            if self.existed {
                fill.push(Operation::FlushSet(name.clone()));
            }
            (Elements::default(), set.elements.clone())
        } else {
            let changed = |was: bool| {
                let edited = self
                    .elements
                    .iter()
                    .filter(move |(e, w)| **w == was && set.elements.contains(e) != was);
                edited.map(|(element, _)| *element).collect::<Elements>()
            };
            (changed(true), changed(false))
        };
        if !deleted.is_empty() {
            fill.push(Operation::DeleteElements(name.clone(), deleted));
        }
        if !added.is_empty() {
            fill.push(Operation::AddElements(name.clone(), added));
        }
    }
}
