//! Packets no socket would send: options, odd fragments, foreign sources.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use super::packet::{IpProtocol, REQUEST, SYN};

/// Sends whole packets, headers included, from the namespace of the calling thread. Link-local addresses are looked for
/// on its `eth0`.
pub fn send_raw(packets: &[Vec<u8>], to: IpAddr) -> io::Result<()> {
    const IPPROTO_RAW: i32 = 255;
    let to = match to {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, 0, 0, if_nametoindex("eth0")?).into()
        }
        _ => SocketAddr::new(to, 0),
    };
    let socket = Socket::new(
        Domain::for_address(to),
        Type::RAW,
        Some(Protocol::from(IPPROTO_RAW)),
    )?;
    packets
        .iter()
        .try_for_each(|packet| socket.send_to(packet, &to.into()).map(drop))
}

/// An IPv4 header, to be sent by a socket that leaves headers alone. `options` is padded to whole words.
#[derive(Clone, Debug)]
pub struct Ipv4Header {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Identification, by which fragments find each other.
    pub id: u16,
    /// Offset of this fragment in units of eight bytes.
    pub fragment_offset: u16,
    /// Whether more fragments follow.
    pub more_fragments: bool,
    /// Options.
    pub options: Vec<u8>,
}

impl Ipv4Header {
    /// Header and payload.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);
        let flags = self.fragment_offset | if self.more_fragments { 0x2000 } else { 0 };
        let total = u16::try_from(usize::from(words) * 4 + payload.len()).unwrap_or(u16::MAX);
        let mut packet = vec![0x40 | words, 0];
        packet.extend(total.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(flags.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(options);
        let sum = internet_checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

/// An IPv6 header with at most one extension header, for the same purpose.
#[derive(Clone, Debug)]
pub struct Ipv6Header {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Number of what follows: an extension, which then names the next itself, or the transport protocol.
    pub next_header: u8,
}

impl Ipv6Header {
    /// Header and payload.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(
            u16::try_from(payload.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        packet.extend([self.next_header, 64]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(payload);
        packet
    }

    /// An options header (hop-by-hop, destination) of padding, before `payload`.
    pub fn options(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut extended = vec![next_header, 0, 1, 4, 0, 0, 0, 0];
        extended.extend(payload);
        extended
    }

    /// A fragment header before `payload`; the offset is in units of eight bytes.
    pub fn fragment(
        next_header: u8,
        id: u32,
        offset: u16,
        more_fragments: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut extended = vec![next_header, 0];
        extended.extend((offset << 3 | u16::from(more_fragments)).to_be_bytes());
        extended.extend(id.to_be_bytes());
        extended.extend(payload);
        extended
    }
}

/// A UDP request that receivers record, with `padding` bytes behind it, and its checksum.
pub fn udp_request(source: SocketAddr, destination: SocketAddr, padding: usize) -> Vec<u8> {
    let mut payload = REQUEST.to_vec();
    payload.resize(REQUEST.len() + padding, b'.');
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source.port().to_be_bytes());
    datagram.extend(destination.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(&payload);
    let sum = transport_checksum(source.ip(), destination.ip(), IpProtocol::Udp, &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// A TCP SYN without options.
pub fn tcp_syn(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20);
    segment.extend(source.port().to_be_bytes());
    segment.extend(destination.port().to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend([0x50, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = transport_checksum(source.ip(), destination.ip(), IpProtocol::Tcp, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn transport_checksum(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    transport: &[u8],
) -> u16 {
    let mut covered = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(v4) => covered.extend(v4.octets()),
            IpAddr::V6(v6) => covered.extend(v6.octets()),
        }
    }
    covered.extend([0, protocol.number(source.is_ipv4())]);
    covered.extend(
        u16::try_from(transport.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    covered.extend(transport);
    // 0 would mean that there is no checksum.
    match internet_checksum(&covered) {
        0 => u16::MAX,
        sum => sum,
    }
}

/// The ones' complement sum of RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Sends whole frames by `eth0` of the namespace of the calling thread.
pub fn send_frames(frames: &[Vec<u8>]) -> io::Result<()> {
    let mut links = nix::ifaddrs::getifaddrs()?.filter(|link| link.interface_name == "eth0");
    let address = links.find_map(|link| link.address?.as_link_addr().copied());
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)?;
    frames
        .iter()
        .try_for_each(|frame| socket.send(frame).map(drop))
}

/// The Ethernet address of `eth0` in the namespace of the calling thread.
pub fn own_mac() -> io::Result<[u8; 6]> {
    let mut links = nix::ifaddrs::getifaddrs()?.filter(|link| link.interface_name == "eth0");
    let mac = links.find_map(|link| link.address?.as_link_addr()?.addr());
    mac.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// An Ethernet frame. `tags` are the identifiers of VLANs, each as 802.1Q.
pub fn frame(to: [u8; 6], from: [u8; 6], tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    const TAG: u16 = 0x8100;
    let mut frame = [to, from].concat();
    for tag in tags {
        frame.extend(TAG.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ARP reply that says to the receiver that `address` is at `mac`.
pub fn arp_reply(mac: [u8; 6], address: Ipv4Addr, to: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut reply = vec![0, 1, 8, 0, 6, 4, 0, 2];
    reply.extend(mac);
    reply.extend(address.octets());
    reply.extend(to.0);
    reply.extend(to.1.octets());
    reply
}

/// A neighbour advertisement that says that `target` is at `mac`, whatever was known before: the whole packet.
pub fn neighbour_advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    mac: [u8; 6],
) -> Vec<u8> {
    const ADVERTISEMENT: u8 = 136;
    const SOLICITED_AND_OVERRIDING: u8 = 0x60;
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, SOLICITED_AND_OVERRIDING, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac);
    neighbour_discovery(source, destination, message)
}

/// A router advertisement of half an hour that says to all on the link that `source` leads everywhere, before others,
/// and that a network of 64 bits is on the link, for ever: the whole packet.
pub fn router_advertisement(source: Ipv6Addr, network: Ipv6Addr) -> Vec<u8> {
    const ADVERTISEMENT: u8 = 134;
    const PREFERRED: u8 = 0x08;
    const ON_LINK_AND_FOR_ADDRESSES: u8 = 0xc0;
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, PREFERRED];
    message.extend(1800_u16.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, 64, ON_LINK_AND_FOR_ADDRESSES]);
    message.extend([0xff; 8]);
    message.extend([0; 4]);
    message.extend(network.octets());
    neighbour_discovery(source, all_nodes, message)
}

fn neighbour_discovery(source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    const HOP_LIMIT: usize = 7;
    let sum = transport_checksum(
        source.into(),
        destination.into(),
        IpProtocol::Icmp,
        &message,
    );
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let header = Ipv6Header {
        source,
        destination,
        next_header: 58,
    };
    let mut packet = header.encode(&message);
    // Neighbour discovery is not forwarded, and so has the most hops.
    packet[HOP_LIMIT] = u8::MAX;
    packet
}
