//! What is read is what there is.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netpol_agent::conntrack::{Connection, Icmp, Tuple, Which, ZoneOf};
use netpol_tests::lab::{Tracked, privileged, track};

use super::exchange::Exchange;
use super::ground::{
    CLIENT, Ground, HIDDEN, LABELLED, LABELS, PORT, ROUTER, SERVER, SERVICE, ZONED,
};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What is known of a connection beforehand.
fn seen(connection: &Connection) -> (Tuple, Tuple) {
    (connection.original, connection.reply)
}

fn without_nat(original: Tuple) -> (Tuple, Tuple) {
    (original, original.reversed())
}

#[test]
fn connections_are_read_as_they_are() {
    if !privileged("connections_are_read_as_they_are") {
        return;
    }
    let ground = Ground::new();
    let mut open: Vec<Exchange> = Vec::new();
    let mut expected = Vec::new();
    for family in 0..2 {
        let (client, server, service) = (CLIENT[family], SERVER[family], SERVICE[family]);
        let direct = ground.tcp(client, (server, 81), (server, 81));
        let tuple = Tuple::new((ip(client), direct.port()), (ip(server), 81), TCP);
        expected.push(without_nat(tuple));
        for (protocol, exchange) in [
            (TCP, ground.tcp(client, (service, 80), (server, PORT))),
            (UDP, ground.udp(client, (service, 80), (server, PORT))),
        ] {
            let tuple = Tuple::new((ip(client), exchange.port()), (ip(service), 80), protocol);
            let (original, mut reply) = without_nat(tuple);
            (reply.source, reply.source_port) = (ip(server), PORT);
            expected.push((original, reply));
            open.push(exchange);
        }
        let echo = ground.icmp(client, server, 0x1234);
        let original = Tuple::new((ip(client), 0x1234), (ip(server), 0), [1, 58][family]);
        let reply = Tuple {
            icmp: Some(Icmp {
                kind: [0, 129][family],
                code: 0,
            }),
            source: original.destination,
            destination: original.source,
            ..original
        };
        expected.push((original, reply));
        open.extend([direct, echo]);
    }
    let hidden = ground.udp(HIDDEN, (SERVER[0], 82), (SERVER[0], 82));
    let tuple = Tuple::new((ip(HIDDEN), hidden.port()), (ip(SERVER[0]), 82), UDP);
    let (original, mut reply) = without_nat(tuple);
    reply.destination = ip(ROUTER);
    expected.push((original, reply));

    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    let mut conntrack = ground.conntrack();
    let take = |connection: Connection| {
        // Looking for neighbours is of no concern here.
        if !expected.contains(&seen(&connection)) && connection.original.protocol == 58 {
            return;
        }
        assert_eq!((connection.zone, connection.master), (0, None));
        assert!(!connection.is_cut() && !connection.is_offloaded());
        assert!(ids.insert(connection.id), "{connection:?}");
        found.push(seen(&connection));
    };
    conntrack.each(&Which::All, take).expect("a list");
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn ends_are_those_after_destination_nat() {
    if !privileged("ends_are_those_after_destination_nat") {
        return;
    }
    let ground = Ground::new();
    let _open = ground.udp(HIDDEN, (SERVICE[0], 80), (SERVER[0], PORT));
    let connection = ground.find(|connection| connection.source() == ip(HIDDEN));
    assert_eq!(connection.destination(), ip(SERVER[0]));
    assert_eq!(connection.destination_port(), PORT);
    assert_eq!(connection.original.destination, ip(SERVICE[0]));
}

#[test]
fn zones_are_told_and_found_again() {
    if !privileged("zones_are_told_and_found_again") {
        return;
    }
    let ground = Ground::new();
    let server = SERVER[0];
    let of = [ZoneOf::Both, ZoneOf::Original, ZoneOf::Reply];
    for ((port, zone), zone_of) in ZONED.into_iter().zip(7..).zip(of) {
        let _open = ground.udp(CLIENT[0], (server, port), (server, port));
        let connection = ground.find(|connection| connection.destination_port() == port);
        assert_eq!((connection.zone, connection.zone_of), (zone, zone_of));
        let other = Connection {
            zone: 3,
            ..connection
        };
        let mut conntrack = ground.conntrack();
        let cut = |c| format!("{:?}", conntrack.cut(c).expect("an answer"));
        // By the direction of replies it is found, which is in zone 0 if only the other is in one.
        let of_other = if zone_of == ZoneOf::Original {
            "Done"
        } else {
            "Gone"
        };
        assert_eq!([&other, &connection].map(cut), [of_other, "Done"]);
        let found = ground.find(|connection| connection.destination_port() == port);
        assert!(found.is_cut(), "{found:?}");
    }
}

#[test]
fn the_label_is_the_one_that_rules_call_127() {
    if !privileged("the_label_is_the_one_that_rules_call_127") {
        return;
    }
    let ground = Ground::new();
    for label in LABELS {
        let port = LABELLED + label;
        let _open = ground.udp(CLIENT[0], (SERVER[0], port), (SERVER[0], port));
        let connection = ground.find(|connection| connection.destination_port() == port);
        let labels = connection.labels.expect("one is set");
        let count: u32 = labels.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(count, 1, "{labels:?}");
        assert_eq!(connection.is_cut(), label == 127, "{label}: {labels:?}");
    }
}

#[test]
fn what_another_brought_about_tells_of_it() {
    if !privileged("what_another_brought_about_tells_of_it") {
        return;
    }
    let ground = Ground::new();
    let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    let (client, service, server) = ("10.2.0.2:4000", "10.96.0.1:21", "10.1.0.2:2121");
    let first = Tracked {
        source: at(client),
        destination: at(service),
        backend: Some(at(server)),
        protocol: TCP,
        master: None,
    };
    let data = |source, destination, master| Tracked {
        source: at(source),
        destination: at(destination),
        backend: None,
        protocol: TCP,
        master: Some(master),
    };
    let entries = [
        first,
        // From the server, as active FTP has it; and one that this brings about.
        data(
            "10.1.0.2:20",
            "10.2.0.2:4001",
            (first.source, first.destination),
        ),
        data(
            "10.1.0.2:30",
            "10.2.0.2:4002",
            (at("10.1.0.2:20"), at("10.2.0.2:4001")),
        ),
    ];
    let made = ground.router.call(move || track(entries)).expect("alive");
    made.expect("made");
    let opened = ground.find(|c| c.original.source_port == 4000).opened();
    assert_eq!(opened.destination, ip(SERVER[0]));
    assert_eq!(opened.destination_port, 2121);
    for port in [20, 30] {
        let connection = ground.find(|c| c.original.source_port == port);
        assert_eq!(connection.master, Some(opened), "{port}");
        assert_eq!(connection.judged(), opened, "{port}");
    }
}
