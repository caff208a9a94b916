//! What a dropped packet costs in the agent, from the kernel's bytes to the fold: one datagram of 100 packets at a time. And
//! what the first of a flow costs after that, from who it was to its line.

mod explain;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nflog::{PacketNla, ULogMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netpol_agent::flow_log::fold::{Dropped, Fold};
use netpol_agent::flow_log::kernel::decode::Decoder;
use netpol_agent::flow_log::packet::Packet;

const PACKETS: u16 = 100;
const WINDOW: Duration = Duration::from_secs(10);

fn main() {
    divan::main();
}

/// The datagram's bytes to drop points and packets.
#[divan::bench]
fn decode(bencher: Bencher) {
    let datagram = datagram(0, 1);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let mut decoder = Decoder::default();
        decoder.decode(black_box(&datagram), UNIX_EPOCH, |dropped| {
            black_box(dropped);
        })
    });
}

/// All of a flow that has been told.
#[divan::bench]
fn repeats_of_100_flows(bencher: Bencher) {
    let datagram = datagram(0, 1);
    let mut fold = Fold::new(WINDOW);
    let now = Instant::now();
    run(&mut fold, &datagram, now);
    bencher
        .counter(ItemsCount::new(PACKETS))
        .bench_local(|| run(&mut fold, black_box(&datagram), now));
}

/// The same for rules of 100 pods in turn, so that no prefix is that of the packet before.
#[divan::bench]
fn repeats_at_100_pods(bencher: Bencher) {
    let datagram = datagram(0, PACKETS);
    let mut fold = Fold::new(WINDOW);
    let now = Instant::now();
    run(&mut fold, &datagram, now);
    bencher
        .counter(ItemsCount::new(PACKETS))
        .bench_local(|| run(&mut fold, black_box(&datagram), now));
}

/// Each packet is a flow of its own, told and, ten seconds later, forgotten.
#[divan::bench]
fn new_flows(bencher: Bencher) {
    let datagrams: Vec<Vec<u8>> = (0..600).map(|n| datagram(n * PACKETS, PACKETS)).collect();
    let mut fold = Fold::new(WINDOW);
    let mut now = Instant::now();
    let mut turns = datagrams.iter().cycle();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        now += Duration::from_millis(100);
        fold.expire(now, |_| true);
        if let Some(datagram) = turns.next() {
            run(&mut fold, datagram, now);
        }
    });
}

/// More flows at one pod than are told apart.
#[divan::bench]
fn a_scan(bencher: Bencher) {
    let datagrams: Vec<Vec<u8>> = (0..600).map(|n| datagram(n * PACKETS, 1)).collect();
    let mut fold = Fold::new(WINDOW);
    let now = Instant::now();
    let mut turns = datagrams.iter().cycle();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        if let Some(datagram) = turns.next() {
            run(&mut fold, datagram, now);
        }
    });
}

fn run(fold: &mut Fold, datagram: &[u8], now: Instant) {
    let mut decoder = Decoder::default();
    decoder.decode(datagram, SystemTime::now(), |dropped: Dropped| {
        fold.add(&dropped, now, |sighting| {
            black_box(sighting);
            true
        });
    });
}

/// As the kernel would send it: 100 packets to as many ports from `first_port` on, logged by the rules of `pods` pods in turn.
fn datagram(first_port: u16, pods: u16) -> Vec<u8> {
    let mut datagram = Vec::new();
    for number in 0..PACKETS {
        let pod = number % pods;
        let payload = packet(first_port.wrapping_add(number));
        assert!(Packet::parse(&payload).is_some());
        let prefix = format!(
            "netpol/ingress/{:032x}",
            0x1234_5678_u128 << 90 | u128::from(pod)
        );
        let attributes = vec![
            PacketNla::Prefix(std::ffi::CString::new(prefix).unwrap_or_default()),
            PacketNla::IfIndexInDev(7),
            PacketNla::IfIndexOutDev(9),
            PacketNla::Mark(0),
            PacketNla::HwType(1),
            PacketNla::HwHeaderLen(14),
            PacketNla::HwHeader(vec![0; 14]),
            PacketNla::Seq(number.into()),
            PacketNla::Payload(payload),
        ];
        let mut message = NetlinkMessage::new(
            NetlinkHeader::default(),
            NetlinkPayload::from(NetfilterMessage::new(
                NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 9808),
                ULogMessage::Packet(attributes),
            )),
        );
        message.finalize();
        let start = datagram.len();
        datagram.resize(start + message.buffer_len(), 0);
        message.serialize(&mut datagram[start..]);
    }
    datagram
}

/// A TCP SYN from 10.0.0.1 to 10.0.0.2, with options as Linux sends them.
fn packet(port: u16) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0xc0, 0,
    ];
    packet.extend(port.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
    packet.resize(60, 1);
    packet
}
