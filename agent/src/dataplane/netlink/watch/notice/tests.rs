use super::*;
use crate::netlink::INET;

const OWN: u32 = 77;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(port: u32, subsystem: u8, kind: u8, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([kind, subsystem, 0, 0, 0, 0, 0, 0]);
    bytes.extend(port.to_ne_bytes());
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(attributes);
    bytes
}

/// Of the own table, by another socket.
fn foreign(kind: u8) -> Vec<u8> {
    let mut attributes = attribute(1, b"netpol\0");
    attributes.extend(attribute(2, b"whatever\0"));
    message(5, 10, kind, 1, &attributes)
}

fn end(port: u32, name: &[u8]) -> Vec<u8> {
    let mut attributes = attribute(1, &[0, 0, 0, 9]);
    attributes.extend(attribute(2, &4321_u32.to_be_bytes()));
    attributes.extend(attribute(3, name));
    message(port, 10, 15, 0, &attributes)
}

fn told(messages: &[Vec<u8>]) -> Option<Disturbance> {
    let mut notices = Notices::new(INET, OWN);
    notices.take(&messages.concat());
    notices.tell()
}

/// What was counted, whether the table is gone, and by whom.
fn summary(messages: &[Vec<u8>]) -> Option<(String, bool, Option<String>)> {
    match told(messages)? {
        Disturbance::Foreign(foreign) => Some((
            foreign.to_string(),
            foreign.is_gone,
            foreign.process.map(|process| process.name),
        )),
        Disturbance::Overrun => None,
    }
}

#[test]
fn each_message_is_of_a_part() {
    // By the kernel's own numbers.
    let rows = [
        (0, "1 table"),
        (2, "1 table"),
        (3, "1 chain"),
        (5, "1 chain"),
        (6, "1 rule"),
        (8, "1 rule"),
        (9, "1 set"),
        (11, "1 set"),
        (12, "1 element"),
        (14, "1 element"),
        (18, "1 other"),
        (20, "1 other"),
        (22, "1 other"),
        (24, "1 other"),
    ];
    for (kind, expected) in rows {
        let found = summary(&[foreign(kind), end(5, b"nft\0")]);
        let expected = Some((expected.to_owned(), kind == 2, Some("nft".to_owned())));
        assert_eq!(found, expected, "{kind}");
    }
}

#[test]
fn a_commit_is_told_once_and_called_by_what_is_gravest() {
    let Some(Disturbance::Foreign(found)) = told(&[
        foreign(14),
        foreign(8),
        foreign(8),
        foreign(5),
        end(5, b"a\nb\0"),
        foreign(20),
        end(5, b"last\0"),
    ]) else {
        panic!("nothing told");
    };
    assert_eq!(found.part(), Part::Chain);
    assert_eq!(found.to_string(), "1 chain, 2 rule, 1 element, 1 other");
    let process = found.process.expect("a process");
    assert_eq!((process.pid, process.name.as_str()), (4321, "last"));
}

#[test]
fn a_table_that_is_made_anew_is_not_gone() {
    let gone = |kinds: &[u8]| {
        let mut messages: Vec<_> = kinds.iter().map(|kind| foreign(*kind)).collect();
        messages.push(end(5, b"x\0"));
        summary(&messages).map(|(_, is_gone, _)| is_gone)
    };
    let rows: [(&[u8], bool); 4] = [
        (&[2], true),
        (&[2, 0], false),
        (&[0, 2], true),
        (&[2, 0, 3, 6], false),
    ];
    for (kinds, expected) in rows {
        assert_eq!(gone(kinds), Some(expected), "{kinds:?}");
    }
    // By two commits.
    let [deleted, made] = [2, 0].map(foreign);
    let again = [deleted, end(5, b"x\0"), made, end(5, b"x\0")];
    assert_eq!(summary(&again).map(|s| s.1), Some(false));
    // A later edit of something else does not bring it back.
    let later = [foreign(2), end(5, b"x\0"), foreign(18), end(5, b"x\0")];
    assert_eq!(summary(&later).map(|s| s.1), Some(true));
}

#[test]
fn what_is_not_foreign_or_not_of_the_table_is_passed_over() {
    let name = attribute(1, b"netpol\0");
    let rows = [
        message(OWN, 10, 2, 1, &name),
        message(5, 10, 2, 2, &name),
        message(5, 8, 2, 1, &name),
        message(5, 10, 2, 1, &attribute(1, b"netpol2\0")),
        message(5, 10, 2, 1, &attribute(1, b"netpo\0")),
        message(5, 10, 2, 1, &attribute(2, b"netpol\0")),
        message(5, 10, 2, 1, &[]),
    ];
    for row in rows {
        assert_eq!(told(&[row.clone(), end(5, b"nft\0")]), None, "{row:?}");
    }
}

#[test]
fn a_table_is_told_from_the_one_of_another_family() {
    const BRIDGE: u8 = 7;
    let rows = [(INET, BRIDGE), (BRIDGE, INET)];
    for (family, other) in rows {
        let mut notices = Notices::new(family, OWN);
        let deleted = |family| message(5, 10, 2, family, &attribute(1, b"netpol\0"));
        notices.take(&[deleted(other), end(5, b"nft\0")].concat());
        assert_eq!(notices.tell(), None, "{family}");
        notices.take(&[deleted(family), end(5, b"nft\0")].concat());
        assert!(notices.tell().is_some(), "{family}");
    }
}

#[test]
fn the_end_of_an_own_commit_does_not_end_a_foreign_one() {
    let mut notices = Notices::new(INET, OWN);
    notices.take(&[foreign(2), end(OWN, b"netpol\0")].concat());
    assert_eq!(notices.tell(), None);
    notices.take(&end(5, b"nft\0"));
    assert!(notices.tell().is_some());
}

#[test]
fn what_is_lost_is_told_but_not_in_place_of_what_is_known() {
    let mut notices = Notices::new(INET, OWN);
    notices.overrun();
    assert_eq!(notices.tell(), Some(Disturbance::Overrun));
    notices.take(&foreign(2));
    notices.overrun();
    notices.overrun();
    let told = notices.tell();
    assert!(
        matches!(&told, Some(Disturbance::Foreign(f)) if f.is_gone && f.process.is_none()),
        "{told:?}"
    );
    assert_eq!(notices.tell(), None);
}

#[test]
fn messages_cut_anywhere_do_no_harm() {
    let whole = [foreign(2), end(5, b"nft\0")].concat();
    for length in 0..whole.len() {
        let mut notices = Notices::new(INET, OWN);
        notices.take(&whole[..length]);
        assert_eq!(notices.tell(), None, "{length}");
    }
    // The process is not told by half.
    let bare = message(5, 10, 15, 0, &attribute(2, &[1, 2]));
    assert_eq!(
        summary(&[foreign(2), bare]).map(|(_, _, process)| process),
        Some(None)
    );
}
