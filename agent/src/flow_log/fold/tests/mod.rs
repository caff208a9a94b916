mod histories;
mod memory;

use std::net::{IpAddr, Ipv4Addr};
use std::time::UNIX_EPOCH;

use policy_compiler::model::{Direction, ObjectKey};
use policy_compiler::ruleset::{DropOf, PodId};

use super::*;
use crate::flow_log::packet::{Packet, PacketTransport};

const WINDOW: Duration = Duration::from_secs(10);

fn point(pod: usize, direction: Direction) -> DropPoint {
    let key: ObjectKey = format!("shop/pod-{pod}").parse().expect("a key");
    let of = DropOf::Pod(PodId::of(&key, ""));
    DropPoint { direction, of }
}

fn udp(destination_port: u16) -> PacketTransport {
    PacketTransport::Udp {
        source_port: 1,
        destination_port,
    }
}

/// From 10.0.`from` to 10.1.`to`, `second` seconds after 1970.
fn dropped(at: DropPoint, from: u16, to: u16, transport: PacketTransport, second: u64) -> Dropped {
    let address = |net, host: u16| -> IpAddr {
        let [high, low] = host.to_be_bytes();
        Ipv4Addr::new(10, net, high, low).into()
    };
    Dropped {
        point: at,
        packet: Some(Packet {
            source: address(0, from),
            destination: address(1, to),
            transport,
        }),
        time: UNIX_EPOCH + Duration::from_secs(second),
        input: Some(7),
        output: None,
    }
}

/// A fold, a clock, and what was told.
struct Bench {
    fold: Fold,
    start: Instant,
    told: Vec<Sighting>,
    accepts: bool,
}

impl Bench {
    fn new() -> Self {
        Self {
            fold: Fold::new(WINDOW),
            start: Instant::now(),
            told: Vec::new(),
            accepts: true,
        }
    }

    fn add(&mut self, dropped: &Dropped, second: u64) -> Added {
        let now = self.start + Duration::from_secs(second);
        self.fold.add(dropped, now, |sighting| {
            if self.accepts {
                self.told.push(sighting);
            }
            self.accepts
        })
    }

    /// What is told up to `second`.
    fn until(&mut self, second: u64) -> Vec<Sighting> {
        let now = self.start + Duration::from_secs(second);
        self.fold.expire(now, |sighting| {
            if self.accepts {
                self.told.push(sighting);
            }
            self.accepts
        });
        std::mem::take(&mut self.told)
    }
}

fn repeats(count: u64, since: u64) -> Extent {
    let since = UNIX_EPOCH + Duration::from_secs(since);
    Extent::Repeats { count, since }
}

#[test]
fn a_flow_is_told_once_a_window_until_it_stops() {
    let mut bench = Bench::new();
    let packet = |second| dropped(point(1, Direction::Ingress), 1, 1, udp(53), second);
    assert_eq!(bench.add(&packet(0), 0), Added::Told);
    assert_eq!(bench.told, [packet(0).told_as(Extent::First)]);
    assert_eq!(bench.add(&packet(3), 3), Added::Folded);
    assert_eq!(bench.add(&packet(4), 4), Added::Folded);
    assert_eq!(bench.until(9).len(), 1);
    assert_eq!(bench.until(10), [packet(4).told_as(repeats(2, 3))]);
    // The second window has one packet, the third none.
    bench.add(&packet(19), 19);
    assert_eq!(bench.until(20), [packet(19).told_as(repeats(1, 19))]);
    assert_eq!(bench.until(30), []);
    assert_eq!(bench.fold.next_due(), None);
    // It is new again.
    assert_eq!(bench.add(&packet(31), 31), Added::Told);
}

#[test]
fn what_makes_a_flow() {
    let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(|d| point(1, d));
    let icmp = |kind, code| PacketTransport::Icmpv4 { kind, code };
    let reverse = |transport| match transport {
        PacketTransport::Udp {
            destination_port, ..
        } => PacketTransport::Udp {
            source_port: 2,
            destination_port,
        },
        other => other,
    };
    let of_many = |of| DropPoint {
        direction: Direction::Egress,
        of,
    };
    let (contested, link_local) = (of_many(DropOf::Contested), of_many(DropOf::LinkLocal));
    let unread = Dropped {
        packet: None,
        ..dropped(ingress, 1, 1, udp(1), 0)
    };
    let cut = PacketTransport::Other {
        protocol: 17,
        fragment: false,
    };
    let base = dropped(ingress, 1, 1, udp(53), 0);
    let rows = [
        (base, dropped(ingress, 1, 1, reverse(udp(53)), 0), true),
        (base, dropped(ingress, 1, 2, udp(53), 0), true),
        (base, dropped(ingress, 2, 1, udp(53), 0), false),
        (base, dropped(ingress, 1, 1, udp(54), 0), false),
        (base, dropped(egress, 1, 1, udp(53), 0), false),
        (
            base,
            dropped(point(2, Direction::Ingress), 1, 1, udp(53), 0),
            false,
        ),
        (base, unread, false),
        (unread, unread, true),
        (
            dropped(ingress, 1, 1, udp(0), 0),
            dropped(ingress, 1, 1, cut, 0),
            false,
        ),
        (
            dropped(egress, 1, 1, udp(53), 0),
            dropped(egress, 2, 1, udp(53), 0),
            true,
        ),
        (
            dropped(egress, 1, 1, udp(53), 0),
            dropped(egress, 1, 2, udp(53), 0),
            false,
        ),
        (
            dropped(contested, 1, 1, udp(53), 0),
            dropped(contested, 2, 1, udp(53), 0),
            false,
        ),
        (
            dropped(contested, 1, 1, udp(53), 0),
            dropped(contested, 1, 2, udp(53), 0),
            false,
        ),
        (
            dropped(link_local, 1, 1, udp(53), 0),
            dropped(link_local, 1, 2, udp(53), 0),
            false,
        ),
        (
            dropped(ingress, 1, 1, icmp(3, 4), 0),
            dropped(ingress, 1, 1, icmp(3, 4), 0),
            true,
        ),
        (
            dropped(ingress, 1, 1, icmp(3, 4), 0),
            dropped(ingress, 1, 1, icmp(3, 1), 0),
            false,
        ),
    ];
    for (one, other, are_one) in rows {
        let mut bench = Bench::new();
        bench.add(&one, 0);
        let expected = if are_one { Added::Folded } else { Added::Told };
        assert_eq!(bench.add(&other, 0), expected, "{one:?}\n{other:?}");
    }
}

#[test]
fn a_scan_is_told_as_others() {
    let mut bench = Bench::new();
    let at = point(1, Direction::Ingress);
    let scan = |port: u16| dropped(at, 1, 1, udp(port), u64::from(port));
    for port in 0..1000 {
        let told = usize::from(port) < FLOWS_OF_ONE;
        let expected = if told { Added::Told } else { Added::Folded };
        assert_eq!(bench.add(&scan(port), 1), expected, "{port}");
    }
    // It does not take the room of another pod.
    let neighbour = dropped(point(2, Direction::Ingress), 1, 1, udp(1), 0);
    assert_eq!(bench.add(&neighbour, 1), Added::Told);
    bench.told.clear();
    let others = Extent::Others {
        count: 1000 - 256,
        since: UNIX_EPOCH + Duration::from_secs(256),
    };
    assert_eq!(bench.until(11), [scan(999).told_as(others)]);
    // All is forgotten, and a flow gets its first line again.
    assert_eq!(bench.fold.next_due(), None);
    assert!(bench.fold.points.is_empty());
    assert_eq!(bench.add(&scan(999), 12), Added::Told);
}

#[test]
fn a_refused_sighting_is_not_lost() {
    let mut bench = Bench::new();
    let at = point(1, Direction::Ingress);
    let packet = |port, second| dropped(at, 1, 1, udp(port), second);
    bench.add(&packet(1, 0), 0);
    bench.add(&packet(1, 1), 1);
    bench.told.clear();
    bench.accepts = false;
    assert_eq!(bench.add(&packet(2, 2), 2), Added::Folded);
    assert_eq!(bench.until(15), []);
    bench.add(&packet(1, 15), 15);
    bench.accepts = true;
    let others = Extent::Others {
        count: 1,
        since: packet(2, 2).time,
    };
    let told = [
        packet(1, 15).told_as(repeats(2, 1)),
        packet(2, 2).told_as(others),
    ];
    assert_eq!(bench.until(16), told);
    // The flow itself was not entered.
    assert_eq!(bench.add(&packet(2, 17), 17), Added::Told);

    bench.add(&packet(2, 18), 18);
    bench.add(&packet(2, 18), 18);
    assert_eq!(bench.fold.drain(|_| false), 2);
}

#[test]
fn what_comes_from_the_next_owner_is_no_repeat() {
    let mut bench = Bench::new();
    let packet = |from, second| dropped(point(1, Direction::Ingress), from, 1, udp(53), second);
    let moved = packet(1, 0).packet.map(|packet| packet.source);
    let moved: HashSet<IpAddr> = moved.into_iter().collect();
    for from in [1, 2] {
        assert_eq!(bench.add(&packet(from, 0), 0), Added::Told);
        assert_eq!(bench.add(&packet(from, 1), 1), Added::Folded);
    }
    bench.told.clear();
    let now = bench.start + Duration::from_secs(2);
    bench.fold.forget_peers(&moved, now, |sighting| {
        bench.told.push(sighting);
        true
    });
    assert_eq!(bench.told, [packet(1, 1).told_as(repeats(1, 1))]);
    assert_eq!(bench.fold.flows.len(), bench.fold.flows_due.len());
    assert_eq!(bench.add(&packet(1, 3), 3), Added::Told);
    assert_eq!(bench.add(&packet(2, 3), 3), Added::Folded);
    // What is refused is told with the others.
    bench.add(&packet(1, 4), 4);
    bench
        .fold
        .forget_peers(&moved, now + Duration::from_secs(3), |_| false);
    bench.told.clear();
    let told = bench.until(20);
    let count = |sighting: &Sighting| match sighting.extent {
        Extent::First => 1,
        Extent::Connection => 0,
        Extent::Repeats { count, .. } | Extent::Others { count, .. } => count,
    };
    assert_eq!(told.iter().map(count).collect::<Vec<_>>(), [2, 1]);
    assert!(matches!(told[1].extent, Extent::Others { .. }));
    bench.until(40);
    assert!(bench.fold.flows.is_empty() && bench.fold.points.is_empty());
}
