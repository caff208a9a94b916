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

/// From fd00::1 to fd00::2.
fn v6(next: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    for last in [1, 2] {
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(parts.concat());
    packet
}

#[test]
fn rows() {
    let sctp_init = [0x27, 0x0f, 0x00, 0x50, 0, 0, 0, 0];
    let sctp = PacketTransport::Sctp {
        source_port: 9999,
        destination_port: 80,
    };
    let udp_dns = [0x82, 0x35, 0x00, 0x35, 0, 8, 0, 0];
    let udp = PacketTransport::Udp {
        source_port: 33333,
        destination_port: 53,
    };
    let ping = [8, 0, 0, 0];
    let unreachable = [1, 4, 0, 0];
    let options_16 = [6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication_24 = [
        6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let chain: [&[u8]; 4] = [
        &[43, 0, 1, 4, 0, 0, 0, 0],
        &[60, 0, 0, 0, 0, 0, 0, 0],
        &[44, 0, 1, 4, 0, 0, 0, 0],
        &[17, 0, 0, 1, 0, 0, 0, 7],
    ];
    let long_chain: Vec<&[u8]> = chain.into_iter().chain([udp_dns.as_slice()]).collect();
    let kind = |kind, code| PacketTransport::Icmpv4 { kind, code };
    let kind6 = |kind, code| PacketTransport::Icmpv6 { kind, code };
    let rows: [(&str, Vec<u8>, PacketTransport); 24] = [
        ("syn", v4(5, 6, [0, 0], &TCP_SYN), tcp(Some(2))),
        ("options", v4(15, 6, [0, 0], &TCP_SYN), tcp(Some(2))),
        (
            "do not fragment",
            v4(5, 6, [0x40, 0], &TCP_SYN),
            tcp(Some(2)),
        ),
        (
            "first fragment",
            v4(5, 6, [0x20, 0], &TCP_SYN),
            tcp(Some(2)),
        ),
        (
            "later fragment",
            v4(5, 6, [0x20, 1], &TCP_SYN),
            other(6, true),
        ),
        (
            "last fragment",
            v4(5, 17, [0x1f, 0xff], &udp_dns),
            other(17, true),
        ),
        (
            "before the flags",
            v4(5, 6, [0, 0], &TCP_SYN[..13]),
            tcp(None),
        ),
        (
            "with the flags",
            v4(5, 6, [0, 0], &TCP_SYN[..14]),
            tcp(Some(2)),
        ),
        (
            "before the ports",
            v4(5, 6, [0, 0], &TCP_SYN[..3]),
            other(6, false),
        ),
        ("short header", v4(4, 6, [0, 0], &TCP_SYN), other(6, false)),
        (
            "cut options",
            v4(15, 6, [0, 0], &[])[..30].to_vec(),
            other(6, false),
        ),
        ("udp", v4(5, 17, [0, 0], &udp_dns), udp),
        ("sctp", v4(5, 132, [0, 0], &sctp_init), sctp),
        ("icmp", v4(5, 1, [0, 0], &ping), kind(8, 0)),
        ("icmp cut", v4(5, 1, [0, 0], &ping[..1]), other(1, false)),
        ("gre", v4(5, 47, [0, 0], &TCP_SYN), other(47, false)),
        ("icmpv6 in v4", v4(5, 58, [0, 0], &ping), other(58, false)),
        // nftables does not look behind it in IPv4.
        (
            "ah in v4",
            v4(5, 51, [0, 0], &authentication_24),
            other(51, false),
        ),
        ("icmpv6", v6(58, &[&unreachable]), kind6(1, 4)),
        (
            "16 bytes of options",
            v6(60, &[&options_16, &TCP_SYN]),
            tcp(Some(2)),
        ),
        ("ah", v6(51, &[&authentication_24, &TCP_SYN]), tcp(Some(2))),
        (
            "hop-by-hop, routing, options, fragment",
            v6(0, &long_chain),
            udp,
        ),
        (
            // What follows is the sender's to choose and is no header.
            "later fragment that looks like options",
            v6(44, &[&[60, 0, 0, 8, 0, 0, 0, 7], &options_16, &TCP_SYN]),
            other(60, true),
        ),
        (
            "cut extension",
            v6(60, &[&options_16[..15]]),
            other(60, false),
        ),
    ];
    for (name, bytes, transport) in rows {
        let ends: [IpAddr; 2] = if bytes[0] >> 4 == 4 {
            ["10.0.0.1", "10.0.0.2"].map(|a| a.parse().expect("an address"))
        } else {
            ["fd00::1", "fd00::2"].map(|a| a.parse().expect("an address"))
        };
        let expected = Packet {
            source: ends[0],
            destination: ends[1],
            transport,
        };
        assert_eq!(Packet::parse(&bytes), Some(expected), "{name}");
    }
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
