//! Elements as the kernel dumps them, and what they are in a ruleset.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_compiler::ruleset::{Element, Ident, SetKey};

use super::super::expression::{GOTO, VALUE, VERDICT};
use super::super::key::Key;
use super::super::set::{DATA, ELEMENT_FLAGS, ELEMENT_USERDATA, INTERVAL_END, KEY};
use super::super::userdata::Userdata;
use crate::netlink::Attributes;

/// An element, or one end of an interval.
#[derive(Debug, Default)]
pub(super) struct FoundElement {
    /// None if it stands for all keys, or has one that no set of ours could have.
    key: Option<Key>,
    is_end: bool,
    /// Something is with it that is with none of ours: a timeout, a comment, a counter.
    is_odd: bool,
    /// Where it goes.
    chain: Option<Ident>,
}

impl FoundElement {
    pub(super) fn read(attributes: Attributes<'_>) -> Self {
        let mut element = Self::default();
        for attribute in attributes {
            match attribute.kind {
                KEY => {
                    let value = Attributes(attribute.value).find(|part| part.kind == VALUE);
                    let bytes = value.map(|part| part.value);
                    element.key = bytes.filter(|bytes| bytes.len() <= 20).map(Key::of);
                }
                DATA => element.chain = destination(attribute.value),
                ELEMENT_FLAGS => {
                    let flags = attribute.number();
                    element.is_end = flags & INTERVAL_END != 0;
                    element.is_odd |= flags & !INTERVAL_END != 0;
                }
                ELEMENT_USERDATA => {
                    element.is_odd |= Userdata::comment_of_rule(attribute.value).is_some();
                }
                _ => element.is_odd = true,
            }
        }
        element
    }
}

/// Whether one of them is there twice, which none is in a set.
pub(super) fn are_repeated(elements: &[FoundElement]) -> bool {
    let mut ends: Vec<_> = elements.iter().map(|e| (e.key, e.is_end)).collect();
    ends.sort_unstable();
    ends.windows(2).any(|pair| pair[0] == pair[1])
}

/// The chain that a verdict goes to. Other verdicts have none.
fn destination(data: &[u8]) -> Option<Ident> {
    let verdict = Attributes(data).find(|part| part.kind == VERDICT)?;
    let (mut code, mut chain) = (0, None);
    for part in Attributes(verdict.value) {
        match part.kind {
            1 => code = part.number().cast_signed(),
            2 => chain = part.text().map(Ident::fixed),
            _ => {}
        }
    }
    chain.filter(|_| code == GOTO)
}

/// Elements in the terms of a ruleset.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) plain: Vec<Element>,
    /// They have something with them that ours have not.
    pub(super) odd: Vec<Element>,
}

/// What a set holds that has such keys. None if no set of ours can hold it.
pub(super) fn contents(elements: &[FoundElement], key: SetKey) -> Option<Contents> {
    let mut contents = Contents::default();
    let mut put = |element, is_odd| {
        let list = if is_odd {
            &mut contents.odd
        } else {
            &mut contents.plain
        };
        list.push(element);
    };
    match key {
        SetKey::Address(_) => {
            for element in elements {
                put(Element::Address(address(&element.key?)?), element.is_odd);
            }
        }
        SetKey::AddressPort(_) => {
            for element in elements {
                let key = element.key?;
                let (rest, padded) = key.bytes().split_last_chunk::<4>()?;
                // Anything but zeroes behind a port is the key of no packet.
                let [high, low, 0, 0] = *padded else {
                    return None;
                };
                let port = u16::from_be_bytes([high, low]);
                let address = address(&Key::of(rest))?;
                put(Element::AddressPort(address, port), element.is_odd);
            }
        }
        SetKey::Range(_) => {
            for (first, last, is_odd) in intervals(elements)? {
                put(Element::Range(address(&first)?, address(&last)?), is_odd);
            }
        }
    }
    Some(contents)
}

/// The entries of a map: where each address goes, or None if not to a chain as ours do.
pub(super) fn entries(elements: &[FoundElement]) -> Option<Vec<(IpAddr, Option<&Ident>)>> {
    elements
        .iter()
        .map(|element| {
            let chain = element.chain.as_ref().filter(|_| !element.is_odd);
            Some((address(&element.key?)?, chain))
        })
        .collect()
}

/// The ports that a rule's list holds, from and to, in order.
pub(super) fn ports(elements: &[FoundElement], has_intervals: bool) -> Option<Vec<(u16, u16)>> {
    let port = |key: &Key| Some(u16::from_be_bytes(key.bytes().try_into().ok()?));
    if elements.iter().any(|element| element.is_odd) {
        return None;
    }
    if has_intervals {
        let intervals = intervals(elements)?.into_iter();
        return intervals
            .map(|(first, last, _)| Some((port(&first)?, port(&last)?)))
            .collect();
    }
    let singles = elements.iter().map(|element| port(&element.key?));
    let mut singles: Vec<u16> = singles.collect::<Option<_>>()?;
    singles.sort_unstable();
    Some(singles.into_iter().map(|port| (port, port)).collect())
}

/// Intervals in order. None if an end is without a beginning, or a beginning without an end but before the last key:
/// none of ours are, and taking one out as if it were does not work.
fn intervals(elements: &[FoundElement]) -> Option<Vec<(Key, Key, bool)>> {
    let mut sorted: Vec<(Key, bool, bool)> = elements
        .iter()
        .map(|element| Some((element.key?, !element.is_end, element.is_odd)))
        .collect::<Option<_>>()?;
    // What ends at a key does so before the next begins there.
    sorted.sort_unstable();
    let mut intervals = Vec::new();
    let mut open: Option<(Key, bool)> = None;
    for (key, is_beginning, is_odd) in sorted {
        match (is_beginning, open) {
            (true, None) => open = Some((key, is_odd)),
            (false, Some((first, was_odd))) => {
                intervals.push((first, key.predecessor()?, is_odd || was_odd));
                open = None;
            }
            // The key 0: nothing begins before it, and nft says so.
            (false, None) if key.predecessor().is_none() => {}
            _ => return None,
        }
    }
    intervals.extend(open.map(|(first, is_odd)| (first, first.last(), is_odd)));
    Some(intervals)
}

fn address(key: &Key) -> Option<IpAddr> {
    match key.bytes().len() {
        4 => Some(Ipv4Addr::from(*key.bytes().first_chunk()?).into()),
        16 => Some(Ipv6Addr::from(*key.bytes().first_chunk()?).into()),
        _ => None,
    }
}
