use std::net::IpAddr;

use etherparse::{LaxIpSlice, PacketBuilder, ip_number};
use proptest::prelude::*;

use super::*;

const TCP_SYN: [u8; 20] = [
    0xc0, 0x00, 0x01, 0xbb, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
];

fn tcp(flags: Option<u8>) -> PacketTransport {
    PacketTransport::Tcp {
        source_port: 49152,
        destination_port: 443,
        flags: flags.map(TcpFlags),
    }
}

fn other(protocol: u8, fragment: bool) -> PacketTransport {
    PacketTransport::Other { protocol, fragment }
}

/// From 10.0.0.1 to 10.0.0.2; `words` is the header's length in words of four bytes.
fn v4(words: u8, protocol: u8, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x40 | words, 0, 0, 0, 0, 0];
    packet.extend(fragment);
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.resize(usize::from(words).max(5) * 4, 1);
    packet.extend(payload);
    packet
}

/// From `fd00::1` to `fd00::2`.
fn v6(next: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    for last in [1, 2] {
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(parts.concat());
    packet
}

fn check(name: &str, bytes: &[u8], transport: PacketTransport) {
    let ends: [&str; 2] = if bytes[0] >> 4 == 4 {
        ["10.0.0.1", "10.0.0.2"]
    } else {
        ["fd00::1", "fd00::2"]
    };
    let [source, destination]: [IpAddr; 2] = ends.map(|end| end.parse().expect("an address"));
    let expected = Packet {
        source,
        destination,
        transport,
    };
    assert_eq!(Packet::parse(bytes), Some(expected), "{name}");
}

const DNS: [u8; 8] = [0x82, 0x35, 0x00, 0x35, 0, 8, 0, 0];
const DNS_PORTS: PacketTransport = PacketTransport::Udp {
    source_port: 33333,
    destination_port: 53,
};
/// From TCP; 24 bytes long.
const AUTHENTICATION: [u8; 24] = [
    6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn rows_of_ipv4() {
    let whole = |protocol, payload: &[u8]| v4(5, protocol, [0, 0], payload);
    let part = |protocol, offset| v4(5, protocol, offset, &TCP_SYN);
    check("syn", &whole(6, &TCP_SYN), tcp(Some(2)));
    check("options", &v4(15, 6, [0, 0], &TCP_SYN), tcp(Some(2)));
    check("do not fragment", &part(6, [0x40, 0]), tcp(Some(2)));
    check("first fragment", &part(6, [0x20, 0]), tcp(Some(2)));
    check("later fragment", &part(6, [0x20, 1]), other(6, true));
    check("last fragment", &part(17, [0x1f, 0xff]), other(17, true));
    check("before the flags", &whole(6, &TCP_SYN[..13]), tcp(None));
    check("with the flags", &whole(6, &TCP_SYN[..14]), tcp(Some(2)));
    check(
        "before the ports",
        &whole(6, &TCP_SYN[..3]),
        other(6, false),
    );
    check("short header", &v4(4, 6, [0, 0], &TCP_SYN), other(6, false));
    check(
        "cut options",
        &v4(15, 6, [0, 0], &[])[..30],
        other(6, false),
    );
    check("udp", &whole(17, &DNS), DNS_PORTS);
    let sctp = PacketTransport::Sctp {
        source_port: 9999,
        destination_port: 80,
    };
    let init = [0x27, 0x0f, 0x00, 0x50, 0, 0, 0, 0];
    check("sctp", &whole(132, &init), sctp);
    let ping = PacketTransport::Icmpv4 { kind: 8, code: 0 };
    check("ping", &whole(1, &[8, 0, 0, 0]), ping);
    check("cut icmp", &whole(1, &[8]), other(1, false));
    check("icmpv6", &whole(58, &[128, 0, 0, 0]), other(58, false));
    check("gre", &whole(47, &TCP_SYN), other(47, false));
    // nftables does not look behind it in IPv4.
    check(
        "ah",
        &whole(51, &[&AUTHENTICATION[..], &TCP_SYN].concat()),
        other(51, false),
    );
}

#[test]
fn rows_of_ipv6() {
    let options = [6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    check("syn", &v6(6, &[&TCP_SYN]), tcp(Some(2)));
    let unreachable = PacketTransport::Icmpv6 { kind: 1, code: 4 };
    check("icmpv6", &v6(58, &[&[1, 4, 0, 0]]), unreachable);
    check("icmp", &v6(1, &[&[8, 0, 0, 0]]), other(1, false));
    check("options", &v6(60, &[&options, &TCP_SYN]), tcp(Some(2)));
    check("ah", &v6(51, &[&AUTHENTICATION, &TCP_SYN]), tcp(Some(2)));
    check("cut options", &v6(60, &[&options[..15]]), other(60, false));
    check(
        "cut tcp",
        &v6(60, &[&options, &TCP_SYN[..3]]),
        other(6, false),
    );
    check("no next header", &v6(59, &[&TCP_SYN]), other(59, false));
    let chain = [
        43, 0, 1, 4, 0, 0, 0, 0, // hop-by-hop
        60, 0, 0, 0, 0, 0, 0, 0, // routing
        44, 0, 1, 4, 0, 0, 0, 0, // destination options
        17, 0, 0, 1, 0, 0, 0, 7, // the first fragment
    ];
    check("chain", &v6(0, &[&chain, &DNS]), DNS_PORTS);
    // What follows is the sender's to choose and no header.
    let later = [60, 0, 0, 8, 0, 0, 0, 7];
    check(
        "later fragment",
        &v6(44, &[&later, &options, &TCP_SYN]),
        other(60, true),
    );
}

#[test]
fn only_addresses_are_needed() {
    for (packet, addresses_end) in [(v4(5, 6, [0, 0], &TCP_SYN), 20), (v6(6, &[&TCP_SYN]), 40)] {
        for length in 0..=packet.len() {
            let read = Packet::parse(&packet[..length]);
            assert_eq!(read.is_some(), length >= addresses_end, "{length} bytes");
        }
    }
    assert_eq!(Packet::parse(&[0x50; 60]), None);
}

#[test]
fn flags_have_names() {
    for (bits, name) in [
        (0x02, "SYN"),
        (0x12, "SYN,ACK"),
        (0x14, "RST,ACK"),
        (0x00, "none"),
        (0xff, "SYN,FIN,RST,PSH,ACK,URG,ECE,CWR"),
    ] {
        assert_eq!(TcpFlags(bits).to_string(), name);
    }
    let accessors = [
        TcpFlags::fin,
        TcpFlags::syn,
        TcpFlags::rst,
        TcpFlags::psh,
        TcpFlags::ack,
        TcpFlags::urg,
        TcpFlags::ece,
        TcpFlags::cwr,
    ];
    for (bit, accessor) in accessors.into_iter().enumerate() {
        assert!(accessor(TcpFlags(1 << bit)));
        assert!(!accessor(TcpFlags(!(1 << bit))));
    }
}

/// Packets of several shapes, made by a library that does not know of this parser.
fn built(shape: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let v4 = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let v6 = PacketBuilder::ipv6([1; 16], [2; 16], 64);
    let mut bytes = Vec::new();
    let written = match shape % 6 {
        0 => v4
            .tcp(ports.0, ports.1, 7, 8)
            .syn()
            .write(&mut bytes, payload),
        1 => v4.udp(ports.0, ports.1).write(&mut bytes, payload),
        2 => v4.icmpv4_echo_request(1, 2).write(&mut bytes, payload),
        3 => v6
            .tcp(ports.0, ports.1, 7, 8)
            .ack(9)
            .write(&mut bytes, payload),
        4 => v6.udp(ports.0, ports.1).write(&mut bytes, payload),
        _ => v6.icmpv6_echo_request(1, 2).write(&mut bytes, payload),
    };
    written.expect("written to memory");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..160), version in any::<bool>()) {
        if let Some(first) = bytes.first_mut() {
            *first = if version { 0x40 | *first & 0xf } else { 0x60 };
        }
        let whole = Packet::parse(&bytes);
        prop_assert_eq!(whole.is_some(), bytes.len() >= if version { 20 } else { 40 });
        // Where etherparse can read addresses and is not misled, they are the same.
        if let (Ok((slice, None)), Some(packet)) = (LaxIpSlice::from_slice(&bytes), whole) {
            prop_assert_eq!(packet.source, slice.source_addr());
            prop_assert_eq!(packet.destination, slice.destination_addr());
            let is_ah_in_v4 = version && bytes[9] == ip_number::AUTH.0;
            if let PacketTransport::Other { protocol, fragment: false } = packet.transport
                && bytes[0] & 0xf >= 5 && !is_ah_in_v4
            {
                prop_assert_eq!(protocol, slice.payload_ip_number().0);
            }
        }
    }

    #[test]
    fn cut_and_mutated(
        shape in any::<u8>(),
        ports in any::<(u16, u16)>(),
        payload in prop::collection::vec(any::<u8>(), 0..40),
        byte in any::<u8>(),
    ) {
        let bytes = built(shape, ports, &payload);
        let whole = Packet::parse(&bytes).expect("a whole packet");
        match whole.transport {
            PacketTransport::Tcp { source_port, destination_port, flags } => {
                prop_assert_eq!((source_port, destination_port), ports);
                prop_assert_eq!(flags, Some(TcpFlags(if shape % 6 == 0 { 0x02 } else { 0x10 })));
            }
            PacketTransport::Udp { source_port, destination_port } => {
                prop_assert_eq!((source_port, destination_port), ports);
            }
            PacketTransport::Icmpv4 { kind, code } => prop_assert_eq!((shape % 6, kind, code), (2, 8, 0)),
            PacketTransport::Icmpv6 { kind, code } => prop_assert_eq!((shape % 6, kind, code), (5, 128, 0)),
            ref transport => prop_assert!(false, "{:?}", transport),
        }
        for length in 0..bytes.len() {
            if let Some(cut) = Packet::parse(&bytes[..length]) {
                prop_assert_eq!((cut.source, cut.destination), (whole.source, whole.destination));
            }
        }
        for at in 0..bytes.len() {
            let mut mutated = bytes.clone();
            mutated[at] = byte;
            let _ = Packet::parse(&mutated);
        }
    }
}
