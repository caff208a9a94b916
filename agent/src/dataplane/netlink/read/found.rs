//! Chains, rules and sets as the kernel dumps them.

use super::super::chain::{CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TYPE};
use super::super::numbers::{NAME, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA};
use super::super::set::{
    DATA_TYPE, DESCRIPTION, FLAGS, IS_ANONYMOUS, IS_MAP, KEY_LENGTH, KEY_TYPE, USERDATA,
};
use super::super::userdata::Userdata;
use super::elements::FoundElement;
use crate::netlink::Attributes;

/// A chain with its rules in order.
#[derive(Debug, Default)]
pub(super) struct FoundChain {
    pub(super) hook: Option<FoundHook>,
    /// It lives within a rule, or is not done by the processor.
    pub(super) is_special: bool,
    /// There is a comment.
    pub(super) has_userdata: bool,
    pub(super) rules: Vec<FoundRule>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundHook {
    pub(super) kind: String,
    pub(super) number: u32,
    pub(super) priority: i32,
    pub(super) policy: u32,
}

impl FoundChain {
    pub(super) fn read(attributes: Attributes<'_>) -> Option<(String, Self)> {
        const CHAIN_FLAGS: u16 = 10;
        const CHAIN_USERDATA: u16 = 12;
        /// `NFT_CHAIN_BASE`
        const BASE: u32 = 1;
        let mut chain = Self::default();
        let mut hook = FoundHook::default();
        let (mut name, mut is_base) = (None, false);
        for attribute in attributes {
            match attribute.kind {
                CHAIN_NAME => name = attribute.text().map(ToOwned::to_owned),
                CHAIN_HOOK => {
                    is_base = true;
                    for part in Attributes(attribute.value) {
                        match part.kind {
                            1 => hook.number = part.number(),
                            2 => hook.priority = part.number().cast_signed(),
                            _ => chain.is_special = true,
                        }
                    }
                }
                CHAIN_POLICY => hook.policy = attribute.number(),
                CHAIN_TYPE => attribute
                    .text()
                    .unwrap_or_default()
                    .clone_into(&mut hook.kind),
                CHAIN_FLAGS => chain.is_special |= attribute.number() & !BASE != 0,
                CHAIN_USERDATA => chain.has_userdata = true,
                _ => {}
            }
        }
        chain.hook = is_base.then_some(hook);
        Some((name?, chain))
    }
}

/// A rule.
#[derive(Debug, Default)]
pub(super) struct FoundRule {
    /// What `nft -a` shows.
    pub(super) handle: u64,
    pub(super) expressions: Vec<u8>,
    pub(super) comment: Option<Vec<u8>>,
}

impl FoundRule {
    /// A rule and the chain it is in.
    pub(super) fn read(attributes: Attributes<'_>) -> (String, Self) {
        const HANDLE: u16 = 3;
        let mut chain = String::new();
        let mut rule = Self::default();
        for attribute in attributes {
            match attribute.kind {
                RULE_CHAIN => attribute.text().unwrap_or_default().clone_into(&mut chain),
                HANDLE => {
                    let number = attribute.value.first_chunk().copied();
                    rule.handle = number.map_or(0, u64::from_be_bytes);
                }
                RULE_EXPRESSIONS => rule.expressions = attribute.value.to_vec(),
                RULE_USERDATA => {
                    let comment = Userdata::comment_of_rule(attribute.value);
                    rule.comment = comment.map(ToOwned::to_owned);
                }
                _ => {}
            }
        }
        (chain, rule)
    }
}

/// A set or map.
#[derive(Debug, Default)]
pub(super) struct FoundSet {
    pub(super) flags: u32,
    pub(super) key_type: u32,
    pub(super) key_length: u32,
    pub(super) data_type: Option<u32>,
    pub(super) comment: Option<Vec<u8>>,
    /// It has a timeout, a bound on its size, or something else that none of ours has.
    pub(super) is_special: bool,
    pub(super) elements: Vec<FoundElement>,
}

impl FoundSet {
    pub(super) fn read(attributes: Attributes<'_>) -> Option<(String, Self)> {
        const POLICY: u16 = 8;
        const TIMEOUT: u16 = 11;
        const SWEEPS: u16 = 12;
        const OBJECTS: u16 = 15;
        const STATEMENT: u16 = 17;
        const STATEMENTS: u16 = 18;
        const SIZE: u16 = 1;
        let mut set = Self::default();
        let mut name = None;
        for attribute in attributes {
            match attribute.kind {
                NAME => name = attribute.text().map(ToOwned::to_owned),
                FLAGS => set.flags = attribute.number(),
                KEY_TYPE => set.key_type = attribute.number(),
                KEY_LENGTH => set.key_length = attribute.number(),
                DATA_TYPE => set.data_type = Some(attribute.number()),
                USERDATA => {
                    let comment = Userdata::comment_of_set(attribute.value);
                    set.comment = comment.map(ToOwned::to_owned);
                }
                DESCRIPTION => {
                    let mut parts = Attributes(attribute.value);
                    set.is_special |= parts.any(|part| part.kind == SIZE && part.number() != 0);
                }
                POLICY | TIMEOUT | SWEEPS | OBJECTS | STATEMENT | STATEMENTS => {
                    set.is_special = true;
                }
                _ => {}
            }
        }
        Some((name?, set))
    }

    /// Whether it belongs to one rule.
    pub(super) fn is_anonymous(&self) -> bool {
        self.flags & IS_ANONYMOUS != 0
    }

    pub(super) fn is_map(&self) -> bool {
        self.flags & IS_MAP != 0
    }
}
