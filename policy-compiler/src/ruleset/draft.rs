//! A ruleset that remembers what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Chain, Element, Ident, Operation, Ruleset, Set, Transaction, VerdictMap};

/// A [`Ruleset`] being edited, with the difference from when [`take_transaction`](Draft::take_transaction) was last
/// called. Edits that cancel each other leave no trace, so callers may retract and re-assert freely.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    ruleset: Ruleset,
    /// Chains that were edited, as they were.
    chains: BTreeMap<Ident, Option<Chain>>,
    /// Sets that were edited.
    sets: BTreeMap<Ident, SetChange>,
    /// Maps that were made or removed: whether they were there.
    maps: BTreeMap<Ident, bool>,
    /// Map entries that were edited, as they were.
    entries: BTreeMap<(Ident, IpAddr), Option<Ident>>,
}

/// How a set differs from when changes were last taken.
#[derive(Clone, Debug)]
struct SetChange {
    existed: bool,
    /// Removed in between: what is there now owes nothing to what was there.
    emptied: bool,
    /// Elements that were edited: whether they were there.
    elements: BTreeMap<Element, bool>,
}

impl Draft {
    /// Starts from a ruleset that counts as committed.
    pub fn new(ruleset: Ruleset) -> Self {
        Self {
            ruleset,
            ..Self::default()
        }
    }

    /// The ruleset as it stands.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Adds or replaces a chain.
    pub fn put_chain(&mut self, name: &Ident, chain: Chain) {
        let old = self.ruleset.chains.insert(name.clone(), chain);
        self.chains.entry(name.clone()).or_insert(old);
    }

    /// Removes a chain, if it is there.
    pub fn remove_chain(&mut self, name: &Ident) {
        if let Some(old) = self.ruleset.chains.remove(name) {
            self.chains.entry(name.clone()).or_insert(Some(old));
        }
    }

    /// Adds a set that is not there yet.
    pub fn add_set(&mut self, name: &Ident, set: Set) {
        self.set_change(name);
        self.ruleset.sets.insert(name.clone(), set);
    }

    /// Removes a set, if it is there.
    pub fn remove_set(&mut self, name: &Ident) {
        if self.ruleset.sets.contains_key(name) {
            let change = self.set_change(name);
            change.emptied = true;
            change.elements.clear();
            self.ruleset.sets.remove(name);
        }
    }

    /// Puts an element into a set that is there.
    pub fn insert_element(&mut self, set: &Ident, element: Element) {
        if self
            .ruleset
            .sets
            .get_mut(set)
            .is_some_and(|s| s.elements.insert(element))
        {
            self.set_change(set)
                .elements
                .entry(element)
                .or_insert(false);
        }
    }

    /// Takes an element out of a set.
    pub fn remove_element(&mut self, set: &Ident, element: &Element) {
        if self
            .ruleset
            .sets
            .get_mut(set)
            .is_some_and(|s| s.elements.remove(element))
        {
            self.set_change(set)
                .elements
                .entry(*element)
                .or_insert(true);
        }
    }

    fn set_change(&mut self, name: &Ident) -> &mut SetChange {
        let existed = self.ruleset.sets.contains_key(name);
        self.sets.entry(name.clone()).or_insert_with(|| SetChange {
            existed,
            emptied: false,
            elements: BTreeMap::new(),
        })
    }

    /// Adds an empty map.
    pub fn add_map(&mut self, name: &Ident, map: VerdictMap) {
        self.maps.entry(name.clone()).or_insert(false);
        self.ruleset.maps.insert(name.clone(), map);
    }

    /// Removes a map that has no entries left.
    pub fn remove_map(&mut self, name: &Ident) {
        if self.ruleset.maps.remove(name).is_some() {
            self.maps.entry(name.clone()).or_insert(true);
        }
    }

    /// Sets or removes what a map holds for an address.
    pub fn set_entry(&mut self, map: &Ident, address: IpAddr, chain: Option<Ident>) {
        let Some(entries) = self.ruleset.maps.get_mut(map).map(|m| &mut m.elements) else {
            return;
        };
        let old = match &chain {
            Some(chain) => entries.insert(address, chain.clone()),
            None => entries.remove(&address),
        };
        if old != chain {
            self.entries.entry((map.clone(), address)).or_insert(old);
        }
    }

    /// Edits until the ruleset equals `new`.
    pub(super) fn become_(&mut self, new: &Ruleset) {
        for (name, map) in &new.maps {
            if !self.ruleset.maps.contains_key(name) {
                self.add_map(
                    name,
                    VerdictMap {
                        family: map.family,
                        elements: BTreeMap::new(),
                    },
                );
            }
            map.elements
                .iter()
                .for_each(|(address, chain)| self.set_entry(name, *address, Some(chain.clone())));
        }
        for (name, map) in self.ruleset.maps.clone() {
            let wanted = new.maps.get(&name).map(|m| &m.elements);
            for address in map
                .elements
                .keys()
                .filter(|a| wanted.is_none_or(|w| !w.contains_key(a)))
            {
                self.set_entry(&name, *address, None);
            }
            if wanted.is_none() {
                self.remove_map(&name);
            }
        }
        for (name, set) in &new.sets {
            if !self.ruleset.sets.contains_key(name) {
                self.add_set(
                    name,
                    Set {
                        elements: BTreeSet::new(),
                        ..set.clone()
                    },
                );
            }
            set.elements
                .iter()
                .for_each(|element| self.insert_element(name, *element));
        }
        for (name, set) in self.ruleset.sets.clone() {
            match new.sets.get(&name) {
                None => self.remove_set(&name),
                Some(wanted) => set
                    .elements
                    .difference(&wanted.elements)
                    .for_each(|e| self.remove_element(&name, e)),
            }
        }
        new.chains
            .iter()
            .for_each(|(name, chain)| self.put_chain(name, chain.clone()));
        let gone: Vec<Ident> = self
            .ruleset
            .chains
            .keys()
            .filter(|n| !new.chains.contains_key(*n))
            .cloned()
            .collect();
        gone.iter().for_each(|name| self.remove_chain(name));
    }

    /// What changed since the last call, as commands in an order the kernel accepts: things are made before they are
    /// referred to, and removed after nothing refers to them.
    pub fn take_transaction(&mut self) -> Transaction {
        let committed = Changes {
            chains: std::mem::take(&mut self.chains),
            sets: std::mem::take(&mut self.sets),
            maps: std::mem::take(&mut self.maps),
            entries: std::mem::take(&mut self.entries),
        };
        committed.into_transaction(&self.ruleset)
    }
}

/// What a [`Draft`] recorded.
struct Changes {
    chains: BTreeMap<Ident, Option<Chain>>,
    sets: BTreeMap<Ident, SetChange>,
    maps: BTreeMap<Ident, bool>,
    entries: BTreeMap<(Ident, IpAddr), Option<Ident>>,
}

impl Changes {
    fn into_transaction(self, now: &Ruleset) -> Transaction {
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
            (BTreeSet::new(), set.elements.clone())
        } else {
            let changed = |was: bool| {
                let edited = self
                    .elements
                    .iter()
                    .filter(move |(e, w)| **w == was && set.elements.contains(e) != was);
                edited.map(|(element, _)| *element).collect::<BTreeSet<_>>()
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
