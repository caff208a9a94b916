//! The kernel's NFLOG: what is told of dropped packets, and who may read it.

use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use netpol_agent::flow_log::kernel::nflog::Nflog;
use netpol_agent::flow_log::kernel::reader::{Reader, ReaderSettings};
use netpol_agent::flow_log::kernel::{Message, NflogError};
use netpol_agent::flow_log::packet::{Packet, PacketTransport};
use netpol_agent::flow_log::sighting::{Extent, Sighting};
use netpol_tests::lab::{Netns, privileged};

use crate::ground::{
    COUNTER, DROPPED, FOREIGN, GROUP, Log, PATIENCE, again_without_net_admin, namespace,
    nflog_settings, send, web,
};

#[test]
fn a_dropped_packet_is_told_of() {
    if !privileged("a_dropped_packet_is_told_of") {
        return;
    }
    let netns = namespace("told");
    let mut log = Log::start(&netns);
    assert!(matches!(log.news(), Some(Message::Up)));
    for address in ["127.0.0.1", "::1"] {
        let before = SystemTime::now();
        let source_port = send(&netns, address, address, 1);
        let told = log.sighting();
        assert!(
            before <= told.time && told.time <= SystemTime::now(),
            "{told:?}, sent after {before:?}"
        );
        let ip = address.parse().expect("an address");
        let expected = Sighting {
            point: web(),
            packet: Some(Packet {
                source: ip,
                destination: ip,
                transport: PacketTransport::Udp {
                    source_port,
                    destination_port: DROPPED.start,
                },
            }),
            time: told.time,
            // The loopback interface is the first of every namespace.
            input: Some(1),
            output: None,
            extent: Extent::First,
        };
        assert_eq!(told, expected);
    }
    // Repeats come from other sockets, and are told at the end of the window, or here of the reader.
    let totals = log.reader.totals();
    for _ in 0..3 {
        send(&netns, "127.0.0.1", "127.0.0.1", 1);
    }
    netns
        .call(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.send_to(b"x", ("127.0.0.1", FOREIGN)).expect("sent");
        })
        .expect("the namespace lives");
    let messages = log.stop();
    match messages.as_slice() {
        [
            between @ ..,
            Message::Sighting(repeats),
            Message::Reading { counters, .. },
        ] => {
            assert!(between.iter().all(|m| matches!(m, Message::Reading { .. })));
            assert!(matches!(repeats.extent, Extent::Repeats { count: 3, .. }));
            assert_eq!(counters.len(), 2);
            assert!(counters.contains(&(COUNTER.to_owned(), 5)), "{counters:?}");
            assert!(counters.contains(&("link-local".to_owned(), 0)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((totals.received(), totals.folded()), (5, 3));
    assert_eq!((totals.foreign(), totals.lost_in_kernel()), (1, 0));
}

#[test]
fn a_packet_is_told_of_soon() {
    if !privileged("a_packet_is_told_of_soon") {
        return;
    }
    let netns = namespace("soon");
    let mut log = Log::start(&netns);
    assert!(matches!(log.news(), Some(Message::Up)));
    let mut waits: Vec<Duration> = Vec::new();
    for peer in 1..=11 {
        let start = Instant::now();
        send(&netns, &format!("127.0.0.{peer}"), "127.0.0.1", 1);
        log.sighting();
        waits.push(start.elapsed());
    }
    waits.sort();
    assert!(waits[5] < Duration::from_millis(150), "{waits:?}");
}

#[test]
fn a_taken_group_is_waited_for() {
    if !privileged("a_taken_group_is_waited_for") {
        return;
    }
    let netns = namespace("taken");
    let mut first = Log::start(&netns);
    assert!(matches!(first.news(), Some(Message::Up)));
    let mut second = Log::start(&netns);
    match second.news() {
        Some(Message::Down(error @ NflogError::Busy { group: GROUP })) => {
            assert!(error.is_temporary(), "{error}");
        }
        other => panic!("{other:?}"),
    }
    send(&netns, "127.0.0.1", "127.0.0.1", 1);
    first.sighting();
    first.stop();
    assert!(matches!(second.news(), Some(Message::Up)));
    send(&netns, "127.0.0.1", "127.0.0.1", 1);
    second.sighting();
}

#[test]
fn a_reader_ends_with_its_owner() {
    if !privileged("a_reader_ends_with_its_owner") {
        return;
    }
    let netns = namespace("ends");
    let is_free = || {
        let opened = netns.call(|| Nflog::open(&nflog_settings()));
        opened.expect("a namespace").is_ok()
    };
    let Log {
        reader,
        mut messages,
        ..
    } = Log::start(&netns);
    assert!(!is_free());
    drop(reader);
    while messages.blocking_recv().is_some() {}
    // A process that another test is just starting has our files until it runs its program.
    let deadline = Instant::now() + PATIENCE;
    while !is_free() {
        assert!(Instant::now() < deadline, "it is never free again");
    }
}

/// This test runs itself once more as root without `CAP_NET_ADMIN`, where the group is free and yet cannot be bound.
#[test]
fn without_permission() {
    const INSIDE: &str = "NETPOL_TEST_WITHOUT_NET_ADMIN";
    if !privileged("without_permission") {
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        let netns = Netns::new("forbidden").expect("a namespace");
        let settings = ReaderSettings {
            nflog: nflog_settings(),
            window: Duration::from_secs(10),
        };
        let started = netns.call(move || Reader::start(settings).map(drop));
        match started.expect("a namespace") {
            Err(error @ NflogError::NotPermitted { group: GROUP }) => {
                assert!(!error.is_temporary(), "{error}");
            }
            other => panic!("{other:?}"),
        }
        return;
    }
    again_without_net_admin("nflog::without_permission", INSIDE);
}
