use std::ffi::CString;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nflog::{PacketNla, TimeStamp, ULogMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use policy_compiler::model::Direction;
use policy_compiler::ruleset::DropOf;
use proptest::prelude::*;

use super::*;
use crate::flow_log::packet::PacketTransport;

const CONTESTED: &str = "netpol/egress/contested";

/// A message as another library writes it.
fn message(attributes: Vec<PacketNla>) -> Vec<u8> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 9808);
    let packet = NetfilterMessage::new(header, ULogMessage::Packet(attributes));
    let payload = NetlinkPayload::from(packet);
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn prefix(text: &str) -> PacketNla {
    PacketNla::Prefix(CString::new(text).expect("no NUL within"))
}

fn numbered(text: &str, number: u32) -> Vec<u8> {
    message(vec![prefix(text), PacketNla::Seq(number)])
}

/// From 10.0.0.1, port 1, to 10.0.0.2, port 2.
const UDP: [u8; 28] = [
    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0,
];

/// Seconds and microseconds, which the library cannot make but from bytes.
fn timestamp(seconds: u64, micros: u64) -> PacketNla {
    let bytes = [seconds.to_be_bytes(), micros.to_be_bytes()].concat();
    PacketNla::Timestamp(TimeStamp::parse(&bytes).expect("a timestamp"))
}

/// When datagrams are received here.
const RECEIVED: Duration = Duration::from_secs(100);

fn decode(decoder: &mut Decoder, datagram: &[u8]) -> (Vec<Dropped>, Counts) {
    let mut found = Vec::new();
    let counts = decoder.decode(datagram, UNIX_EPOCH + RECEIVED, |dropped| {
        found.push(dropped);
    });
    (found, counts)
}

#[test]
fn everything_a_message_says() {
    let datagram = message(vec![
        timestamp(97, 5),
        PacketNla::IfIndexInDev(3),
        PacketNla::IfIndexPhysInDev(4),
        PacketNla::IfIndexOutDev(5),
        prefix(CONTESTED),
        PacketNla::Mark(9),
        PacketNla::Seq(0),
        PacketNla::Payload(UDP.to_vec()),
    ]);
    let (found, counts) = decode(&mut Decoder::default(), &datagram);
    let [source, destination] = ["10.0.0.1", "10.0.0.2"].map(|a| a.parse().expect("an address"));
    let expected = Dropped {
        point: DropPoint {
            direction: Direction::Egress,
            of: DropOf::Contested,
        },
        packet: Some(Packet {
            source,
            destination,
            transport: PacketTransport::Udp {
                source_port: 1,
                destination_port: 2,
            },
        }),
        time: UNIX_EPOCH + Duration::new(97, 5000),
        input: Some(4),
        output: Some(5),
    };
    assert_eq!((found, counts), (vec![expected], Counts::default()));
}

/// Senders may choose them.
#[test]
fn times_that_cannot_be() {
    for (seconds, micros) in [(u64::MAX, u64::MAX), (100, 1), (94, 999_999), (0, 0)] {
        let datagram = message(vec![prefix(CONTESTED), timestamp(seconds, micros)]);
        let (found, _) = decode(&mut Decoder::default(), &datagram);
        assert_eq!(found[0].time, UNIX_EPOCH + RECEIVED, "{seconds}");
        assert_eq!(found[0].packet, None);
    }
}

#[test]
fn gaps_are_counted_across_datagrams_and_prefixes() {
    let mut decoder = Decoder {
        next: u32::MAX - 1,
        ..Decoder::default()
    };
    // Per datagram: the numbers of netpol's packets and others', and what was lost before.
    for (own, foreign, lost) in [
        (vec![u32::MAX - 1], vec![], 0),
        (vec![2], vec![], 3),
        (vec![3, 4, 6], vec![7], 1),
        (vec![], vec![8], 0),
        (vec![10], vec![], 1),
    ] {
        let mut datagram: Vec<u8> = own.iter().flat_map(|n| numbered(CONTESTED, *n)).collect();
        datagram.extend(foreign.iter().flat_map(|n| numbered("other: ", *n)));
        let (found, counts) = decode(&mut decoder, &datagram);
        assert_eq!(found.len(), own.len());
        let foreign = u64::try_from(foreign.len()).expect("few");
        assert_eq!(counts, Counts { lost, foreign });
    }
}

#[test]
fn prefixes_change_from_packet_to_packet() {
    let texts = ["netpol/ingress/link-local", CONTESTED, "", CONTESTED];
    let datagram: Vec<u8> = (0..)
        .zip(texts)
        .flat_map(|(n, text)| numbered(text, n))
        .collect();
    let (found, counts) = decode(&mut Decoder::default(), &datagram);
    let points: Vec<String> = found.iter().map(|d| d.point.to_string()).collect();
    assert_eq!(points, [texts[0], CONTESTED, CONTESTED]);
    assert_eq!(counts.foreign, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_datagrams(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut datagram = numbered(CONTESTED, 0);
        datagram.extend(message(vec![PacketNla::Payload(UDP.to_vec()), prefix(CONTESTED), timestamp(1, 1)]));
        let at = at.index(datagram.len());
        datagram[at] = byte;
        datagram.truncate(length.index(datagram.len() + 1));
        let (found, counts) = decode(&mut Decoder::default(), &datagram);
        prop_assert!(found.len() + usize::try_from(counts.foreign).unwrap_or(usize::MAX) <= 2);
    }
}

#[test]
fn other_runs_are_passed_over_and_not_lost() {
    let run = |run| {
        let log = DropLog {
            run,
            ..DropLog::default()
        };
        let of = DropOf::Contested;
        log.prefix(DropPoint {
            direction: Direction::Egress,
            of,
        })
    };
    let runs = [Some(7), Some(8), None, Some(7), Some(8)];
    let datagram: Vec<u8> = (0..)
        .zip(runs)
        .flat_map(|(number, of)| numbered(&run(of), number))
        .collect();
    for (of, expected) in [(Some(7), 2), (None, 1), (Some(9), 0)] {
        let (found, counts) = decode(&mut Decoder::of_run(of), &datagram);
        assert_eq!((found.len(), counts), (expected, Counts::default()));
    }
}
