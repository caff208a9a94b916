//! One command of a batch, borrowed from the transaction: what to write, and what to call it if it is refused.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter, Write};
use std::net::IpAddr;

use policy_compiler::ruleset::{
    Comment, Element, Family, Hook, Ident, Operation, Rule, Ruleset, SetKey, TABLE, VerdictMap,
};

/// As [`Operation`], but that a ruleset to load is in its parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command<'a> {
    AddTable,
    DeleteTable,
    AddCounter(&'a Ident),
    AddSet(&'a Ident, SetKey, &'a Comment),
    AddMap(&'a Ident, Family),
    AddChain(&'a Ident, Option<Hook>),
    FlushChain(&'a Ident),
    AddRule(&'a Ident, &'a Rule),
    FlushSet(&'a Ident),
    DeleteElements(&'a Ident, &'a BTreeSet<Element>),
    AddElements(&'a Ident, &'a BTreeSet<Element>),
    DeleteEntries(&'a Ident, &'a [(IpAddr, Ident)]),
    AddEntries(&'a Ident, &'a [(IpAddr, Ident)]),
    LoadEntries(&'a Ident, &'a VerdictMap),
    DeleteChain(&'a Ident),
    DeleteCounter(&'a Ident),
    DeleteSet(&'a Ident),
    DeleteMap(&'a Ident),
}

/// The commands of an operation: one, or all that load a ruleset.
pub(super) fn commands<'a>(operation: &'a Operation, mut take: impl FnMut(Command<'a>)) {
    take(match operation {
        Operation::Load(ruleset) => return load(ruleset, take),
        Operation::AddTable => Command::AddTable,
        Operation::DeleteTable => Command::DeleteTable,
        Operation::AddCounter(name) => Command::AddCounter(name),
        Operation::AddSet(name, key, comment) => Command::AddSet(name, *key, comment),
        Operation::AddMap(name, family) => Command::AddMap(name, *family),
        Operation::AddChain(name, hook) => Command::AddChain(name, *hook),
        Operation::FlushChain(name) => Command::FlushChain(name),
        Operation::AddRule(chain, rule) => Command::AddRule(chain, rule),
        Operation::FlushSet(name) => Command::FlushSet(name),
        Operation::DeleteElements(set, elements) => Command::DeleteElements(set, elements),
        Operation::AddElements(set, elements) => Command::AddElements(set, elements),
        Operation::DeleteMapElements(map, entries) => Command::DeleteEntries(map, entries),
        Operation::AddMapElements(map, entries) => Command::AddEntries(map, entries),
        Operation::DeleteChain(name) => Command::DeleteChain(name),
        Operation::DeleteCounter(name) => Command::DeleteCounter(name),
        Operation::DeleteSet(name) => Command::DeleteSet(name),
        Operation::DeleteMap(name) => Command::DeleteMap(name),
    });
}

/// Everything is made before what refers to it.
fn load<'a>(ruleset: &'a Ruleset, mut take: impl FnMut(Command<'a>)) {
    take(Command::AddTable);
    for name in ruleset.counters() {
        take(Command::AddCounter(name));
    }
    for (name, set) in &ruleset.sets {
        take(Command::AddSet(name, set.key, &set.comment));
        take(Command::AddElements(name, &set.elements));
    }
    for (name, map) in &ruleset.maps {
        take(Command::AddMap(name, map.family));
    }
    for (name, chain) in &ruleset.chains {
        take(Command::AddChain(name, chain.hook));
    }
    for (name, map) in &ruleset.maps {
        take(Command::LoadEntries(name, map));
    }
    for (name, chain) in &ruleset.chains {
        for rule in &chain.rules {
            take(Command::AddRule(name, rule));
        }
    }
}

impl Display for Command<'_> {
    /// As the [`Operation`], but elements only by their number.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let with = |f: &mut Formatter<'_>, what: &str, name: &Ident| {
            write!(f, "{what} inet {TABLE} {name}")
        };
        let elements = |f: &mut Formatter<'_>, what: &str, name: &Ident, count: usize| {
            write!(
                f,
                "{what} element inet {TABLE} {name} {{ {count} of them }}"
            )
        };
        match *self {
            Self::AddTable => write!(f, "add table inet {TABLE}"),
            Self::DeleteTable => write!(f, "delete table inet {TABLE}"),
            Self::AddCounter(name) => with(f, "add counter", name),
            Self::AddSet(name, ..) => with(f, "add set", name),
            Self::AddMap(name, _) => with(f, "add map", name),
            Self::AddChain(name, None) => with(f, "add chain", name),
            Self::AddChain(name, Some(hook)) => {
                write!(f, "add chain inet {TABLE} {name} {{ {hook} }}")
            }
            Self::FlushChain(name) => with(f, "flush chain", name),
            Self::AddRule(chain, rule) => write!(f, "add rule inet {TABLE} {chain} {rule}"),
            Self::FlushSet(name) => with(f, "flush set", name),
            Self::DeleteElements(name, set) => elements(f, "delete", name, set.len()),
            Self::AddElements(name, set) => elements(f, "add", name, set.len()),
            Self::DeleteEntries(name, list) => elements(f, "delete", name, list.len()),
            Self::AddEntries(name, list) => elements(f, "add", name, list.len()),
            Self::LoadEntries(name, map) => elements(f, "add", name, map.elements.len()),
            Self::DeleteChain(name) => with(f, "delete chain", name),
            Self::DeleteCounter(name) => with(f, "delete counter", name),
            Self::DeleteSet(name) => with(f, "delete set", name),
            Self::DeleteMap(name) => with(f, "delete map", name),
        }
    }
}

/// Characters of a command that a message shows: a rule may list thousands of ports.
const SHOWN: usize = 400;

/// A command's text, cut if it is long.
pub(super) fn shortened(command: &Command<'_>) -> String {
    let mut text = Shortened {
        text: String::new(),
        is_cut: false,
    };
    // It fails where it cuts.
    let _ = write!(text, "{command}");
    if text.is_cut {
        text.text.push_str(" …");
    }
    text.text
}

struct Shortened {
    text: String,
    is_cut: bool,
}

impl Write for Shortened {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = SHOWN.saturating_sub(self.text.len());
        self.text.extend(more.chars().take(room));
        self.is_cut = more.len() > room;
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}
