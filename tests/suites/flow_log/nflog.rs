//! The kernel's NFLOG and counters, in an empty namespace with a few rules of the shape that netpol's have.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use netpol_agent::flow_log::event::LostAt;
use netpol_agent::flow_log::kernel::counters::Counters;
use netpol_agent::flow_log::kernel::nflog::{Nflog, NflogSettings, RECEIVE_BUFFER, Read};
use netpol_agent::flow_log::kernel::reader::{Reader, ReaderSettings};
use netpol_agent::flow_log::kernel::{Message, NflogError};
use netpol_agent::flow_log::packet::{Packet, PacketTransport};
use netpol_agent::flow_log::sighting::{Extent, Sighting};
use netpol_tests::lab::{Netns, privileged};
use policy_compiler::model::{Direction, ObjectKey};
use policy_compiler::ruleset::{DropOf, DropPoint, PodId};
use tokio::sync::mpsc::Receiver;

const GROUP: u16 = 9808;
/// What the rules drop for `shop/web`.
const DROPPED: std::ops::Range<u16> = 9000..9100;
/// What they log in the same group, but not as netpol does.
const FOREIGN: u16 = 8000;
const COUNTER: &str = "pod/shop/web/ingress";
/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn web() -> DropPoint {
    let key: ObjectKey = "shop/web".parse().expect("a key");
    DropPoint {
        direction: Direction::Ingress,
        of: DropOf::Pod(PodId::of(&key, "1")),
    }
}

/// A namespace whose loopback interface drops [`DROPPED`].
fn namespace(name: &str) -> Netns {
    let netns = Netns::new(name).expect("a namespace");
    netns.ip("link set lo up").expect("lo is up");
    let (first, last) = (DROPPED.start, DROPPED.end - 1);
    let prefix = web();
    let rules = format!(
        r#"table inet netpol {{
            counter {COUNTER} {{ }}
            counter link-local {{ }}
            chain in {{
                type filter hook input priority 0;
                udp dport {FOREIGN} log prefix "somebody's" group {GROUP}
                udp dport {first}-{last} log prefix "{prefix}" group {GROUP} snaplen 128
                udp dport {first}-{last} counter name {COUNTER:?} drop
            }}
        }}"#
    );
    netns.nft(&rules).expect("the rules are loaded");
    netns
}

fn nflog_settings() -> NflogSettings {
    NflogSettings {
        group: GROUP,
        snaplen: 128,
        receive_buffer: RECEIVE_BUFFER,
    }
}

/// Sends `count` packets from one socket to one port of [`DROPPED`] after the other, and returns its port.
fn send(netns: &Netns, from: &str, to: &str, count: u16) -> u16 {
    let (from, to) = (from.to_owned(), to.to_owned());
    netns
        .call(move || {
            let socket = UdpSocket::bind((from.as_str(), 0)).expect("a socket");
            for port in DROPPED.cycle().take(usize::from(count)) {
                socket
                    .send_to(&[0; 200], (to.as_str(), port))
                    .expect("sent");
            }
            socket.local_addr().expect("an address").port()
        })
        .expect("the namespace lives")
}

/// A started reader and what it has said.
struct Log {
    reader: Reader,
    messages: Receiver<Message>,
    runtime: tokio::runtime::Runtime,
}

impl Log {
    fn start(netns: &Netns) -> Self {
        let settings = ReaderSettings {
            nflog: nflog_settings(),
            window: Duration::from_secs(10),
        };
        let started = netns.call(move || Reader::start(settings));
        let (reader, messages) = started.expect("a namespace").expect("a reader");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        Self {
            reader,
            messages,
            runtime,
        }
    }

    fn next(&mut self) -> Option<Message> {
        let next = async { tokio::time::timeout(PATIENCE, self.messages.recv()).await };
        self.runtime.block_on(next).expect("a message in time")
    }

    /// The next message but counters.
    fn news(&mut self) -> Option<Message> {
        loop {
            match self.next() {
                Some(Message::Counters(_)) => {}
                other => return other,
            }
        }
    }

    fn sighting(&mut self) -> Sighting {
        match self.news() {
            Some(Message::Sighting(sighting)) => sighting,
            other => panic!("{other:?}"),
        }
    }

    /// What is said until the counter stands at `count`.
    fn until_counted(&mut self, count: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.next() {
                Some(Message::Counters(counters)) => {
                    if counters.contains(&(COUNTER.to_owned(), count)) {
                        return messages;
                    }
                }
                Some(message) => messages.push(message),
                None => panic!("ended before {count} were counted"),
            }
        }
    }

    /// Everything said after it was told to stop.
    fn stop(mut self) -> Vec<Message> {
        self.reader.stop();
        std::iter::from_fn(|| self.next()).collect()
    }
}

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
            Message::Counters(counters),
        ] => {
            assert!(between.iter().all(|m| matches!(m, Message::Counters(_))));
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
    assert!(waits[5] < Duration::from_millis(60), "{waits:?}");
    eprintln!("DBG {waits:?}");
}

#[test]
fn what_overflows_is_counted() {
    if !privileged("what_overflows_is_counted") {
        return;
    }
    let netns = namespace("overflow");
    let opened = netns.call(|| {
        Nflog::open(&NflogSettings {
            receive_buffer: 1,
            ..nflog_settings()
        })
    });
    let mut nflog = opened.expect("a namespace").expect("an open socket");
    let (mut received, mut lost, mut gaps) = (0_u64, 0_u64, 0);
    for burst in [20_000, 1, 20_000, 1] {
        send(&netns, "127.0.0.1", "127.0.0.1", burst);
        // Whatever the kernel gathers comes by itself; a single packet is waited for.
        let before = received;
        let patience = Instant::now() + PATIENCE;
        loop {
            match nflog.read(|_| received += 1).expect("read") {
                Read::Datagram(counts) => lost += counts.lost,
                Read::Gap => gaps += 1,
                Read::Empty if received > before => break,
                Read::Empty => {
                    assert!(Instant::now() < patience);
                    std::thread::yield_now();
                }
            }
        }
    }
    assert!(lost > 0 && gaps > 0, "{received} received, {gaps} gaps");
    assert_eq!(received + lost, 40_002);
}

#[test]
fn a_flood_is_accounted_for() {
    const FLOOD: u64 = 200_000;
    if !privileged("a_flood_is_accounted_for") {
        return;
    }
    let netns = namespace("flood");
    let mut log = Log::start(&netns);
    assert!(matches!(log.news(), Some(Message::Up)));
    for _ in 0..FLOOD / 50_000 {
        send(&netns, "127.0.0.1", "127.0.0.1", 50_000);
    }
    let mut messages = log.until_counted(FLOOD);
    // What was lost at the end shows with a packet after it.
    send(&netns, "127.0.0.1", "127.0.0.1", 1);
    messages.extend(log.until_counted(FLOOD + 1));
    let totals = log.reader.totals();
    messages.extend(log.stop());
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for message in messages {
        let (what, count) = match message {
            Message::Sighting(Sighting { extent, .. }) => match extent {
                Extent::First => ("told", 1),
                Extent::Repeats { count, .. } | Extent::Others { count, .. } => ("told", count),
            },
            Message::Lost { count, at } => match at {
                LostAt::KernelBuffer => ("kernel", count),
                LostAt::AgentQueue | LostAt::Output => ("agent", count),
            },
            Message::Counters(_) => continue,
            Message::Up | Message::Down(_) => panic!("{message:?}"),
        };
        *sums.entry(what).or_default() += count;
    }
    assert_eq!(sums.values().sum::<u64>(), FLOOD + 1, "{sums:?}");
    eprintln!("DBG {sums:?}");
    let lost_in_kernel = sums.get("kernel").copied().unwrap_or(0);
    assert_eq!(lost_in_kernel, totals.lost_in_kernel());
    assert_eq!(totals.received() + lost_in_kernel, FLOOD + 1);
}

#[test]
fn counters_of_the_table_only() {
    const COUNTERS: usize = 3000;
    if !privileged("counters_of_the_table_only") {
        return;
    }
    let netns = Netns::new("counters").expect("a namespace");
    let read = || {
        let counters = netns.call(|| Counters::open()?.read("netpol"));
        counters.expect("a namespace").expect("counters")
    };
    assert_eq!(read(), []);
    let named: String = (0..COUNTERS)
        .map(|n| format!("counter pod/shop/web-{n}/egress {{ packets {n} bytes 1; }}\n"))
        .collect();
    let script = format!(
        "table inet netpol {{ {named} quota q {{ over 1 mbytes; }}
 }}
         table ip netpol {{ counter other-family {{ }} }}
         table inet other {{ counter other-table {{ }} }}"
    );
    netns.nft(&script).expect("the counters are loaded");
    let found: BTreeMap<String, u64> = read().into_iter().collect();
    let expected: BTreeMap<String, u64> = (0_u64..)
        .take(COUNTERS)
        .map(|n| (format!("pod/shop/web-{n}/egress"), n))
        .collect();
    assert_eq!(found, expected);
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
    assert!(is_free());
}
