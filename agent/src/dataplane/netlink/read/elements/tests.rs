use policy_compiler::ruleset::Family;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::set::write_element;
use super::*;
use crate::netlink::written;

fn end(key: &[u8], is_end: bool) -> FoundElement {
    FoundElement {
        key: Some(Key::of(key)),
        is_end,
        ..FoundElement::default()
    }
}

fn beginning(key: &[u8]) -> FoundElement {
    end(key, false)
}

#[test]
fn an_element_told_twice_is_noticed() {
    let interval = [beginning(&[0, 5]), end(&[0, 9], true), end(&[0, 5], true)];
    assert!(!are_repeated(&[]));
    assert!(!are_repeated(&interval));
    let twice = [beginning(&[0, 5]), beginning(&[0, 9]), beginning(&[0, 5])];
    assert!(are_repeated(&twice));
}

#[test]
fn intervals_are_made_of_their_ends() {
    let ports = |elements: &[FoundElement]| ports(elements, true);
    let rows = [
        (vec![], Some(vec![])),
        (vec![end(&[0, 0], true)], Some(vec![])),
        // In any order, one behind the other without a gap, and up to the last key.
        (
            vec![
                beginning(&[0, 5]),
                end(&[0, 5], true),
                beginning(&[255, 0]),
                end(&[1, 0], true),
                beginning(&[0, 0]),
                end(&[0, 0], true),
            ],
            Some(vec![(0, 4), (5, 255), (0xff00, 0xffff)]),
        ),
        (vec![end(&[0, 1], true)], None),
        (vec![beginning(&[0, 1]), beginning(&[0, 2])], None),
        (
            vec![beginning(&[0, 1]), end(&[0, 2], true), end(&[0, 3], true)],
            None,
        ),
        (vec![FoundElement::default()], None),
        // Not as long as ports are.
        (vec![beginning(&[1]), end(&[2], true)], None),
    ];
    for (elements, expected) in rows {
        assert_eq!(ports(&elements), expected, "{elements:?}");
    }
}

/// It looks like what is wanted and matches no packet: the table it is in is not right.
#[test]
fn a_pair_with_more_behind_its_port_is_none() {
    let key = SetKey::AddressPort(Family::V4);
    let pair = Element::AddressPort([10, 1, 0, 1].into(), 80);
    for (behind, expected) in [([0, 0], Some(vec![pair])), ([0, 1], None), ([1, 0], None)] {
        let [third, fourth] = behind;
        let found = [beginning(&[10, 1, 0, 1, 0, 80, third, fourth])];
        let found = contents(&found, key).map(|contents| contents.plain);
        assert_eq!(found, expected, "{behind:?}");
    }
}

fn element() -> impl Strategy<Value = (SetKey, Element)> {
    let v4 = any::<(u32, u32)>().prop_map(|(a, b)| (a.min(b), a.max(b)));
    let v4 = v4.prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into()));
    let v6 = any::<(u128, u128)>().prop_map(|(a, b)| (a.min(b), a.max(b)));
    let v6 = v6.prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into()));
    let ends = prop_oneof![v4, v6];
    (ends, any::<u16>(), 0..3).prop_map(|((first, last), port, kind)| {
        let first: IpAddr = first;
        let family = Family::of(first);
        match kind {
            0 => (SetKey::Address(family), Element::Address(first)),
            1 => (SetKey::Range(family), Element::Range(first, last)),
            _ => (
                SetKey::AddressPort(family),
                Element::AddressPort(first, port),
            ),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read((key, element) in element()) {
        let bytes = written(|w| write_element(w, &element)).unwrap_or_default();
        let found: Vec<_> = Attributes(&bytes)
            .map(|item| FoundElement::read(Attributes(item.value)))
            .collect();
        let contents = contents(&found, key);
        prop_assert_eq!(contents.map(|c| (c.plain, c.odd)), Some((vec![element], vec![])));
    }

    #[test]
    fn anything_can_be_read(bytes in vec(any::<u8>(), 0..200), keys in vec((vec(any::<u8>(), 0..24), any::<bool>()), 0..8)) {
        let mut found = vec![FoundElement::read(Attributes(&bytes))];
        found.extend(keys.iter().map(|(key, is_end)| end(key, *is_end)));
        for family in Family::BOTH {
            for key in [SetKey::Address(family), SetKey::Range(family), SetKey::AddressPort(family)] {
                let _ = contents(&found, key);
                let _ = contents(&found[1..], key);
            }
        }
        let _ = (entries(&found), ports(&found, true), ports(&found[1..], false));
    }
}
