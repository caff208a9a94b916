//! Ways to write one request that no socket would choose.

use std::net::{IpAddr, SocketAddr};

use netpol_tests::lab::{IpProtocol, Ipv4Header, Ipv6Header, tcp_syn, udp_request};

/// A way to write the request `source → destination`, as packets.
pub(crate) type Trick = (
    &'static str,
    IpProtocol,
    fn(SocketAddr, SocketAddr) -> Vec<Vec<u8>>,
);

pub(crate) const TRICKS_V4: &[Trick] = &[
    ("plain UDP", IpProtocol::Udp, |s, d| {
        vec![v4(s, d, 17).encode(&udp_request(s, d, 0))]
    }),
    ("plain TCP", IpProtocol::Tcp, |s, d| {
        vec![v4(s, d, 6).encode(&tcp_syn(s, d))]
    }),
    (
        "UDP behind no-operation options",
        IpProtocol::Udp,
        |s, d| {
            vec![
                Ipv4Header {
                    options: vec![1; 40],
                    ..v4(s, d, 17)
                }
                .encode(&udp_request(s, d, 0)),
            ]
        },
    ),
    (
        "TCP behind a record-route option",
        IpProtocol::Tcp,
        |s, d| {
            let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
            vec![
                Ipv4Header {
                    options: record_route.to_vec(),
                    ..v4(s, d, 6)
                }
                .encode(&tcp_syn(s, d)),
            ]
        },
    ),
    (
        "UDP in fragments, the first only a header",
        IpProtocol::Udp,
        |s, d| fragments_v4(s, d, 17, &udp_request(s, d, 64), 8),
    ),
    (
        "UDP in fragments, the last first",
        IpProtocol::Udp,
        |s, d| {
            let mut parts = fragments_v4(s, d, 17, &udp_request(s, d, 64), 24);
            parts.reverse();
            parts
        },
    ),
    (
        "TCP in fragments, flags in the second",
        IpProtocol::Tcp,
        |s, d| fragments_v4(s, d, 6, &tcp_syn(s, d), 8),
    ),
];

pub(crate) const TRICKS_V6: &[Trick] = &[
    ("plain UDP", IpProtocol::Udp, |s, d| {
        vec![v6(s, d, 17, &udp_request(s, d, 0))]
    }),
    ("plain TCP", IpProtocol::Tcp, |s, d| {
        vec![v6(s, d, 6, &tcp_syn(s, d))]
    }),
    ("UDP behind hop-by-hop options", IpProtocol::Udp, |s, d| {
        vec![v6(s, d, 0, &Ipv6Header::options(17, &udp_request(s, d, 0)))]
    }),
    (
        "TCP behind destination options, twice",
        IpProtocol::Tcp,
        |s, d| {
            vec![v6(
                s,
                d,
                60,
                &Ipv6Header::options(60, &Ipv6Header::options(6, &tcp_syn(s, d))),
            )]
        },
    ),
    ("UDP in fragments", IpProtocol::Udp, |s, d| {
        fragments_v6(s, d, 17, &udp_request(s, d, 64), 24)
    }),
    // The kernel itself drops an IPv6 TCP header in pieces, so that there is no trick to try.
    ("UDP in one fragment", IpProtocol::Udp, |s, d| {
        fragments_v6(s, d, 17, &udp_request(s, d, 0), 1024)
    }),
];

fn v4(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Ipv4Header {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) else {
        panic!("not IPv4")
    };
    Ipv4Header {
        source: from,
        destination: to,
        protocol,
        id: source.port(),
        fragment_offset: 0,
        more_fragments: false,
        options: Vec::new(),
    }
}

fn fragments_v4(
    s: SocketAddr,
    d: SocketAddr,
    protocol: u8,
    payload: &[u8],
    size: usize,
) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(i, part)| {
        let fragment_offset = u16::try_from(i * size / 8).expect("small");
        Ipv4Header {
            fragment_offset,
            more_fragments: i + 1 < count,
            ..v4(s, d, protocol)
        }
        .encode(part)
    });
    parts.collect()
}

fn v6(source: SocketAddr, destination: SocketAddr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (source.ip(), destination.ip()) else {
        panic!("not IPv6")
    };
    Ipv6Header {
        source: from,
        destination: to,
        next_header,
    }
    .encode(payload)
}

fn fragments_v6(
    s: SocketAddr,
    d: SocketAddr,
    protocol: u8,
    payload: &[u8],
    size: usize,
) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(i, part)| {
        let offset = u16::try_from(i * size / 8).expect("small");
        v6(
            s,
            d,
            44,
            &Ipv6Header::fragment(protocol, u32::from(s.port()), offset, i + 1 < count, part),
        )
    });
    parts.collect()
}
