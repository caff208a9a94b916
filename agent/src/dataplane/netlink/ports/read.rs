//! The table read back: what an earlier agent has left, or another program has made of it.

use super::super::NetlinkError;
use super::super::chain::{ACCEPT, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY};
use super::super::expression::VALUE;
use super::super::numbers::{
    ELEMENTS, GET_CHAINS, GET_ELEMENTS, GET_RULES, GET_SETS, GET_TABLE, IN_TABLE,
    NAME as OBJECT_NAME, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE, RULE_CHAIN,
    RULE_EXPRESSIONS,
};
use super::super::same::same_attributes;
use super::super::set::{FLAGS, KEY, KEY_LENGTH, KEY_TYPE};
use super::layout::{CHAINS, COUNTERS, HOOK, Keys, NAME, SETS, rules};
use super::{Content, PortTable, READING, header};
use crate::netlink::{Attributes, Dumped, NFTABLES, Writer, kind};

/// How often what is dumped is asked for again that was changed meanwhile.
const ATTEMPTS: u32 = 5;

/// The table as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundTable {
    /// What its sets hold, as far as they are such sets.
    pub(crate) content: Content,
    /// Its chains, rules, sets and counters are as they should be.
    pub(crate) is_right: bool,
}

/// What the table says of itself.
pub(super) struct Outline {
    flags: u32,
    objects: u32,
}

impl PortTable {
    /// The table's outline, if it is there.
    pub(super) fn find(&mut self) -> Result<Option<Outline>, NetlinkError> {
        let (mut flags, mut objects) = (0, 0);
        let which = |w: &mut Writer| w.text(IN_TABLE, NAME);
        let is_there = self.ask(header(GET_TABLE), which, NEW_TABLE, |attributes| {
            for attribute in attributes {
                match attribute.kind {
                    2 => flags = attribute.number(),
                    3 => objects = attribute.number(),
                    _ => {}
                }
            }
        })?;
        Ok(is_there.then_some(Outline { flags, objects }))
    }

    /// Reads the table, if it is there.
    pub(crate) fn read(&mut self) -> Result<Option<FoundTable>, NetlinkError> {
        let Some(outline) = self.find()? else {
            return Ok(None);
        };
        let mut found = FoundTable::default();
        let expected = CHAINS.len() + SETS.len() + COUNTERS.len();
        found.is_right = outline.flags == 0 && outline.objects as usize == expected;
        found.is_right &= self.has_chains()?;
        found.is_right &= self.has_rules()?;
        for (set, keys) in SETS {
            let is_right = self.read_set(set, keys, &mut found.content)?;
            found.is_right &= is_right;
        }
        Ok(Some(found))
    }

    fn has_chains(&mut self) -> Result<bool, NetlinkError> {
        let mut is_right = true;
        for chain in CHAINS {
            let which = |w: &mut Writer| {
                w.text(IN_TABLE, NAME);
                w.text(CHAIN_NAME, chain);
            };
            let (mut hook, mut policy) = (None, None);
            is_right &= self.ask(header(GET_CHAINS), which, NEW_CHAIN, |attributes| {
                for attribute in attributes {
                    match attribute.kind {
                        CHAIN_HOOK => {
                            let part = |kind| {
                                let found = Attributes(attribute.value).find(|a| a.kind == kind);
                                found.map(|a| a.number())
                            };
                            hook = part(1).zip(part(2));
                        }
                        CHAIN_POLICY => policy = Some(attribute.number()),
                        _ => {}
                    }
                }
            })?;
            let (number, priority) = HOOK;
            let wanted = (chain == CHAINS[0]).then_some((number, priority.cast_unsigned()));
            is_right &= hook == wanted && policy == wanted.map(|_| ACCEPT);
        }
        Ok(is_right)
    }

    fn has_rules(&mut self) -> Result<bool, NetlinkError> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let which = |w: &mut Writer| w.text(IN_TABLE, NAME);
        self.dump((GET_RULES, NEW_RULE), which, |attempt, attributes| {
            if attempt {
                found.clear();
            }
            let Some(attributes) = attributes else { return };
            let (mut is_ours, mut chain, mut expressions) = (false, String::new(), Vec::new());
            for attribute in attributes {
                match attribute.kind {
                    IN_TABLE => is_ours = attribute.text() == Some(NAME),
                    RULE_CHAIN => attribute.text().unwrap_or_default().clone_into(&mut chain),
                    RULE_EXPRESSIONS => expressions = attribute.value.to_vec(),
                    _ => {}
                }
            }
            if is_ours {
                found.push((chain, expressions));
            }
        })?;
        let wanted = rules(self.log.as_ref());
        let is_of = |chain: &str, list: &[(String, Vec<u8>)]| -> Vec<Vec<u8>> {
            let of_chain = list.iter().filter(|(name, _)| name == chain);
            of_chain
                .map(|(_, expressions)| expressions.clone())
                .collect()
        };
        let is_same = |chain: &&str| {
            let theirs = is_of(chain, &found);
            let ours: Vec<&Vec<u8>> = wanted
                .iter()
                .filter(|(name, _)| name == chain)
                .map(|(_, expressions)| expressions)
                .collect();
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(&theirs)
                    .all(|(ours, theirs)| same_attributes(ours, theirs))
        };
        Ok(found.len() == wanted.len() && CHAINS.iter().all(is_same))
    }

    /// Reads what a set holds, and says whether it is such a set.
    fn read_set(
        &mut self,
        set: &str,
        keys: Keys,
        content: &mut Content,
    ) -> Result<bool, NetlinkError> {
        let which = |w: &mut Writer| {
            w.text(IN_TABLE, NAME);
            w.text(OBJECT_NAME, set);
        };
        let mut found = (0, (0, 0));
        let is_there = self.ask(header(GET_SETS), which, NEW_SET, |attributes| {
            for attribute in attributes {
                match attribute.kind {
                    FLAGS => found.0 = attribute.number(),
                    KEY_TYPE => found.1.0 = attribute.number(),
                    KEY_LENGTH => found.1.1 = attribute.number(),
                    _ => {}
                }
            }
        })?;
        if !is_there || found != (0, keys.kind()) {
            return Ok(false);
        }
        let mut list: Vec<Vec<u8>> = Vec::new();
        self.dump(
            (GET_ELEMENTS, NEW_ELEMENTS),
            which,
            |is_first, attributes| {
                if is_first {
                    list.clear();
                }
                let lists = attributes.into_iter().flatten();
                for element in lists
                    .filter(|attribute| attribute.kind == ELEMENTS)
                    .flat_map(|attribute| Attributes(attribute.value))
                {
                    let part = |bytes, kind| Attributes(bytes).find(|a| a.kind == kind);
                    let key = part(element.value, KEY).and_then(|key| part(key.value, VALUE));
                    list.push(key.map(|key| key.value.to_vec()).unwrap_or_default());
                }
            },
        )?;
        list.sort_unstable();
        list.dedup();
        let taken = list.iter().map(|key| content.take(keys, key));
        Ok(taken.fold(true, |all, one| all & one))
    }

    /// Dumps, again where not all was told. `take` is told before each attempt that what it has is void.
    fn dump(
        &mut self,
        (ask, told): (u8, u8),
        which: impl Fn(&mut Writer) + Copy,
        mut take: impl FnMut(bool, Option<Attributes<'_>>),
    ) -> Result<(), NetlinkError> {
        for _ in 0..ATTEMPTS {
            take(true, None);
            let dumped =
                self.channel
                    .dump(header(ask), kind(NFTABLES, told), which, |attributes| {
                        take(false, Some(attributes));
                    });
            match dumped {
                // What is dumped is of this table, or set, alone: that others were changed does not matter.
                Ok(Dumped::Whole | Dumped::Torn) => return Ok(()),
                Ok(Dumped::Cut) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(NetlinkError::socket(READING, source)),
            }
        }
        Err(NetlinkError::NoAnswer { is_unchanged: true })
    }
}
