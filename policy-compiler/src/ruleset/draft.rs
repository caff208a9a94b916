//! A ruleset that remembers what changed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::changes::{Changes, SetChange};
use super::{Chain, Element, Elements, Ident, Ruleset, Set, Transaction, VerdictMap};

/// A [`Ruleset`] being edited, with the difference from when [`take_transaction`](Draft::take_transaction) was last
/// called. Edits that cancel each other leave no trace, so callers may retract and re-assert freely.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    ruleset: Ruleset,
    changes: Changes,
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
        self.changes.chains.entry(name.clone()).or_insert(old);
    }

    /// Removes a chain, if it is there.
    pub fn remove_chain(&mut self, name: &Ident) {
        if let Some(old) = self.ruleset.chains.remove(name) {
            self.changes.chains.entry(name.clone()).or_insert(Some(old));
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
        let change = self.changes.sets.entry(name.clone());
        change.or_insert_with(|| SetChange::new(existed))
    }

    /// Adds an empty map.
    pub fn add_map(&mut self, name: &Ident, map: VerdictMap) {
        self.changes.maps.entry(name.clone()).or_insert(false);
        self.ruleset.maps.insert(name.clone(), map);
    }

    /// Removes a map that has no entries left.
    pub fn remove_map(&mut self, name: &Ident) {
        if self.ruleset.maps.remove(name).is_some() {
            self.changes.maps.entry(name.clone()).or_insert(true);
        }
    }

    /// Sets or removes what a map holds for an address.
    pub fn set_entry(&mut self, map: &Ident, address: IpAddr, chain: Option<&Ident>) {
        let Some(entries) = self.ruleset.maps.get_mut(map).map(|m| &mut m.elements) else {
            return;
        };
        let old = match chain {
            Some(chain) => entries.insert(address, chain.clone()),
            None => entries.remove(&address),
        };
        if old.as_ref() != chain {
            self.changes
                .entries
                .entry((map.clone(), address))
                .or_insert(old);
        }
    }

    /// Edits until the ruleset equals `new`.
    pub(super) fn edit_into(&mut self, new: &Ruleset) {
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
                .for_each(|(address, chain)| self.set_entry(name, *address, Some(chain)));
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
                        elements: Elements::default(),
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

    /// All there is. What changed until now is forgotten without being written out.
    pub fn take_whole(&mut self) -> Ruleset {
        self.changes = Changes::default();
        self.ruleset.clone()
    }

    /// What changed since the last call, as commands in an order the kernel accepts: things are made before they are
    /// referred to, and removed after nothing refers to them.
    pub fn take_transaction(&mut self) -> Transaction {
        std::mem::take(&mut self.changes).into_transaction(&self.ruleset)
    }
}
