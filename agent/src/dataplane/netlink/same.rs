//! Whether what the kernel dumps is what was sent, whatever the order of its attributes.

use std::collections::BTreeMap;

use crate::netlink::{Attribute, Attributes};

/// Whether the kernel's `dumped` attributes are those of the request `encoded`. The order does not matter but among
/// attributes of one kind, which make a list. Only requests mark what is nested, so they lead.
#[must_use]
pub fn same_attributes(encoded: &[u8], dumped: &[u8]) -> bool {
    let kinds = |bytes| Attributes(bytes).map(|attribute| attribute.kind);
    // Mostly they are in the same order, which is all the same for lists and costs no memory.
    if kinds(encoded).eq(kinds(dumped)) {
        let mut pairs = Attributes(encoded).zip(Attributes(dumped));
        return pairs.all(|(ours, theirs)| same_values(ours, theirs));
    }
    let (encoded, dumped) = (by_kind(encoded), by_kind(dumped));
    encoded.len() == dumped.len()
        && encoded
            .iter()
            .zip(&dumped)
            .all(|((kind, ours), (other, theirs))| {
                kind == other
                    && ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(ours, theirs)| same_values(*ours, *theirs))
            })
}

fn same_values(ours: Attribute<'_>, theirs: Attribute<'_>) -> bool {
    if ours.is_nested {
        same_attributes(ours.value, theirs.value)
    } else {
        ours.value == theirs.value
    }
}

fn by_kind(bytes: &[u8]) -> BTreeMap<u16, Vec<Attribute<'_>>> {
    let mut kinds: BTreeMap<u16, Vec<Attribute<'_>>> = BTreeMap::new();
    for attribute in Attributes(bytes) {
        kinds.entry(attribute.kind).or_default().push(attribute);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Writer, written};

    #[test]
    fn comparison_ignores_the_order_of_kinds_but_not_of_a_list() {
        let request = |swap: bool, list: [u32; 2]| {
            let two = |w: &mut Writer| w.nest(2, |w| list.iter().for_each(|n| w.be32(1, *n)));
            let one = |w: &mut Writer| w.be32(1, 7);
            let bytes = written(|w| {
                if swap {
                    two(w);
                    one(w);
                } else {
                    one(w);
                    two(w);
                }
            });
            bytes.unwrap_or_default()
        };
        // As the kernel dumps it.
        let mut dumped = request(true, [1, 2]);
        dumped[2..4].copy_from_slice(&2_u16.to_ne_bytes());
        assert!(same_attributes(&request(false, [1, 2]), &dumped));
        assert!(!same_attributes(&request(false, [2, 1]), &dumped));
        let mut longer = dumped.clone();
        longer.extend_from_slice(&written(|w| w.be32(3, 0)).unwrap_or_default());
        assert!(!same_attributes(&request(false, [1, 2]), &longer));
        assert!(!same_attributes(
            &request(false, [1, 2]),
            &dumped[..dumped.len() - 8]
        ));
    }
}
