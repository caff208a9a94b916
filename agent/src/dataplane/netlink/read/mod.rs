//! The table as the kernel holds it, and what differs from what it should hold.
//!
//! The table bears no mark of the layout that made it. All of it is compared with what is wanted, so whatever an older
//! layout, or anybody else, has left is repaired or replaced in one transaction. A mark could only be wrong about that.

mod chains;
mod compare;
mod differences;
mod elements;
mod found;
mod sets;

use std::collections::{BTreeMap, BTreeSet};

use policy_compiler::ruleset::TABLE;

use super::NetlinkError;
use super::numbers::{
    COUNTER, ELEMENTS, GET_CHAINS, GET_ELEMENTS, GET_FLOW_TABLES, GET_OBJECTS, GET_RULES, GET_SETS,
    IN_TABLE, NAME, NEW_CHAIN, NEW_ELEMENTS, NEW_FLOW_TABLE, NEW_OBJECT, NEW_RULE, NEW_SET,
    OBJECT_TYPE,
};
use super::transport::Transport;
use crate::netlink::{Attribute, Attributes, Dumped, Writer};
use elements::FoundElement;
use found::{FoundChain, FoundRule, FoundSet};

pub(super) use compare::compare;

/// How often a table is read that changes meanwhile. Changes of other tables count, too.
const ATTEMPTS: u32 = 20;

/// Everything in the table.
#[derive(Debug, Default)]
pub(super) struct Image {
    flags: u32,
    /// Another process has it for itself.
    owner: Option<u32>,
    /// There is a comment.
    has_userdata: bool,
    chains: BTreeMap<String, FoundChain>,
    /// Sets and maps, those without a name of their own too.
    sets: BTreeMap<String, FoundSet>,
    counters: BTreeSet<String>,
    /// What cannot be told in the terms of a [`Ruleset`](policy_compiler::ruleset::Ruleset).
    foreign: Vec<String>,
}

/// Reads the table as it is at one moment, if it is there.
pub(super) fn image(transport: &mut Transport) -> Result<Option<Image>, NetlinkError> {
    for _ in 0..ATTEMPTS {
        let before = transport.generation()?;
        let Some(mut image) = transport.table(Image::of_table)? else {
            return Ok(None);
        };
        let dumped = image.fill(transport)?;
        // A dump that is whole may still be of another moment than the one before it.
        if dumped == Dumped::Whole && before == transport.generation()? {
            return Ok(Some(image));
        }
    }
    let attempts = ATTEMPTS;
    Err(NetlinkError::Restless { attempts })
}

impl Image {
    fn of_table(attributes: Attributes<'_>) -> Self {
        let mut image = Self::default();
        for attribute in attributes {
            match attribute.kind {
                2 => image.flags = attribute.number(),
                6 => image.has_userdata = true,
                7 => image.owner = Some(attribute.number()),
                _ => {}
            }
        }
        image
    }

    fn fill(&mut self, transport: &mut Transport) -> Result<Dumped, NetlinkError> {
        let kinds = [
            (GET_CHAINS, NEW_CHAIN, Self::take_chain as Take),
            (GET_RULES, NEW_RULE, Self::take_rule),
            (GET_SETS, NEW_SET, Self::take_set),
            (GET_OBJECTS, NEW_OBJECT, Self::take_object),
            (GET_FLOW_TABLES, NEW_FLOW_TABLE, Self::take_flow_table),
        ];
        for (message, told, take) in kinds {
            let dumped = transport.dump(
                message,
                told,
                |w| w.text(IN_TABLE, TABLE),
                // Not every kernel leaves out the other tables.
                |attributes| {
                    let mut tables = attributes.clone().filter(|a| a.kind == IN_TABLE);
                    if tables.next().is_some_and(|a| a.text() == Some(TABLE)) {
                        take(self, attributes);
                    }
                },
            )?;
            if dumped == Dumped::Torn {
                return Ok(Dumped::Torn);
            }
        }
        for (name, set) in &mut self.sets {
            let request = |w: &mut Writer| {
                w.text(IN_TABLE, TABLE);
                w.text(NAME, name);
            };
            let dumped = transport.dump(GET_ELEMENTS, NEW_ELEMENTS, request, |attributes| {
                let lists = attributes.filter(|attribute| attribute.kind == ELEMENTS);
                let items = lists.flat_map(|list| Attributes(list.value));
                set.elements
                    .extend(items.map(|item| FoundElement::read(Attributes(item.value))));
            })?;
            if dumped == Dumped::Torn {
                return Ok(Dumped::Torn);
            }
        }
        Ok(Dumped::Whole)
    }

    fn take_chain(&mut self, attributes: Attributes<'_>) {
        match FoundChain::read(attributes) {
            Some((name, chain)) => {
                self.chains.insert(name, chain);
            }
            None => self.foreign.push("a chain without a name".to_owned()),
        }
    }

    fn take_rule(&mut self, attributes: Attributes<'_>) {
        let (chain, rule) = FoundRule::read(attributes);
        match self.chains.get_mut(&chain) {
            Some(chain) => chain.rules.push(rule),
            None => self
                .foreign
                .push(format!("a rule of chain {chain}, which is not there")),
        }
    }

    fn take_set(&mut self, attributes: Attributes<'_>) {
        match FoundSet::read(attributes) {
            Some((name, set)) => {
                self.sets.insert(name, set);
            }
            None => self.foreign.push("a set without a name".to_owned()),
        }
    }

    fn take_object(&mut self, attributes: Attributes<'_>) {
        let (mut name, mut kind) = (None, 0);
        for attribute in attributes {
            match attribute.kind {
                NAME => name = attribute.text().map(ToOwned::to_owned),
                OBJECT_TYPE => kind = attribute.number(),
                _ => {}
            }
        }
        match name {
            Some(name) if kind == COUNTER => {
                self.counters.insert(name);
            }
            name => {
                let name = name.unwrap_or_default();
                self.foreign
                    .push(format!("object {name} (of type {kind}), not a counter"));
            }
        }
    }

    fn take_flow_table(&mut self, mut attributes: Attributes<'_>) {
        let name = attributes.find(|attribute| attribute.kind == NAME);
        let name = name.as_ref().and_then(Attribute::text);
        let name = name.unwrap_or_default();
        self.foreign.push(format!("flowtable {name}"));
    }
}

type Take = fn(&mut Image, Attributes<'_>);
