//! Sets of addresses as disjoint ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::IpBlock;

/// The addresses of some blocks of one family: sorted ranges, disjoint and not adjacent, as an interval set needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressRanges {
    ranges: Vec<(u128, u128)>,
    v4: bool,
}

impl AddressRanges {
    /// The union of `blocks`, all of one family. An exception narrows only its own block (semantics rule E2).
    pub(super) fn of_blocks<'a>(blocks: impl Iterator<Item = &'a IpBlock>) -> Self {
        let mut v4 = true;
        let mut pieces = Vec::new();
        for block in blocks {
            v4 = block.cidr().addr().is_ipv4();
            pieces.extend(without_holes(block));
        }
        pieces.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(pieces.len());
        for (first, last) in pieces {
            match ranges.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Self { ranges, v4 }
    }

    /// The ranges, ascending: first and last address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.ranges
            .iter()
            .map(|(first, last)| (self.address(*first), self.address(*last)))
    }

    fn address(&self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(number) if self.v4 => Ipv4Addr::from(number).into(),
            _ => Ipv6Addr::from(number).into(),
        }
    }
}

/// The ranges of a block between its exceptions.
fn without_holes(block: &IpBlock) -> Vec<(u128, u128)> {
    let (mut first, last) = bounds(block.cidr());
    let mut pieces = Vec::new();
    // Sorted by address, a network before those inside it.
    for (hole_first, hole_last) in block.except().iter().map(|hole| bounds(*hole)) {
        if hole_first > first {
            pieces.push((first, hole_first - 1));
        }
        if hole_last >= last {
            return pieces;
        }
        first = first.max(hole_last + 1);
    }
    pieces.push((first, last));
    pieces
}

fn bounds(network: IpNet) -> (u128, u128) {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    (number(network.network()), number(network.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::Element;

    /// Rows: blocks (`cidr except…`), the ranges as nft writes them.
    #[test]
    fn unions_and_holes() {
        let rows: &[(&[&str], &[&str])] = &[
            (&["10.0.0.0/8"], &["10.0.0.0/8"]),
            (&["10.0.0.0/9", "10.128.0.0/9"], &["10.0.0.0/8"]),
            (&["10.0.0.0/8 10.0.0.0/9"], &["10.128.0.0/9"]),
            (&["10.0.0.0/8 10.128.0.0/9"], &["10.0.0.0/9"]),
            (
                &["10.0.0.0/8 10.1.0.0/16 10.1.2.0/24"],
                &["10.0.0.0/16", "10.2.0.0-10.255.255.255"],
            ),
            (
                &["10.0.0.0/8 10.1.0.0/16", "10.1.2.0/24"],
                &["10.0.0.0/16", "10.1.2.0/24", "10.2.0.0-10.255.255.255"],
            ),
            (&["10.0.0.0/8 10.0.0.0/9 10.128.0.0/9"], &[]),
            (&["0.0.0.0/0", "10.0.0.0/8"], &["0.0.0.0/0"]),
            (&["::/0 8000::/1"], &["::/1"]),
            (&["::/0", "ffff::/16"], &["::/0"]),
        ];
        for (blocks, expected) in rows {
            let blocks: Vec<IpBlock> = blocks.iter().map(|text| block(text)).collect();
            let ranges = AddressRanges::of_blocks(blocks.iter());
            let text: Vec<String> = ranges
                .iter()
                .map(|(a, b)| Element::Range(a, b).to_string())
                .collect();
            assert_eq!(text, *expected, "{blocks:?}");
        }
    }

    fn block(text: &str) -> IpBlock {
        let nets: Vec<IpNet> = text
            .split(' ')
            .map(|net| net.parse().expect("a network"))
            .collect();
        IpBlock::new(nets[0], &nets[1..]).expect("valid")
    }
}
