//! Whose connections a change of the table can concern.
//!
//! A connection is allowed by what the table holds of its two ends. So where a change of the table forbids one that was
//! allowed, it has touched what it holds of one of them: its entry, the chains that its entry leads to, or a set that has
//! it for an element. Nothing else has to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_compiler::ruleset::{Element, Elements, Ident, Operation, Ruleset, Transaction};

/// The sets that hold the addresses of all pods of the node that are programmed: what leaves them is nobody's.
const PROGRAMMED: [&str; 2] = ["programmed4", "programmed6"];

/// Whose connections may have become others' business by a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// Every connection that was allowed before and is not any more has one of these at an end.
    pub narrowed: BTreeSet<IpAddr>,
    /// Every connection that is allowed now and was not before has one of these at an end.
    pub widened: BTreeSet<IpAddr>,
    /// These are no pod's any more.
    pub gone: BTreeSet<IpAddr>,
    /// The table was written whole: every connection may be concerned.
    pub everything: bool,
}

impl Concerned {
    /// Whose a transaction concerns that made the table `after`.
    pub fn of(transaction: &Transaction, after: &Ruleset) -> Self {
        let mut concerned = Self::default();
        let mut touched = Touched::default();
        for operation in transaction.operations() {
            concerned.take(operation, &mut touched);
        }
        concerned.add_reaching(&touched, after);
        concerned
    }

    /// Everybody.
    pub fn everybody() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds those whom another change concerns.
    pub fn merge(&mut self, other: Self) {
        self.narrowed.extend(other.narrowed);
        self.widened.extend(other.widened);
        self.gone.extend(other.gone);
        self.everything |= other.everything;
    }

    fn take<'a>(&mut self, operation: &'a Operation, touched: &mut Touched<'a>) {
        match operation {
            Operation::AddMapElements(_, entries) => self.narrowed.extend(addresses(entries)),
            Operation::DeleteMapElements(_, entries) => self.widened.extend(addresses(entries)),
            Operation::DeleteElements(set, elements) if PROGRAMMED.contains(&set.as_str()) => {
                self.gone.extend(elements.iter().filter_map(address));
            }
            Operation::AddElements(set, _) if PROGRAMMED.contains(&set.as_str()) => {}
            Operation::DeleteElements(set, elements) => {
                add_elements(&mut self.narrowed, set, elements, touched);
            }
            Operation::AddElements(set, elements) => {
                add_elements(&mut self.widened, set, elements, touched);
            }
            Operation::FlushSet(set) => {
                touched.sets.insert(set);
            }
            Operation::AddChain(chain, _)
            | Operation::FlushChain(chain)
            | Operation::AddRule(chain, _)
            | Operation::DeleteChain(chain) => {
                touched.chains.insert(chain);
            }
            Operation::DeleteTable | Operation::Load(_) => self.everything = true,
            // What comes or goes with nothing in it changes nothing, and what refers to it is a command of its own.
            Operation::AddTable
            | Operation::AddCounter(_)
            | Operation::AddSet(..)
            | Operation::AddMap(..)
            | Operation::DeleteCounter(_)
            | Operation::DeleteSet(_)
            | Operation::DeleteMap(_) => {}
        }
    }

    /// Adds the addresses whose packets can reach something that was touched. Base chains are reached by everybody's: what
    /// changes in them is what is the same for all.
    fn add_reaching(&mut self, touched: &Touched<'_>, after: &Ruleset) {
        if touched.is_empty() {
            return;
        }
        let mut known = BTreeMap::new();
        for (address, chain) in after.maps.values().flat_map(|map| &map.elements) {
            if touched.is_reached(chain, after, &mut known) {
                self.narrowed.insert(*address);
                self.widened.insert(*address);
            }
        }
    }
}

/// What has been edited as a whole: whom that concerns follows from who gets there.
#[derive(Debug, Default)]
struct Touched<'a> {
    chains: BTreeSet<&'a Ident>,
    sets: BTreeSet<&'a Ident>,
}

impl Touched<'_> {
    fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.sets.is_empty()
    }

    /// Whether a packet in `chain` can get to something that was touched. Chains that several pods share are followed once.
    fn is_reached<'r>(
        &self,
        chain: &'r Ident,
        ruleset: &'r Ruleset,
        known: &mut BTreeMap<&'r Ident, bool>,
    ) -> bool {
        if let Some(known) = known.get(chain) {
            return *known;
        }
        // The table has no circles; one that had would end here.
        known.insert(chain, false);
        let is_reached = self.chains.contains(chain)
            || ruleset.chains.get(chain).is_some_and(|rules| {
                rules.sets().any(|set| self.sets.contains(set))
                    || rules
                        .targets()
                        .any(|target| self.is_reached(target, ruleset, known))
            });
        known.insert(chain, is_reached);
        is_reached
    }
}

fn addresses(entries: &[(IpAddr, Ident)]) -> impl Iterator<Item = IpAddr> {
    entries.iter().map(|(address, _)| *address)
}

fn address(element: &Element) -> Option<IpAddr> {
    match element {
        Element::Address(address) | Element::AddressPort(address, _) => Some(*address),
        Element::Range(..) => None,
    }
}

/// An address is an end of the connections that it is asked for. A range may be of many: those who ask for it are fewer.
fn add_elements<'a>(
    to: &mut BTreeSet<IpAddr>,
    set: &'a Ident,
    elements: &Elements,
    touched: &mut Touched<'a>,
) {
    for element in elements {
        let Some(address) = address(element) else {
            touched.sets.insert(set);
            return;
        };
        to.insert(address);
    }
}

#[cfg(test)]
mod tests;
