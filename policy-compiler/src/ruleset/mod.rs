//! The compiled result: one nftables table as plain data, in nft's own words.
//!
//! A [`Ruleset`] is ordered and comparable; its [`Display`](std::fmt::Display) is the one nft script for it.
//! A [`Transaction`] is the difference between two of them, as commands that nft commits atomically.

mod changes;
mod draft;
mod drop_log;
mod drop_point;
mod elements;
mod interface;
mod json;
mod name;
mod rule;
mod set;
mod table;
mod text;
mod transaction;

pub use draft::Draft;
pub use drop_log::DropLog;
pub use drop_point::{DropOf, DropPoint, DropPointError, PodId};
pub use elements::Elements;
pub use interface::{InterfacePattern, InterfacePatternError};
pub use name::{Comment, Ident};
pub use rule::{
    AddressMatch, CUT_LABEL, Chain, Family, Hook, InterfaceKind, Match, Rule, Side, Verdict,
};
pub use set::{Element, Set, SetKey, VerdictMap};
pub use table::{Ruleset, TABLE};
pub use transaction::{Operation, Transaction};
