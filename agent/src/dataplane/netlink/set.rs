//! Sets, maps and their elements.

use std::net::IpAddr;

use policy_compiler::model::{PortRange, Protocol};
use policy_compiler::ruleset::{Comment, Element, Family, Ident, SetKey};

use super::expression::{ITEM, Target, value_data, verdict_data};
use super::key::Key;
use super::userdata::Userdata;
use crate::netlink::Writer;

/// The name of a set that belongs to one rule: the kernel puts a number in.
pub(super) const ANONYMOUS: &str = "__set%d";

// Flags of sets.
pub(super) const IS_ANONYMOUS: u32 = 1;
pub(super) const IS_CONSTANT: u32 = 2;
pub(super) const HAS_INTERVALS: u32 = 4;
pub(super) const IS_MAP: u32 = 8;

/// `NFT_DATA_VERDICT`, the type of a map's values.
pub(super) const VERDICTS: u32 = 0xffff_ff00;

/// `inet_service`, as `nft` numbers its types.
pub(super) const PORT: u32 = 13;
/// A concatenation's type is made of its parts', 6 bits each.
const PART: u32 = 6;

// Attributes of sets.
pub(super) const FLAGS: u16 = 3;
pub(super) const KEY_TYPE: u16 = 4;
pub(super) const KEY_LENGTH: u16 = 5;
pub(super) const DATA_TYPE: u16 = 6;
const DATA_LENGTH: u16 = 7;
pub(super) const DESCRIPTION: u16 = 9;
const NUMBER: u16 = 10;
pub(super) const USERDATA: u16 = 13;

// Attributes of elements.
pub(super) const KEY: u16 = 1;
pub(super) const DATA: u16 = 2;
pub(super) const ELEMENT_FLAGS: u16 = 3;
pub(super) const ELEMENT_USERDATA: u16 = 6;

/// `NFT_SET_ELEM_INTERVAL_END`
pub(super) const INTERVAL_END: u32 = 1;

/// What `nft` calls `ipv4_addr` or `ipv6_addr`, and its bytes.
pub(super) fn address_type(family: Family) -> (u32, u32) {
    match family {
        Family::V4 => (7, 4),
        Family::V6 => (8, 16),
    }
}

/// The flags of a named set, the type of its keys and their bytes.
pub(super) fn set_type(key: SetKey) -> (u32, u32, u32) {
    let (address, length) = address_type(key.family());
    match key {
        SetKey::Address(_) => (0, address, length),
        SetKey::Range(_) => (HAS_INTERVALS, address, length),
        // Parts are padded to 4 bytes.
        SetKey::AddressPort(_) => (0, address << PART | PORT, length + 4),
    }
}

/// What a named set is, behind its name.
pub(super) fn write_set(writer: &mut Writer, number: u32, key: SetKey, comment: &Comment) {
    let (flags, kind, length) = set_type(key);
    let userdata = match key {
        SetKey::Address(_) | SetKey::Range(_) => Userdata::of_key(),
        SetKey::AddressPort(_) => Userdata::of_concatenation(),
    };
    writer.be32(FLAGS, flags);
    writer.be32(KEY_TYPE, kind);
    writer.be32(KEY_LENGTH, length);
    writer.be32(NUMBER, number);
    writer.put(USERDATA, userdata.with_comment(comment).bytes());
}

/// What a map from addresses to verdicts is, behind its name.
pub(super) fn write_map(writer: &mut Writer, number: u32, family: Family) {
    let (address, length) = address_type(family);
    writer.be32(FLAGS, IS_MAP);
    writer.be32(KEY_TYPE, address);
    writer.be32(KEY_LENGTH, length);
    writer.be32(DATA_TYPE, VERDICTS);
    writer.be32(DATA_LENGTH, 0);
    writer.be32(NUMBER, number);
    writer.put(USERDATA, Userdata::of_verdict_map().bytes());
}

/// What the set of a rule's list of ports is, behind its name. The kernel chooses by its size how to keep it.
pub(super) fn write_ports(
    writer: &mut Writer,
    number: u32,
    protocol: Protocol,
    ranges: &[PortRange],
) {
    let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    let has_intervals = has_intervals(ranges);
    let (flags, size) = if has_intervals {
        // As nft reckons: beginnings, ends, and the end at 0.
        (HAS_INTERVALS, count.saturating_mul(2).saturating_add(1))
    } else {
        (0, count)
    };
    writer.be32(FLAGS, IS_ANONYMOUS | IS_CONSTANT | flags);
    writer.be32(KEY_TYPE, PORT);
    writer.be32(KEY_LENGTH, 2);
    writer.be32(NUMBER, number);
    writer.nest(DESCRIPTION, |w| w.be32(1, size));
    let userdata = Userdata::of_ports(protocol, has_intervals);
    writer.put(USERDATA, userdata.bytes());
}

/// Whether a list of ports needs a set of intervals.
pub(super) fn has_intervals(ranges: &[PortRange]) -> bool {
    ranges.iter().any(|range| range.first() != range.last())
}

/// An element of a named set.
pub(super) fn write_element(writer: &mut Writer, element: &Element) {
    match element {
        Element::Address(address) => write_key(writer, &Key::address(*address)),
        Element::AddressPort(address, port) => {
            write_key(writer, &Key::address(*address).with_port(*port));
        }
        Element::Range(first, last) => {
            write_interval(writer, &Key::address(*first), &Key::address(*last));
        }
    }
}

/// An element of a map: its key, and where it goes unless it is to be taken out.
pub(super) fn write_entry(writer: &mut Writer, address: IpAddr, chain: Option<&Ident>) {
    writer.nest(ITEM, |w| {
        value_data(w, KEY, Key::address(address).bytes());
        if let Some(chain) = chain {
            verdict_data(w, DATA, Target::Goto(chain.as_str()));
        }
    });
}

/// One item of a list of ports, in a set of intervals or of single ports.
pub(super) fn write_port(writer: &mut Writer, range: PortRange, has_intervals: bool) {
    let (first, last) = (Key::port(range.first()), Key::port(range.last()));
    if has_intervals {
        write_interval(writer, &first, &last);
    } else {
        write_key(writer, &first);
    }
}

/// The beginning of a set of ports' intervals: `nft` says that nothing comes from 0 on.
pub(super) fn write_nothing_from_zero(writer: &mut Writer) {
    write_end(writer, &Key::port(0));
}

fn write_key(writer: &mut Writer, key: &Key) {
    writer.nest(ITEM, |w| value_data(w, KEY, key.bytes()));
}

/// Where an interval begins, and where what follows begins. What goes on to the last key has no end; a mark tells `nft`.
fn write_interval(writer: &mut Writer, first: &Key, last: &Key) {
    let end = last.successor();
    writer.nest(ITEM, |w| {
        value_data(w, KEY, first.bytes());
        if end.is_none() {
            w.put(ELEMENT_USERDATA, Userdata::of_open_end().bytes());
        }
    });
    if let Some(end) = end {
        write_end(writer, &end);
    }
}

fn write_end(writer: &mut Writer, end: &Key) {
    writer.nest(ITEM, |w| {
        w.be32(ELEMENT_FLAGS, INTERVAL_END);
        value_data(w, KEY, end.bytes());
    });
}
