//! Changes to the table that are committed together or not at all.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use super::text::{address_type, declaration, map_element, write_list};
use super::{Chain, Comment, Elements, Family, Hook, Ident, Rule, Ruleset, SetKey, TABLE};

/// A list of commands for one atomic commit. Its [`Display`] is a script for `nft -f -`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    operations: Vec<Operation>,
}

/// One command on table `inet netpol`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make the table if it is not there.
    AddTable,
    /// Remove the table with everything in it. An error if it is not there.
    DeleteTable,
    /// Put a whole ruleset into the (new) table.
    Load(Ruleset),
    /// Make a counter that has counted nothing.
    AddCounter(Ident),
    /// Make a set.
    AddSet(Ident, SetKey, Comment),
    /// Make a verdict map.
    AddMap(Ident, Family),
    /// Make a chain.
    AddChain(Ident, Option<Hook>),
    /// Remove all rules of a chain.
    FlushChain(Ident),
    /// Append a rule to a chain.
    AddRule(Ident, Rule),
    /// Remove all elements of a set.
    FlushSet(Ident),
    /// Take elements out of a set.
    DeleteElements(Ident, Elements),
    /// Put elements into a set.
    AddElements(Ident, Elements),
    /// Take entries out of a verdict map: address and the chain it went to.
    DeleteMapElements(Ident, Vec<(IpAddr, Ident)>),
    /// Put entries into a verdict map.
    AddMapElements(Ident, Vec<(IpAddr, Ident)>),
    /// Remove a chain that nothing refers to any more.
    DeleteChain(Ident),
    /// Remove a counter that nothing refers to any more, with what it has counted.
    DeleteCounter(Ident),
    /// Remove a set that nothing refers to any more.
    DeleteSet(Ident),
    /// Remove a verdict map that nothing refers to any more.
    DeleteMap(Ident),
}

impl Transaction {
    /// A transaction of the given commands.
    pub fn new(operations: Vec<Operation>) -> Self {
        Self { operations }
    }

    /// Replaces whatever the table holds. Packets meet either the old rules or the new ones, never none: the kernel
    /// switches at commit.
    pub fn replace(ruleset: &Ruleset) -> Self {
        Self::new(vec![
            Operation::AddTable,
            Operation::DeleteTable,
            Operation::Load(ruleset.clone()),
        ])
    }

    /// Removes the table, if it is there.
    pub fn remove() -> Self {
        Self::new(vec![Operation::AddTable, Operation::DeleteTable])
    }

    /// What turns table `old` into `new`.
    pub fn between(old: &Ruleset, new: &Ruleset) -> Self {
        let mut draft = super::Draft::new(old.clone());
        draft.edit_into(new);
        draft.take_transaction()
    }

    /// The commands in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl Chain {
    /// The commands that fill an empty chain `name` with these rules.
    pub(super) fn fill<'a>(&'a self, name: &'a Ident) -> impl Iterator<Item = Operation> + 'a {
        self.rules
            .iter()
            .map(|rule| Operation::AddRule(name.clone(), rule.clone()))
    }
}

impl Display for Transaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.operations
            .iter()
            .try_for_each(|operation| writeln!(f, "{operation}"))
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddTable => write!(f, "add table inet {TABLE}"),
            Self::DeleteTable => write!(f, "delete table inet {TABLE}"),
            Self::Load(ruleset) => write!(f, "{ruleset}"),
            Self::AddCounter(name) => write!(f, "add counter inet {TABLE} {name}"),
            Self::AddSet(name, key, comment) => {
                let declaration = declaration(*key).join("; ");
                write!(
                    f,
                    "add set inet {TABLE} {name} {{ {declaration}; comment \"{comment}\"; }}"
                )
            }
            Self::AddMap(name, family) => {
                write!(
                    f,
                    "add map inet {TABLE} {name} {{ type {} : verdict; }}",
                    address_type(*family)
                )
            }
            Self::AddChain(name, None) => write!(f, "add chain inet {TABLE} {name}"),
            Self::AddChain(name, Some(hook)) => {
                write!(f, "add chain inet {TABLE} {name} {{ {hook} }}")
            }
            Self::FlushChain(name) => write!(f, "flush chain inet {TABLE} {name}"),
            Self::AddRule(chain, rule) => write!(f, "add rule inet {TABLE} {chain} {rule}"),
            Self::FlushSet(name) => write!(f, "flush set inet {TABLE} {name}"),
            Self::DeleteElements(name, elements) => {
                write_elements(f, "delete", name, elements.iter())
            }
            Self::AddElements(name, elements) => write_elements(f, "add", name, elements.iter()),
            Self::DeleteMapElements(name, elements) => write_elements(
                f,
                "delete",
                name,
                elements
                    .iter()
                    .map(|(address, chain)| map_element(address, chain)),
            ),
            Self::AddMapElements(name, elements) => write_elements(
                f,
                "add",
                name,
                elements
                    .iter()
                    .map(|(address, chain)| map_element(address, chain)),
            ),
            Self::DeleteChain(name) => write!(f, "delete chain inet {TABLE} {name}"),
            Self::DeleteCounter(name) => write!(f, "delete counter inet {TABLE} {name}"),
            Self::DeleteSet(name) => write!(f, "delete set inet {TABLE} {name}"),
            Self::DeleteMap(name) => write!(f, "delete map inet {TABLE} {name}"),
        }
    }
}

fn write_elements<T: Display>(
    f: &mut Formatter<'_>,
    command: &str,
    set: &Ident,
    elements: impl Iterator<Item = T>,
) -> fmt::Result {
    write!(f, "{command} element inet {TABLE} {set} {{ ")?;
    write_list(f, elements, ", ")?;
    f.write_str(" }")
}
