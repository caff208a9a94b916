//! What the table's sets hold.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::expression::{ITEM, value_data};
use super::super::header::octets;
use super::super::numbers::{DELETE_ELEMENTS, ELEMENTS, NAME, NEW_ELEMENTS};
use super::super::set::KEY;
use super::commands::{CREATE, Commands};
use super::layout::{Keys, SETS};

/// A message has so many elements at most, far below what an attribute can hold.
const TOGETHER: usize = 500;

/// What the sets hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Addresses that may come only from where they are bound to.
    pub(crate) guarded: BTreeSet<IpAddr>,
    /// Ports, by the number of their link, and the addresses bound to them.
    pub(crate) bound: BTreeSet<(u32, IpAddr)>,
    /// The ports that addresses are bound to.
    pub(crate) pods: BTreeSet<u32>,
    /// Ports that lead to other links of the node: whatever comes there has passed a guarded port before, or no port.
    pub(crate) passages: BTreeSet<u32>,
}

impl Content {
    /// Whether there is nothing to guard.
    pub(crate) fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    /// The keys of one of the sets.
    pub(super) fn keys(&self, of: Keys) -> BTreeSet<Vec<u8>> {
        let is_of = |address: &IpAddr, v4: bool| address.is_ipv4() == v4;
        match of {
            Keys::Addresses { v4 } => {
                let addresses = self.guarded.iter().filter(|address| is_of(address, v4));
                addresses.map(|address| octets(*address)).collect()
            }
            Keys::Pairs { v4 } => {
                let pairs = self.bound.iter().filter(|(_, address)| is_of(address, v4));
                let key = |(port, address): &(u32, IpAddr)| {
                    let mut key = port.to_ne_bytes().to_vec();
                    key.extend(octets(*address));
                    key
                };
                pairs.map(key).collect()
            }
            Keys::Pods => ports(&self.pods),
            Keys::Passages => ports(&self.passages),
        }
    }

    /// Takes up a key that was read. Says whether it is one that the set can have.
    pub(super) fn take(&mut self, of: Keys, key: &[u8]) -> bool {
        let address = |bytes: &[u8]| {
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
                .ok()
        };
        let (taken, is_new) = match of {
            Keys::Addresses { .. } => match address(key) {
                Some(address) => (true, self.guarded.insert(address)),
                None => (false, false),
            },
            Keys::Pairs { .. } => match key.split_first_chunk() {
                Some((port, rest)) => match address(rest) {
                    Some(address) => {
                        let pair = (u32::from_ne_bytes(*port), address);
                        (true, self.bound.insert(pair))
                    }
                    None => (false, false),
                },
                None => (false, false),
            },
            Keys::Pods | Keys::Passages => match <[u8; 4]>::try_from(key) {
                Ok(port) => {
                    let ports = match of {
                        Keys::Pods => &mut self.pods,
                        _ => &mut self.passages,
                    };
                    (true, ports.insert(u32::from_ne_bytes(port)))
                }
                Err(_) => (false, false),
            },
        };
        taken && is_new
    }

    /// The commands that make of `old` this. What is bound anew comes before what is guarded anew, all in one commit.
    pub(super) fn replace(&self, old: &Self, commands: &mut Commands) {
        for (set, keys) in SETS {
            let (new, old) = (self.keys(keys), old.keys(keys));
            let gone = old.difference(&new);
            elements(commands, DELETE_ELEMENTS, 0, set, gone);
            elements(commands, NEW_ELEMENTS, CREATE, set, new.difference(&old));
        }
    }
}

fn ports(ports: &BTreeSet<u32>) -> BTreeSet<Vec<u8>> {
    let keys = ports.iter().map(|port| port.to_ne_bytes().to_vec());
    keys.collect()
}

fn elements<'a>(
    commands: &mut Commands,
    message: u8,
    flags: u16,
    set: &str,
    keys: impl Iterator<Item = &'a Vec<u8>>,
) {
    let mut keys = keys.peekable();
    // Without a list the message would mean all elements.
    while keys.peek().is_some() {
        commands.add(message, flags, |w| {
            w.text(NAME, set);
            w.nest(ELEMENTS, |w| {
                for key in keys.by_ref().take(TOGETHER) {
                    w.nest(ITEM, |w| value_data(w, KEY, key));
                }
            });
        });
    }
}
