//! A connection between real sockets.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{SockAddr, Socket};

/// How long anything that arrives may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for what must not arrive.
const SILENCE: Duration = Duration::from_millis(50);

/// A connection that is open.
pub(super) enum Exchange {
    Tcp(TcpStream, TcpStream),
    Udp(UdpSocket, UdpSocket),
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

    /// Sends from the client, and says whether it arrives, of ICMP whether an answer comes.
    pub(super) fn passes(&mut self) -> bool {
        self.sends(PATIENCE)
    }

    /// Sends from the client, and says whether nothing comes of it.
    pub(super) fn is_silent(&mut self) -> bool {
        !self.sends(SILENCE)
    }

    fn sends(&mut self, patience: Duration) -> bool {
        let mut buffer = [0; 64];
        match self {
            Self::Tcp(here, there) => {
                here.write_all(b"x").expect("sent");
                there
                    .set_read_timeout(Some(patience))
                    .expect("not no time at all");
                there.read(&mut buffer).is_ok()
            }
            Self::Udp(here, there) => {
                here.send(b"x").expect("sent");
                there
                    .set_read_timeout(Some(patience))
                    .expect("not no time at all");
                there.recv(&mut buffer).is_ok()
            }
            Self::Icmp(here, to, id) => {
                here.send_to(&echo(to.ip(), *id), &SockAddr::from(*to))
                    .expect("sent");
                here.set_read_timeout(Some(patience))
                    .expect("not no time at all");
                let mut buffer = [MaybeUninit::uninit(); 256];
                // Others hear of it too, such as neighbours that are looked for.
                here.recv(&mut buffer).is_ok()
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
