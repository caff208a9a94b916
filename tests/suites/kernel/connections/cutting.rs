//! What is marked is seen by the rules on the next packet, and only that.

use netpol_agent::conntrack::{Connection, Done, Icmp, Order};
use netpol_tests::lab::privileged;

use super::exchange::Exchange;
use super::ground::{CLIENT, Ground, LABELLED, PORT, SERVER, SERVICE, ZONED};

const DONE: Done = Done::Done;

/// One of each kind, by its name.
fn rows(ground: &Ground) -> Vec<(&'static str, Exchange)> {
    let ([c4, c6], [s4, s6], [v4, v6]) = (CLIENT, SERVER, SERVICE);
    let zone = ZONED[0];
    vec![
        ("TCP", ground.tcp(c4, (s4, 81), (s4, 81))),
        ("TCP to a service", ground.tcp(c4, (v4, 80), (s4, PORT))),
        ("UDP", ground.udp(c4, (s4, 81), (s4, 81))),
        ("UDP to a service", ground.udp(c4, (v4, 80), (s4, PORT))),
        ("UDP in a zone", ground.udp(c4, (s4, zone), (s4, zone))),
        ("ICMP", ground.icmp(c4, s4, 7)),
        ("TCP, IPv6", ground.tcp(c6, (s6, 81), (s6, 81))),
        (
            "TCP to a service, IPv6",
            ground.tcp(c6, (v6, 80), (s6, PORT)),
        ),
        ("UDP, IPv6", ground.udp(c6, (s6, 81), (s6, 81))),
        ("ICMPv6", ground.icmp(c6, s6, 8)),
    ]
}

#[test]
fn the_next_packet_meets_the_rule() {
    if !privileged("the_next_packet_meets_the_rule") {
        return;
    }
    let ground = Ground::new();
    let mut conntrack = ground.conntrack();
    let mut rows = rows(&ground);
    let mut counted = 0;
    for place in 0..rows.len() {
        let (name, exchange) = &mut rows[place];
        let name = *name;
        let is_it = exchange.known_by();
        let connection = ground.find(&is_it);
        assert_eq!(conntrack.cut(&connection).expect(name), DONE, "{name}");
        assert!(exchange.is_silent(), "{name}");
        // TCP repeats what is not acknowledged.
        ground.await_cut_packets(counted + 1);
        let connection = ground.find(&is_it);
        assert!(connection.is_cut(), "{name}");
        for (other, exchange) in rows.iter_mut().skip(place + 1) {
            assert!(exchange.passes(), "{other}, as {name} was cut");
        }
        let (_, exchange) = &mut rows[place];
        assert_eq!(conntrack.restore(&connection).expect(name), DONE, "{name}");
        assert!(exchange.passes(), "{name}");
        let connection = ground.find(&is_it);
        assert!(!connection.is_cut(), "{name}");
        counted = ground.cut_packets();
    }
}

#[test]
fn other_labels_stay() {
    if !privileged("other_labels_stay") {
        return;
    }
    let ground = Ground::new();
    let port = LABELLED + 126;
    let _open = ground.udp(CLIENT[0], (SERVER[0], port), (SERVER[0], port));
    let find = || ground.find(|connection| connection.destination_port() == port);
    let before = find();
    let mut conntrack = ground.conntrack();
    assert_eq!(conntrack.cut(&before).expect("an answer"), DONE);
    let cut = find();
    assert!(cut.is_cut());
    assert_ne!(cut.labels, before.labels);
    assert_eq!(conntrack.restore(&cut).expect("an answer"), DONE);
    assert_eq!(find().labels, before.labels);
}

#[test]
fn what_is_deleted_begins_anew() {
    if !privileged("what_is_deleted_begins_anew") {
        return;
    }
    let ground = Ground::new();
    let mut conntrack = ground.conntrack();
    for (name, mut exchange) in rows(&ground) {
        let is_it = exchange.known_by();
        let find = || ground.find(&is_it);
        let connection = find();
        let other = Connection {
            id: connection.id ^ 1,
            ..connection
        };
        assert_eq!(conntrack.delete(&other).expect(name), Done::Gone, "{name}");
        assert_eq!(find().id, connection.id, "{name}");
        assert_eq!(conntrack.delete(&connection).expect(name), DONE, "{name}");
        assert_eq!(conntrack.delete(&connection).expect(name), Done::Gone);
        assert_eq!(conntrack.cut(&connection).expect(name), Done::Gone);
        if !matches!(exchange, Exchange::Tcp(..)) {
            assert!(exchange.passes(), "{name}");
            find();
        }
    }
}

#[test]
fn what_began_without_room_for_labels_is_told_apart() {
    if !privileged("what_began_without_room_for_labels_is_told_apart") {
        return;
    }
    let ground = Ground::without_room();
    let mut early = ground.udp(CLIENT[0], (SERVER[0], 81), (SERVER[0], 81));
    ground.make_room();
    let mut late = ground.udp(CLIENT[0], (SERVER[0], 82), (SERVER[0], 82));
    let mut conntrack = ground.conntrack();
    let find = |port| ground.find(|connection| connection.destination_port() == port);
    let orders = [
        (Order::Cut, find(81)),
        (Order::Cut, find(82)),
        (Order::Restore, find(81)),
    ];
    let mut told = Vec::new();
    let each = |place, done| told.push((place, done));
    conntrack.apply(&orders, each).expect("answers");
    let expected = [(0, Done::NoRoom), (1, DONE), (2, Done::NoRoom)];
    assert_eq!(told, expected);
    assert!(early.passes());
    assert!(late.is_silent());
}

/// However many lie between.
#[test]
fn one_that_the_kernel_refuses_keeps_nothing_from_others() {
    if !privileged("one_that_the_kernel_refuses_keeps_nothing_from_others") {
        return;
    }
    let ground = Ground::new();
    let mut open = ground.udp(CLIENT[0], (SERVER[0], 81), (SERVER[0], 81));
    let _echo = ground.icmp(CLIENT[0], SERVER[0], 7);
    let mut odd = ground.find(|connection| connection.original.icmp.is_some());
    // An error, which nothing answers.
    odd.reply.icmp = Some(Icmp { kind: 3, code: 0 });
    let last = ground.find(|connection| connection.destination_port() == 81);
    let mut orders = vec![(Order::Cut, odd); 200];
    orders.push((Order::Cut, last));
    let mut told = Vec::new();
    let mut conntrack = ground.conntrack();
    let refused = conntrack.apply(&orders, |place, done| told.push((place, done)));
    assert_eq!(told, [(200, DONE)]);
    let text = refused.expect_err("one was refused").to_string();
    assert!(
        text.contains(CLIENT[0]) && text.contains(SERVER[0]),
        "{text}"
    );
    assert!(open.is_silent());
}

#[test]
fn many_are_changed_at_once() {
    if !privileged("many_are_changed_at_once") {
        return;
    }
    let ground = Ground::new();
    let _open = ground.udp(CLIENT[0], (SERVER[0], 81), (SERVER[0], 81));
    let here = ground.find(|connection| connection.destination_port() == 81);
    let mut gone = here;
    gone.original.source_port ^= 1;
    gone.reply.destination_port ^= 1;
    let orders: Vec<_> = (0..1000)
        .map(|place| match place % 3 {
            0 => (Order::Cut, here),
            1 => (Order::Restore, here),
            _ => (Order::Delete, gone),
        })
        .collect();
    let mut told = Vec::new();
    let mut conntrack = ground.conntrack();
    let each = |place, done| told.push((place, done));
    conntrack.apply(&orders, each).expect("answers");
    let expected: Vec<_> = (0..1000)
        .map(|place| (place, if place % 3 == 2 { Done::Gone } else { DONE }))
        .collect();
    assert_eq!(told, expected);
}
