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
use super::transport::{SinceRead, Transport};
use crate::netlink::{Attribute, Attributes, Dumped, Writer};
use elements::{FoundElement, are_repeated};
use found::{FoundChain, FoundRule, FoundSet};

pub(super) use compare::compare;

/// How often a table is read that is changed meanwhile.
const ATTEMPTS: u32 = 20;

/// How often objects are dumped whose places others' changes move.
const DUMPS: u32 = 20;

/// Everything in the table.
#[derive(Debug, Default)]
pub(super) struct Image {
    flags: u32,
    /// Another process has it for itself.
    owner: Option<u32>,
    /// There is a comment.
    has_userdata: bool,
    /// How many chains, sets and other objects the table has.
    objects: usize,
    chains: BTreeMap<String, FoundChain>,
    /// Sets and maps, those without a name of their own too.
    sets: BTreeMap<String, FoundSet>,
    counters: BTreeSet<String>,
    /// What cannot be told in the terms of a [`Ruleset`](policy_compiler::ruleset::Ruleset).
    foreign: BTreeSet<String>,
}

/// The table as it was at one moment, and the number of the last commit to nftables then, by whomever.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) image: Image,
    pub(super) generation: Option<u32>,
}

/// Reads the table, if it is there. Other tables may be changed all the while: it is enough that this one is not.
pub(super) fn read(transport: &mut Transport) -> Result<Option<Reading>, NetlinkError> {
    let read = try_read(transport);
    // What was read may have to be repaired, which nobody's commit may come before.
    if !matches!(read, Ok(Some(_))) {
        transport.end_reading();
    }
    read
}

fn try_read(transport: &mut Transport) -> Result<Option<Reading>, NetlinkError> {
    for _ in 0..ATTEMPTS {
        transport.begin_reading()?;
        let Some(mut image) = transport.table(Image::of_table)? else {
            return Ok(None);
        };
        let is_all = image.fill(transport)?;
        if is_all && let SinceRead::Unchanged(generation) = transport.since_read()? {
            return Ok(Some(Reading { image, generation }));
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
                3 => image.objects = attribute.number() as usize,
                6 => image.has_userdata = true,
                7 => image.owner = Some(attribute.number()),
                _ => {}
            }
        }
        image
    }

    /// Whether all there is was told.
    fn fill(&mut self, transport: &mut Transport) -> Result<bool, NetlinkError> {
        if !self.fill_objects(transport)? {
            return Ok(false);
        }
        // These are dumped of one table, or set, alone: that others were changed does not matter.
        let dumped = self.dump(transport, GET_RULES, NEW_RULE, Self::take_rule)?;
        if dumped == Dumped::Cut {
            return Ok(false);
        }
        for (name, set) in &mut self.sets {
            if !set.fill(name, transport)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Chains, sets and other objects. They are counted across tables when they are dumped, so where another table gets
    /// or loses some meanwhile, a dump passes over as many of this one, or tells them twice. Then it is dumped again,
    /// until there are as many as the table has.
    fn fill_objects(&mut self, transport: &mut Transport) -> Result<bool, NetlinkError> {
        let kinds = [
            (GET_CHAINS, NEW_CHAIN, Self::take_chain as Take),
            (GET_SETS, NEW_SET, Self::take_set),
            (GET_OBJECTS, NEW_OBJECT, Self::take_object),
            (GET_FLOW_TABLES, NEW_FLOW_TABLE, Self::take_flow_table),
        ];
        let mut is_whole = [false; 4];
        for _ in 0..DUMPS {
            for ((message, told, take), is_whole) in kinds.into_iter().zip(&mut is_whole) {
                if *is_whole {
                    continue;
                }
                match self.dump(transport, message, told, take)? {
                    Dumped::Whole => *is_whole = true,
                    Dumped::Torn => {}
                    Dumped::Cut => return Ok(false),
                }
            }
            if is_whole == [true; 4] || self.count() == self.objects {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn dump(
        &mut self,
        transport: &mut Transport,
        message: u8,
        told: u8,
        take: Take,
    ) -> Result<Dumped, NetlinkError> {
        let of_table = |w: &mut Writer| w.text(IN_TABLE, TABLE);
        transport.dump(message, told, of_table, |attributes| {
            // Not every kernel leaves out the other tables.
            let mut tables = attributes.clone().filter(|a| a.kind == IN_TABLE);
            if tables.next().is_some_and(|a| a.text() == Some(TABLE)) {
                take(self, attributes);
            }
        })
    }

    /// How many objects are known. Rules and elements do not count.
    fn count(&self) -> usize {
        self.chains.len() + self.sets.len() + self.counters.len() + self.foreign.len()
    }

    fn is_foreign(&mut self, what: String) {
        self.foreign.insert(what);
    }

    fn take_chain(&mut self, attributes: Attributes<'_>) {
        match FoundChain::read(attributes) {
            Some((name, chain)) => {
                self.chains.insert(name, chain);
            }
            None => self.is_foreign("a chain without a name".to_owned()),
        }
    }

    fn take_rule(&mut self, attributes: Attributes<'_>) {
        let (chain, rule) = FoundRule::read(attributes);
        match self.chains.get_mut(&chain) {
            Some(chain) => chain.rules.push(rule),
            None => self.is_foreign(format!("a rule of chain {chain}, which is not there")),
        }
    }

    fn take_set(&mut self, attributes: Attributes<'_>) {
        match FoundSet::read(attributes) {
            Some((name, set)) => {
                self.sets.insert(name, set);
            }
            None => self.is_foreign("a set without a name".to_owned()),
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
                self.is_foreign(format!("object {name} (of type {kind}), not a counter"));
            }
        }
    }

    fn take_flow_table(&mut self, mut attributes: Attributes<'_>) {
        let name = attributes.find(|attribute| attribute.kind == NAME);
        let name = name.as_ref().and_then(Attribute::text);
        let name = name.unwrap_or_default();
        self.is_foreign(format!("flowtable {name}"));
    }
}

type Take = fn(&mut Image, Attributes<'_>);

impl FoundSet {
    /// Reads its elements. A commit's end is not a hash table's: the kernel goes on to give it more room, and what is dumped
    /// of it meanwhile is told twice, or passed over for as many told twice. Then it is dumped again.
    fn fill(&mut self, name: &str, transport: &mut Transport) -> Result<bool, NetlinkError> {
        let request = |w: &mut Writer| {
            w.text(IN_TABLE, TABLE);
            w.text(NAME, name);
        };
        for _ in 0..DUMPS {
            let elements = &mut self.elements;
            elements.clear();
            let dumped = transport.dump(GET_ELEMENTS, NEW_ELEMENTS, request, |attributes| {
                let lists = attributes.filter(|attribute| attribute.kind == ELEMENTS);
                let items = lists.flat_map(|list| Attributes(list.value));
                elements.extend(items.map(|item| FoundElement::read(Attributes(item.value))));
            })?;
            if dumped == Dumped::Cut {
                return Ok(false);
            }
            if !are_repeated(elements) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
