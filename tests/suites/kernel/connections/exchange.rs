//! A connection between real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use netpol_agent::conntrack::Connection;
use netpol_tests::lab::uninterrupted;
use socket2::{SockAddr, Socket};

/// How long anything that arrives may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is waited for what must not arrive.
const SILENCE: Duration = Duration::from_millis(50);

/// A connection that is open.
pub(super) enum Exchange {
    Tcp(TcpStream, TcpStream),
    Udp(UdpSocket, UdpSocket),
    /// From a raw socket to an address, with this identifier.
    Icmp(Socket, SocketAddr, u16),
}

impl Exchange {
    /// The port that it was opened from; ICMP's identifier.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Tcp(here, _) => here.local_addr().expect("bound").port(),
            Self::Udp(here, _) => here.local_addr().expect("bound").port(),
            Self::Icmp(_, _, id) => *id,
        }
    }

    /// What the kernel's entry of it is known by. A port alone is not enough: the kernel may choose the same for both protocols,
    /// and for both families.
    pub(super) fn known_by(&self) -> impl Fn(&Connection) -> bool + use<> {
        let (protocol, from) = match self {
            Self::Tcp(here, _) => (6, Some(here.local_addr().expect("bound"))),
            Self::Udp(here, _) => (17, Some(here.local_addr().expect("bound"))),
            Self::Icmp(_, SocketAddr::V4(_), _) => (1, None),
            Self::Icmp(_, SocketAddr::V6(_), _) => (58, None),
        };
        let port = self.port();
        move |connection| {
            let original = &connection.original;
            let is_from = from.is_none_or(|from| from.ip() == original.source);
            original.protocol == protocol && original.source_port == port && is_from
        }
    }

    /// Sends from the client, and says whether it arrives, of ICMP whether an answer comes.
    pub(super) fn passes(&mut self) -> bool {
        self.sends(PATIENCE)
    }

    /// Sends from the client, and says whether nothing comes of it.
    pub(super) fn is_silent(&mut self) -> bool {
        !self.sends(SILENCE)
    }

    fn sends(&mut self, patience: Duration) -> bool {
        let mut buffer = [0; 256];
        match self {
            Self::Tcp(here, there) => {
                here.write_all(b"x").expect("sent");
                there
                    .set_read_timeout(Some(patience))
                    .expect("not no time at all");
                uninterrupted(|| there.read(&mut buffer)).is_ok()
            }
            Self::Udp(here, there) => {
                here.send(b"x").expect("sent");
                there
                    .set_read_timeout(Some(patience))
                    .expect("not no time at all");
                uninterrupted(|| there.recv(&mut buffer)).is_ok()
            }
            Self::Icmp(here, to, id) => {
                here.send_to(&echo(to.ip(), *id), &SockAddr::from(*to))
                    .expect("sent");
                let end = Instant::now() + patience;
                loop {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    here.set_read_timeout(Some(left)).expect("some time");
                    match uninterrupted(|| (&*here).read(&mut buffer)) {
                        // Such a socket hears of more, such as neighbours that are looked for.
                        Ok(length) if is_reply(&buffer[..length], to.ip(), *id) => return true,
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

/// An echo request. Of IPv6 the kernel adds the checksum.
fn echo(to: IpAddr, id: u16) -> [u8; 8] {
    let [high, low] = id.to_be_bytes();
    let mut bytes = match to {
        IpAddr::V4(_) => [8, 0, 0, 0, high, low, 0, 1],
        IpAddr::V6(_) => [128, 0, 0, 0, high, low, 0, 1],
    };
    let sum = 0x0801_u32 + u32::from(id);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Whether it is the answer to such a request. Of IPv4 the header comes first.
fn is_reply(packet: &[u8], to: IpAddr, id: u16) -> bool {
    let (header, kind) = match to {
        IpAddr::V4(_) => (20, 0),
        IpAddr::V6(_) => (0, 129),
    };
    let reply = packet.get(header..).unwrap_or_default();
    reply.first() == Some(&kind) && reply.get(4..6) == Some(&id.to_be_bytes())
}
