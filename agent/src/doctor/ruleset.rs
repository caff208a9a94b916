//! What others have in nftables: names of tables, chains and flowtables, and rules that keep packets from being tracked.

use std::collections::BTreeSet;
use std::io;

use super::engines::Engine;
use super::untracked::{self, Looked};
use crate::dataplane::netlink::numbers::{
    GET_CHAINS, GET_FLOW_TABLES, GET_RULES, GET_TABLE, IN_TABLE, NAME, NEW_CHAIN, NEW_FLOW_TABLE,
    NEW_RULE, NEW_TABLE, RULE_CHAIN, RULE_EXPRESSIONS,
};
use crate::manifests::printable;
use crate::netlink::{Attributes, Channel, DUMP, Dumped, Header, Message, NFTABLES, Writer, kind};

/// Chains that are looked into for rules that switch tracking off, and rules of each. Real ones have a handful.
const CHAINS: usize = 64;
const RULES: usize = 10_000;
/// Others commit while all is told.
const ATTEMPTS: u32 = 3;

// Of a table, and of chains.
const TABLE_NAME: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

/// What is known of a ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    pub(super) engines: BTreeSet<Engine>,
    /// Tables with a flowtable, by name.
    pub(super) flow_tables: BTreeSet<String>,
    /// Chains with a rule that keeps packets from being tracked.
    pub(super) untracking: BTreeSet<String>,
}

/// A chain: its family, table and name.
type Place = (u8, String, String);

/// Looks at all tables of the network namespace of this thread.
pub(super) fn read() -> io::Result<Others> {
    let mut channel = Channel::open(DUMP)?;
    let mut others = Others::default();
    dump(&mut channel, (GET_TABLE, NEW_TABLE), |message| {
        let name = named(message.attributes(), TABLE_NAME);
        others.engines.extend(name.and_then(Engine::of_table));
    })?;
    let mut early = Vec::new();
    dump(&mut channel, (GET_CHAINS, NEW_CHAIN), |message| {
        let Some(name) = named(message.attributes(), CHAIN_NAME) else {
            return;
        };
        others.engines.extend(Engine::of_chain(name));
        if early.len() < CHAINS && is_early(message.attributes()) {
            early.extend(place(&message, name));
        }
    })?;
    let flow_tables = dump(&mut channel, (GET_FLOW_TABLES, NEW_FLOW_TABLE), |message| {
        let table = named(message.attributes(), IN_TABLE).unwrap_or_default();
        let name = named(message.attributes(), NAME).unwrap_or_default();
        others
            .flow_tables
            .insert(printable(&format!("{table}/{name}")));
    });
    // Old kernels have none, and say so.
    drop(flow_tables);
    others.untracking = untracking(&mut channel, early)?;
    Ok(others)
}

/// The chains with such rules, among these and what they lead to.
fn untracking(channel: &mut Channel, early: Vec<Place>) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut seen: BTreeSet<Place> = early.iter().cloned().collect();
    let mut waiting = early;
    while let Some((family, table, chain)) = waiting.pop() {
        let mut jumps = BTreeSet::new();
        let (mut is_untracking, mut count) = (false, 0);
        let header = Header {
            family,
            ..Header::nftables(GET_RULES)
        };
        let which = |w: &mut Writer| {
            w.text(IN_TABLE, &table);
            w.text(RULE_CHAIN, &chain);
        };
        let dumped = channel.dump(header, kind(NFTABLES, NEW_RULE), which, |mut attributes| {
            count += 1;
            let expressions = attributes.find(|a| a.kind == RULE_EXPRESSIONS);
            for looked in expressions
                .into_iter()
                .flat_map(|e| untracked::look(e.value))
            {
                match looked {
                    Looked::Untracks => is_untracking = true,
                    Looked::LeadsTo(chain) if count <= RULES => {
                        jumps.insert(chain.to_owned());
                    }
                    Looked::LeadsTo(_) => {}
                }
            }
        });
        match dumped {
            Ok(Dumped::Whole | Dumped::Torn | Dumped::Cut) => {}
            // It has gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if is_untracking {
            found.insert(printable(&format!("{table}/{chain}")));
        }
        for chain in jumps {
            let place = (family, table.clone(), chain);
            if seen.len() < CHAINS && seen.insert(place.clone()) {
                waiting.push(place);
            }
        }
    }
    Ok(found)
}

/// Whether a chain meets packets before they are tracked: on the hooks prerouting or output.
fn is_early(mut attributes: Attributes<'_>) -> bool {
    const CONNTRACK: i32 = -200;
    const HOOKS: [u32; 2] = [0, 3];
    let Some(hook) = attributes.find(|attribute| attribute.kind == CHAIN_HOOK) else {
        return false;
    };
    let number = |kind| {
        let found = Attributes(hook.value).find(|attribute| attribute.kind == kind);
        found.map(|attribute| attribute.number())
    };
    let is_on = number(HOOK_NUMBER).is_some_and(|hook| HOOKS.contains(&hook));
    let priority = number(HOOK_PRIORITY).map(|priority| i32::from_be_bytes(priority.to_be_bytes()));
    is_on && priority.is_some_and(|priority| priority < CONNTRACK)
}

fn place(message: &Message<'_>, chain: &str) -> Option<Place> {
    const FAMILIES: [u8; 3] = [1, 2, 10];
    let family = message
        .family()
        .filter(|family| FAMILIES.contains(family))?;
    let table = named(message.attributes(), IN_TABLE)?;
    Some((family, table.to_owned(), chain.to_owned()))
}

fn named(mut attributes: Attributes<'_>, kind: u16) -> Option<&str> {
    attributes.find(|attribute| attribute.kind == kind)?.text()
}

/// Tells all objects of all families. Where others commit all the while, some may be told again, and what was changed may be
/// missed until the next time.
fn dump(
    channel: &mut Channel,
    (ask, told): (u8, u8),
    mut take: impl FnMut(Message<'_>),
) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        let header = Header {
            family: 0,
            ..Header::nftables(ask)
        };
        if channel.dump_messages(header, kind(NFTABLES, told), |_| {}, &mut take)? == Dumped::Whole
        {
            break;
        }
    }
    Ok(())
}
